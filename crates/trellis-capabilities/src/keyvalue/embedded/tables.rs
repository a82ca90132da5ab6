//! The one table of the file.

use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition, TableError};
use trellis_storage::{Schema, SchemaError};

/// The one table; see [`super::layout`]. Its name ends in the version of the layout of its keys.
pub(super) const ENTRIES: TableDefinition<'static, &[u8], &[u8]> =
    TableDefinition::new("trellis-keyvalue-1");

/// The table as reads see it.
pub(super) type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// What the file is for.
pub(super) const SCHEMA: Schema = Schema {
    name: "keyvalue",
    ensure: ensure_table,
};

fn ensure_table(database: &Database) -> Result<(), SchemaError> {
    match database.begin_read()?.open_table(ENTRIES) {
        Ok(_) => return Ok(()),
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    transaction.commit()?;
    Ok(())
}
