//! The tables of the file: the version of its layout, the buckets, and their entries.

use redb::{Database, ReadableDatabase, TableDefinition, TableError, TableHandle};
use trellis_storage::{Schema, SchemaError};

/// The version of the layout under the key [`LAYOUT_KEY`]. Every version of this store has this
/// table.
const LAYOUT: TableDefinition<'static, &str, u64> = TableDefinition::new("trellis-state");
const LAYOUT_KEY: &str = "layout";
/// The layout that this version reads and writes.
const LAYOUT_VERSION: u64 = 1;

/// The buckets; see [`super::layout`].
pub(super) const BUCKETS: TableDefinition<'static, &str, &[u8]> =
    TableDefinition::new("trellis-state-buckets");
/// The entries of all buckets; see [`super::layout`].
pub(super) const ENTRIES: TableDefinition<'static, &[u8], &[u8]> =
    TableDefinition::new("trellis-state-entries");
/// Ids of changes that were made lately; see [`super::made`]. Versions before it made files without.
pub(super) const MADE: TableDefinition<'static, &[u8], u64> =
    TableDefinition::new("trellis-state-made");

/// What the file is for.
pub(super) const SCHEMA: Schema = Schema {
    name: "state",
    ensure: ensure_layout,
};

fn ensure_layout(database: &Database) -> Result<(), SchemaError> {
    let found = {
        let snapshot = database.begin_read()?;
        match snapshot.open_table(LAYOUT) {
            Ok(table) => table.get(LAYOUT_KEY)?.map(|version| version.value()),
            Err(TableError::TableDoesNotExist(_)) => {
                let foreign = snapshot
                    .list_tables()?
                    .any(|table| !table.name().is_empty());
                if foreign {
                    return Err(SchemaError::Foreign);
                }
                None
            }
            Err(error) => return Err(error.into()),
        }
    };
    match found {
        Some(LAYOUT_VERSION) => Ok(()),
        Some(found) => Err(SchemaError::Newer {
            found,
            known: LAYOUT_VERSION,
        }),
        None => make_tables(database),
    }
}

fn make_tables(database: &Database) -> Result<(), SchemaError> {
    let transaction = database.begin_write()?;
    {
        let mut layout = transaction.open_table(LAYOUT)?;
        layout.insert(LAYOUT_KEY, LAYOUT_VERSION)?;
        transaction.open_table(BUCKETS)?;
        transaction.open_table(ENTRIES)?;
    }
    transaction.commit()?;
    Ok(())
}
