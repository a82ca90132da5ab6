//! One bucket in JetStream: reading, and writing with checks.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use trellis_core::ChangeId;

use super::super::view::{Record, entries};
use super::super::watch::{Watch, WatchOptions};
use super::super::{
    Bucket, BucketName, Entry, Expected, Incarnation, Key, Once, PutError, Removal, StoreError,
    VALUE_BYTES_MAX,
};
use super::api::{Api, Conditions, Write};
use super::api_error::ApiError;
use super::feed::read_all;
use super::follow::Follower;
use crate::lattice::RequestError;

/// Attempts to remove whatever is at a key while others write it.
const REMOVE_ATTEMPTS_MAX: usize = 16;

/// Attempts at a change while the server writes another copy of it, which takes it as long as any write.
const COPY_ATTEMPTS_MAX: usize = 50;
/// The wait between two of them.
const COPY_WAIT: Duration = Duration::from_millis(20);

#[derive(Clone)]
pub(super) struct JetStreamBucket {
    pub(super) api: Api,
    pub(super) name: BucketName,
}

impl JetStreamBucket {
    pub(super) fn new(api: Api, name: BucketName) -> Self {
        Self { api, name }
    }

    /// Returns the last change of `key`, deletions too.
    pub(super) async fn last(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let last = self.api.last(&self.name, key).await;
        last.map_err(|error| error.into_store_error(&self.name))
    }

    /// Returns the last change of every key, deletions too.
    pub(super) async fn read_all(&self) -> Result<HashMap<Key, Record>, StoreError> {
        read_all(&self.api, &self.name).await
    }

    /// Says what a failed write means; a wrong revision is the caller's business.
    async fn write_failed(&self, key: &Key, error: ApiError) -> PutError {
        match error {
            error if error.is_full() => PutError::Full {
                bucket: self.name.clone(),
            },
            error if error.is_too_large() => PutError::TooLarge {
                key: key.clone(),
                bytes: 0,
                bytes_max: VALUE_BYTES_MAX,
            },
            ApiError::Request(RequestError::TooLarge {
                bytes, bytes_max, ..
            }) => PutError::TooLarge {
                key: key.clone(),
                bytes,
                bytes_max,
            },
            // Nobody takes in the subject of a key: without the bucket, or without JetStream.
            ApiError::Request(RequestError::NoResponders { .. }) => {
                match self.api.stream_info(&self.name).await {
                    Ok(_) => PutError::Store(StoreError::Unavailable {
                        bucket: self.name.clone(),
                        source: error.into(),
                    }),
                    Err(error) => PutError::Store(error.into_store_error(&self.name)),
                }
            }
            ApiError::Request(cause) if cause.may_have_arrived() => PutError::Unknown {
                key: key.clone(),
                source: cause.into(),
            },
            ApiError::Malformed { reason } => PutError::Unknown {
                key: key.clone(),
                source: reason.into(),
            },
            error => PutError::Store(error.into_store_error(&self.name)),
        }
    }

    async fn conflict(&self, key: &Key) -> PutError {
        match self.get(key).await {
            Ok(current) => PutError::Conflict {
                key: key.clone(),
                current,
            },
            Err(error) => PutError::Store(error),
        }
    }

    /// Writes if the conditions hold; `None` says that the last change of `key` has another revision.
    async fn write(
        &self,
        key: &Key,
        write: &Write,
        conditions: Conditions<'_>,
    ) -> Result<Option<Once<u64>>, PutError> {
        let mut attempts = 1;
        loop {
            match self.api.write(&self.name, key, write, conditions).await {
                Ok(once) => return Ok(Some(once)),
                Err(error) if error.is_wrong_revision() => return Ok(None),
                Err(error) if error.is_id_in_process() && attempts < COPY_ATTEMPTS_MAX => {
                    attempts += 1;
                    tokio::time::sleep(COPY_WAIT).await;
                }
                Err(error) => return Err(self.write_failed(key, error).await),
            }
        }
    }

    /// Writes if what is at `key` is as `expected`.
    async fn write_over(
        &self,
        key: &Key,
        write: Write,
        expected: Expected,
        id: Option<&ChangeId>,
    ) -> Result<Once<u64>, PutError> {
        let revision = match expected {
            Expected::Any => None,
            Expected::Absent => Some(0),
            Expected::Revision(revision) => Some(revision),
        };
        if let Some(once) = self.write(key, &write, Conditions { revision, id }).await? {
            return Ok(once);
        }
        // Absent is also what was deleted.
        if expected == Expected::Absent
            && let Some(record) = self.last(key).await?
            && record.value.is_none()
        {
            let revision = Some(record.revision);
            if let Some(once) = self.write(key, &write, Conditions { revision, id }).await? {
                return Ok(once);
            }
        }
        Err(self.conflict(key).await)
    }

    async fn put_over(
        &self,
        key: &Key,
        value: Bytes,
        expected: Expected,
        id: Option<&ChangeId>,
    ) -> Result<Once<u64>, PutError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(PutError::TooLarge {
                key: key.clone(),
                bytes: value.len(),
                bytes_max: VALUE_BYTES_MAX,
            });
        }
        self.write_over(key, Write::Put(value), expected, id).await
    }
}

/// The marker of a removal.
fn marker(removal: Removal) -> Write {
    match removal {
        Removal::Delete => Write::Delete,
        Removal::Purge => Write::Purge,
    }
}

#[async_trait]
impl Bucket for JetStreamBucket {
    fn name(&self) -> &BucketName {
        &self.name
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let last = self.last(key).await?;
        Ok(last.and_then(|record| {
            Some(Entry {
                key: record.key,
                value: record.value?,
                revision: record.revision,
            })
        }))
    }

    async fn put(&self, key: &Key, value: Bytes, expected: Expected) -> Result<u64, PutError> {
        match self.put_over(key, value, expected, None).await? {
            Once::Now(revision) => Ok(revision),
            Once::Before => Err(PutError::Unknown {
                key: key.clone(),
                source: "the server calls a change without an id a repeated one".into(),
            }),
        }
    }

    async fn put_once(
        &self,
        id: &ChangeId,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<Once<u64>, PutError> {
        self.put_over(key, value, expected, Some(id)).await
    }

    async fn remove_once(
        &self,
        id: &ChangeId,
        key: &Key,
        removal: Removal,
        expected: Expected,
    ) -> Result<Once<u64>, PutError> {
        self.write_over(key, marker(removal), expected, Some(id))
            .await
    }

    async fn remove(
        &self,
        key: &Key,
        removal: Removal,
        expected: Expected,
    ) -> Result<Option<u64>, PutError> {
        for _ in 0..REMOVE_ATTEMPTS_MAX {
            let current = self.get(key).await?;
            let fits = match (expected, &current) {
                (Expected::Any, _) | (Expected::Absent, None) => true,
                (Expected::Revision(revision), Some(entry)) => entry.revision == revision,
                (Expected::Absent, Some(_)) | (Expected::Revision(_), None) => false,
            };
            let Some(entry) = current.as_ref().filter(|_| fits) else {
                return if fits {
                    Ok(None)
                } else {
                    Err(PutError::Conflict {
                        key: key.clone(),
                        current,
                    })
                };
            };
            let conditions = Conditions {
                revision: Some(entry.revision),
                id: None,
            };
            let removed = self.write(key, &marker(removal), conditions).await?;
            if let Some(Once::Now(revision)) = removed {
                return Ok(Some(revision));
            }
        }
        Err(self.conflict(key).await)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let records = self.read_all().await?;
        Ok(entries(records.into_values().collect(), prefix))
    }

    fn watch(&self, prefix: &str, options: WatchOptions) -> Watch {
        let bucket = self.clone();
        let prefix = prefix.to_owned();
        Watch::start(|changes| Follower::new(bucket, &prefix, options, changes).run())
    }

    async fn incarnation(&self) -> Result<Incarnation, StoreError> {
        let info = self.api.stream_info(&self.name).await;
        let info = info.map_err(|error| error.into_store_error(&self.name))?;
        Ok(Incarnation {
            created: info.created,
            revision: info.state.last_seq,
        })
    }
}
