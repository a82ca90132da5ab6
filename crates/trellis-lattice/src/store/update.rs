//! Read, change, write with a check, and again on a conflict.

use std::time::Duration;

use bytes::Bytes;

use super::{Bucket, Entry, Expected, Key, PutError, Removal, StoreError};

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
    /// It stays as it is.
    Keep,
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
        let expected = current
            .as_ref()
            .map_or(Expected::Absent, |entry| Expected::Revision(entry.revision));
        let outcome = match change(current.as_ref()) {
            Update::Keep => return Ok(current),
            Update::Delete => bucket
                .remove(key, Removal::Delete, expected)
                .await
                .map(|_| None),
            Update::Put(value) => bucket
                .put(key, value.clone(), expected)
                .await
                .map(|revision| {
                    Some(Entry {
                        key: key.clone(),
                        value,
                        revision,
                    })
                }),
        };
        match outcome {
            Ok(entry) => return Ok(entry),
            Err(PutError::Conflict { current: now, .. }) => current = now,
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(UPDATE_WAIT_MAX.mul_f32(fastrand::f32())).await;
    }
    Err(UpdateError::Contended {
        key: key.clone(),
        attempts: UPDATE_ATTEMPTS_MAX,
    })
}
