//! Changes of the table: what they are and how each is made.

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};
use trellis_storage::{Bounds, Changes, Failure};

use super::super::{BATCH_BYTES_MAX, KeyValueError, incremented};
use super::tables::ENTRIES;

/// Changes that wait for the disk. At one sync in 5 ms (a common SSD) and 1,024 changes a sync, the
/// last of them waits 20 ms.
const CHANGES_QUEUED_MAX: usize = 4_096;
/// Bytes that wait for the disk: two batches of the greatest size, or many small changes.
const BYTES_QUEUED_MAX: usize = 2 * BATCH_BYTES_MAX;
/// Changes of one transaction: past this the sync is a small part of the cost.
const CHANGES_COMMITTED_MAX: usize = 1_024;
/// Bytes after which a transaction takes no further change, so that small changes do not wait for
/// many large ones.
const BYTES_COMMITTED_MAX: usize = 16 << 20;

/// The bounds of the thread that makes these changes.
pub(super) const BOUNDS: Bounds = Bounds {
    changes_queued_max: CHANGES_QUEUED_MAX,
    bytes_queued_max: BYTES_QUEUED_MAX,
    changes_committed_max: CHANGES_COMMITTED_MAX,
    bytes_committed_max: BYTES_COMMITTED_MAX,
};

/// One change of the table, done as a whole or not at all.
pub(super) enum Change {
    /// Sets every key to its value.
    Set(Vec<(Box<[u8]>, Bytes)>),
    /// Removes the keys.
    Delete(Vec<Box<[u8]>>),
    /// Adds to the number at a key.
    Increment { key: Box<[u8]>, delta: u64 },
}

/// What a change came to.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// It was made.
    Done,
    /// The number now at the key.
    Sum(u64),
}

/// The changes of the file, as its writing thread makes them.
pub(super) struct KeyValueChanges;

impl Changes for KeyValueChanges {
    type Change = Change;
    type Outcome = Result<Outcome, KeyValueError>;
    type Tables<'t> = Table<'t, &'static [u8], &'static [u8]>;

    fn bytes(change: &Change) -> usize {
        match change {
            Change::Set(pairs) => pairs
                .iter()
                .map(|(key, value)| key.len() + value.len())
                .sum(),
            Change::Delete(keys) => keys.iter().map(|key| key.len()).sum(),
            Change::Increment { key, .. } => key.len(),
        }
    }

    fn open(transaction: &WriteTransaction) -> Result<Self::Tables<'_>, Failure> {
        Ok(transaction.open_table(ENTRIES)?)
    }

    fn apply(table: &mut Self::Tables<'_>, change: &Change) -> Result<Self::Outcome, Failure> {
        match change {
            Change::Set(pairs) => {
                for (key, value) in pairs {
                    table.insert(&key[..], &value[..])?;
                }
            }
            Change::Delete(keys) => {
                for key in keys {
                    table.remove(&key[..])?;
                }
            }
            Change::Increment { key, delta } => {
                let sum = {
                    let current = table.get(&key[..])?;
                    incremented(current.as_ref().map(|value| value.value()), *delta)
                };
                return match sum {
                    Ok(sum) => {
                        table.insert(&key[..], sum.to_string().as_bytes())?;
                        Ok(Ok(Outcome::Sum(sum)))
                    }
                    Err(error) => Ok(Err(error)),
                };
            }
        }
        Ok(Ok(Outcome::Done))
    }
}
