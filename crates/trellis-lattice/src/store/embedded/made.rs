//! The ids of changes that were made lately, so that a copy of one changes nothing: bucket name, 0, id →
//! when, in milliseconds since 1970.
//!
//! They are in the transaction of their change, so that each is remembered exactly if its change was made.

use std::time::{Duration, SystemTime};

use redb::{ReadableTable, ReadableTableMetadata, Table};
use trellis_core::ChangeId;
use trellis_storage::Failure;

use super::super::{BucketName, CHANGES_REMEMBERED_FOR};
use super::layout;

/// Ids that are kept: of 30 changes a second, a hundred times what people ask for.
const IDS_MAX: u64 = 4_096;
/// So many of the oldest are forgotten when that is too few, so that not every change has to look for them.
const IDS_FORGOTTEN: usize = 1_024;

/// The table of them.
pub(super) type Made<'t> = Table<'t, &'static [u8], u64>;

fn stored_id(bucket: &BucketName, id: &ChangeId) -> Box<[u8]> {
    layout::entry_key(bucket, id.as_str())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    millis(since.unwrap_or_default())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Tells whether a change `id` of `bucket` was made lately.
pub(super) fn contains(
    made: &Made<'_>,
    bucket: &BucketName,
    id: &ChangeId,
) -> Result<bool, Failure> {
    let at = made.get(&stored_id(bucket, id)[..])?.map(|at| at.value());
    Ok(at.is_some_and(|at| is_fresh(at, now())))
}

/// A clock that was set back makes ids last longer, and hurts nobody.
fn is_fresh(at: u64, now: u64) -> bool {
    now.saturating_sub(at) < millis(CHANGES_REMEMBERED_FOR)
}

/// Remembers that the change `id` of `bucket` is made now.
pub(super) fn insert(
    made: &mut Made<'_>,
    bucket: &BucketName,
    id: &ChangeId,
) -> Result<(), Failure> {
    if made.len()? >= IDS_MAX {
        forget(made)?;
    }
    made.insert(&stored_id(bucket, id)[..], now())?;
    Ok(())
}

/// Forgets what is too old, and the oldest in any case.
fn forget(made: &mut Made<'_>) -> Result<(), Failure> {
    let mut times = Vec::new();
    for stored in made.iter()? {
        times.push(stored?.1.value());
    }
    times.sort_unstable();
    let last = times.get(IDS_FORGOTTEN).copied().unwrap_or_default();
    let now = now();
    made.retain(|_, at| at > last && is_fresh(at, now))?;
    Ok(())
}
