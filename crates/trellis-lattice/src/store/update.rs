//! Read, change, write with a check, and again on a conflict.

use std::time::Duration;

use bytes::Bytes;
use trellis_core::ChangeId;

use super::{Bucket, Entry, Expected, Key, Once, PutError, Removal, StoreError};

/// Attempts of one update. Of writers that change one key at once each round lets one through, so
/// this many can meet; more than that is a design that puts too much under one key.
const UPDATE_ATTEMPTS_MAX: u32 = 24;
/// The longest wait between two attempts, chosen at random below it.
const UPDATE_WAIT_MAX: Duration = Duration::from_millis(40);

/// What is to become of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// It becomes this.
    Put(Bytes),
    /// It goes away.
    Delete,
    /// It stays as it is, which is what was wanted.
    Keep,
    /// It stays as it is, since the change cannot be made.
    Decline,
}

/// Why an update was not made.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Others changed the value at every attempt.
    #[error("{key} is changed by too many at once; {attempts} attempts failed")]
    Contended {
        /// The key.
        key: Key,
        /// The attempts made.
        attempts: u32,
    },
    /// The value cannot be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// The value cannot be written, or is not known to be.
    #[error(transparent)]
    Put(#[from] PutError),
}

/// Changes the value at `key` to what `change` makes of it, so that no concurrent change is lost:
/// on a conflict `change` is asked again about what is there now. Returns the entry that is there in
/// the end.
///
/// # Errors
/// See [`UpdateError`].
///
/// # Cancel safety
/// Cancelling while writing leaves open whether the change was made.
pub async fn update(
    bucket: &dyn Bucket,
    key: &Key,
    mut change: impl FnMut(Option<&Entry>) -> Update + Send,
) -> Result<Option<Entry>, UpdateError> {
    let mut current = bucket.get(key).await?;
    for _ in 0..UPDATE_ATTEMPTS_MAX {
        let update = change(current.as_ref());
        if matches!(update, Update::Keep | Update::Decline) {
            return Ok(current);
        }
        match write(bucket, key, update, current.as_ref()).await {
            Ok(entry) => return Ok(entry),
            Err(PutError::Conflict { current: now, .. }) => current = now,
            Err(error) => return Err(error.into()),
        }
        wait().await;
    }
    Err(contended(key))
}

/// Changes a value as [`update`] does, unless a change `id` of the bucket was made before. What is to stay
/// as it is, is written again, so that `id` is remembered: a later copy of the change would find what
/// others made of the value since, and change it. All attempts have the same `id`, of which one is made.
///
/// # Errors
/// See [`UpdateError`].
///
/// # Cancel safety
/// As [`update`].
pub async fn update_once(
    bucket: &dyn Bucket,
    id: &ChangeId,
    key: &Key,
    mut change: impl FnMut(Option<&Entry>) -> Update + Send,
) -> Result<Once<Option<Entry>>, UpdateError> {
    let mut current = bucket.get(key).await?;
    for _ in 0..UPDATE_ATTEMPTS_MAX {
        let update = match (change(current.as_ref()), &current) {
            (Update::Decline, _) => return Ok(Once::Now(current)),
            (Update::Keep, Some(entry)) => Update::Put(entry.value.clone()),
            (Update::Keep, None) => Update::Delete,
            (update, _) => update,
        };
        match write_once(bucket, id, key, update, current.as_ref()).await {
            Ok(once) => return Ok(once),
            Err(PutError::Conflict { current: now, .. }) => current = now,
            Err(error) => return Err(error.into()),
        }
        wait().await;
    }
    Err(contended(key))
}

/// Writes what an update came to over `current`; returns what is there then.
async fn write(
    bucket: &dyn Bucket,
    key: &Key,
    update: Update,
    current: Option<&Entry>,
) -> Result<Option<Entry>, PutError> {
    let expected = expected(current);
    let Update::Put(value) = update else {
        bucket.remove(key, Removal::Delete, expected).await?;
        return Ok(None);
    };
    let revision = bucket.put(key, value.clone(), expected).await?;
    Ok(Some(entry(key, value, revision)))
}

/// The same, once.
async fn write_once(
    bucket: &dyn Bucket,
    id: &ChangeId,
    key: &Key,
    update: Update,
    current: Option<&Entry>,
) -> Result<Once<Option<Entry>>, PutError> {
    let expected = expected(current);
    let Update::Put(value) = update else {
        let removed = bucket.remove_once(id, key, Removal::Delete, expected);
        return Ok(match removed.await? {
            Once::Now(_) => Once::Now(None),
            Once::Before => Once::Before,
        });
    };
    let put = bucket.put_once(id, key, value.clone(), expected);
    Ok(match put.await? {
        Once::Now(revision) => Once::Now(Some(entry(key, value, revision))),
        Once::Before => Once::Before,
    })
}

fn expected(current: Option<&Entry>) -> Expected {
    current.map_or(Expected::Absent, |entry| Expected::Revision(entry.revision))
}

fn entry(key: &Key, value: Bytes, revision: u64) -> Entry {
    Entry {
        key: key.clone(),
        value,
        revision,
    }
}

async fn wait() {
    tokio::time::sleep(UPDATE_WAIT_MAX.mul_f32(fastrand::f32())).await;
}

fn contended(key: &Key) -> UpdateError {
    UpdateError::Contended {
        key: key.clone(),
        attempts: UPDATE_ATTEMPTS_MAX,
    }
}
