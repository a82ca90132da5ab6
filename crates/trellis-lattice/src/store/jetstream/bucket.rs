//! One bucket in JetStream: reading, and writing with checks.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;

use super::super::view::{Record, entries};
use super::super::watch::{Watch, WatchOptions};
use super::super::{
    Bucket, BucketName, Entry, Expected, Incarnation, Key, PutError, Removal, StoreError,
    VALUE_BYTES_MAX,
};
use super::api::{Api, Write};
use super::api_error::ApiError;
use super::feed::read_all;
use super::follow::Follower;
use crate::lattice::RequestError;

/// Attempts to remove whatever is at a key while others write it.
const REMOVE_ATTEMPTS_MAX: usize = 16;

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

    /// Writes if the last change of `key` has `revision`; `None` says that it has not.
    async fn write(
        &self,
        key: &Key,
        write: Write,
        revision: Option<u64>,
    ) -> Result<Option<u64>, PutError> {
        match self.api.write(&self.name, key, write, revision).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.is_wrong_revision() => Ok(None),
            Err(error) => Err(self.write_failed(key, error).await),
        }
    }

    /// Writes where nothing is, or something deleted.
    async fn put_absent(&self, key: &Key, value: Bytes) -> Result<u64, PutError> {
        if let Some(revision) = self.write(key, Write::Put(value.clone()), Some(0)).await? {
            return Ok(revision);
        }
        let marker = match self.last(key).await? {
            Some(record) if record.value.is_none() => record.revision,
            _ => return Err(self.conflict(key).await),
        };
        match self.write(key, Write::Put(value), Some(marker)).await? {
            Some(revision) => Ok(revision),
            None => Err(self.conflict(key).await),
        }
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
        if value.len() > VALUE_BYTES_MAX {
            return Err(PutError::TooLarge {
                key: key.clone(),
                bytes: value.len(),
                bytes_max: VALUE_BYTES_MAX,
            });
        }
        let revision = match expected {
            Expected::Absent => return self.put_absent(key, value).await,
            Expected::Any => None,
            Expected::Revision(revision) => Some(revision),
        };
        match self.write(key, Write::Put(value), revision).await? {
            Some(revision) => Ok(revision),
            None => Err(self.conflict(key).await),
        }
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
            let write = match removal {
                Removal::Delete => Write::Delete,
                Removal::Purge => Write::Purge,
            };
            let removed = self.write(key, write, Some(entry.revision)).await?;
            if removed.is_some() {
                return Ok(removed);
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
