//! The store in one file of this machine, for a lattice of one host.
//!
//! A change is on the disk before it is acknowledged, and many concurrent changes share one sync.
//! Reads run beside the writer on a snapshot. The file is locked, so nothing else changes it and a
//! watch sees every change.

mod file;
mod follow;
mod layout;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redb::ReadTransaction;

use self::file::{BUCKETS, ENTRIES, Failure, StorageFile, storage_failed};
use self::follow::Follower;
use self::writer::{Action, Change, Outcome, WriteError, Writer};
use super::view::{Record, View, entries};
use super::watch::{Watch, WatchOptions};
use super::{
    BYTES_LISTED_MAX, Bucket, BucketName, ENTRIES_LISTED_MAX, Entry, Expected, Incarnation, Key,
    PutError, Removal, Store, StoreError, VALUE_BYTES_MAX,
};

pub use self::file::{OpenError, OpenOptions};

/// How long a change may wait for the disk. A disk that takes longer is failing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Buckets in one file.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
}

/// What the store and its buckets share. Dropping the last of them writes what is queued and closes
/// the file.
struct Shared {
    writer: Writer,
    file: Arc<StorageFile>,
}

impl EmbeddedStore {
    /// Opens the file of `options`, makes it and its folder where they are missing, and starts the
    /// writing thread. Blocks: after a crash the whole file is checked first.
    ///
    /// # Errors
    /// See [`OpenError`]: each tells what is in the way and what to do.
    pub fn open(options: OpenOptions) -> Result<Self, OpenError> {
        let file = Arc::new(StorageFile::open(options)?);
        let writer = Writer::start(Arc::clone(&file)).map_err(|source| OpenError::Thread {
            path: file.path().to_owned(),
            source,
        })?;
        Ok(Self {
            shared: Arc::new(Shared { writer, file }),
        })
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn bucket(&self, name: &BucketName) -> Result<Arc<dyn Bucket>, StoreError> {
        let bucket = EmbeddedBucket {
            shared: Arc::clone(&self.shared),
            name: name.clone(),
        };
        match bucket.incarnation().await {
            Ok(_) => {}
            Err(StoreError::Missing { .. }) => {
                let created = format!("{:032x}", fastrand::u128(..));
                let made = bucket.change(Action::Make { created }, None).await;
                made.map_err(|error| match error {
                    PutError::Store(error) => error,
                    other => StoreError::Unavailable {
                        bucket: name.clone(),
                        source: other.into(),
                    },
                })?;
            }
            Err(error) => return Err(error),
        }
        Ok(Arc::new(bucket))
    }
}

struct EmbeddedBucket {
    shared: Arc<Shared>,
    name: BucketName,
}

impl EmbeddedBucket {
    async fn change(&self, action: Action, key: Option<&Key>) -> Result<Outcome, PutError> {
        let change = Change {
            bucket: self.name.clone(),
            action,
        };
        let submitted = self.shared.writer.submit(change);
        let answered = submitted.map_err(|error| self.write_failed(error))?;
        match tokio::time::timeout(WRITE_TIMEOUT, answered).await {
            Ok(Ok(answer)) => answer.map_err(|error| self.write_failed(error)),
            Ok(Err(_)) => Err(self.write_failed(WriteError::Failed(Failure::Closed))),
            Err(elapsed) => Err(match key {
                Some(key) => PutError::Unknown {
                    key: key.clone(),
                    source: elapsed.into(),
                },
                None => PutError::Store(unavailable(&self.name, &elapsed.to_string())),
            }),
        }
    }

    fn write_failed(&self, error: WriteError) -> PutError {
        let bucket = self.name.clone();
        match error {
            WriteError::Overloaded => PutError::Overloaded { bucket },
            WriteError::NoBucket => PutError::Store(StoreError::Missing { bucket }),
            WriteError::Failed(Failure::Full) => PutError::Full { bucket },
            WriteError::Failed(failure) => PutError::Store(store_error(&bucket, failure)),
        }
    }
}

fn unavailable(bucket: &BucketName, reason: &str) -> StoreError {
    StoreError::Unavailable {
        bucket: bucket.clone(),
        source: reason.into(),
    }
}

fn store_error(bucket: &BucketName, failure: Failure) -> StoreError {
    match failure {
        Failure::Full => unavailable(bucket, "the disk is full"),
        Failure::Closed => unavailable(bucket, "the file is closed"),
        Failure::Storage(reason) => unavailable(bucket, &reason),
        Failure::Damaged(reason) => StoreError::Damaged {
            bucket: bucket.clone(),
            reason,
        },
    }
}

/// A bucket as one snapshot has it.
struct Reading {
    incarnation: Incarnation,
    records: Vec<Record>,
}

/// A reading ends in a failure of the file, or in what it found.
enum ReadError {
    Failed(Failure),
    Store(StoreError),
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Reads the entries of `bucket` whose keys begin with `prefix`.
fn read_bucket(
    snapshot: &ReadTransaction,
    bucket: &BucketName,
    prefix: &str,
) -> Result<Reading, ReadError> {
    let buckets = snapshot.open_table(BUCKETS).map_err(storage_failed)?;
    let incarnation = writer::read_incarnation(&buckets, bucket)?;
    let incarnation = incarnation.ok_or_else(|| {
        ReadError::Store(StoreError::Missing {
            bucket: bucket.clone(),
        })
    })?;
    let table = snapshot.open_table(ENTRIES).map_err(storage_failed)?;
    let from = layout::entry_key(bucket, prefix);
    let to = layout::end_of(&from);
    let mut records = Vec::new();
    let mut bytes = 0;
    for entry in table.range(&from[..]..&to[..]).map_err(storage_failed)? {
        let (key, value) = entry.map_err(storage_failed)?;
        bytes += key.value().len() + value.value().len();
        if records.len() >= ENTRIES_LISTED_MAX || bytes > BYTES_LISTED_MAX {
            return Err(ReadError::Store(StoreError::TooMuch {
                bucket: bucket.clone(),
                what: "one listing",
            }));
        }
        let record = layout::read_entry(bucket, key.value(), value.value());
        records.push(record.ok_or_else(|| {
            Failure::Damaged(format!("an entry of bucket {bucket} cannot be read"))
        })?);
    }
    Ok(Reading {
        incarnation,
        records,
    })
}

/// Reads what may take many disk reads on a thread that may block.
async fn read_blocking(
    shared: &Arc<Shared>,
    bucket: &BucketName,
    prefix: &str,
) -> Result<Reading, StoreError> {
    let file = Arc::clone(&shared.file);
    let (name, prefix) = (bucket.clone(), prefix.to_owned());
    let read = move || file.read(|snapshot| Ok(read_bucket(snapshot, &name, &prefix)));
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Ok(reading))) => Ok(reading),
        Ok(Ok(Err(ReadError::Store(error)))) => Err(error),
        Ok(Ok(Err(ReadError::Failed(failure))) | Err(failure)) => Err(store_error(bucket, failure)),
        Err(_) => Err(unavailable(bucket, "the runtime is shutting down")),
    }
}

#[async_trait]
impl Bucket for EmbeddedBucket {
    fn name(&self) -> &BucketName {
        &self.name
    }

    // Reads one key on the calling thread: the path to it is in the cache nearly always, and where
    // not it is one short disk read, which costs less than a change of threads does every time.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let stored_key = layout::entry_key(&self.name, key.as_str());
        let read = self.shared.file.read(|snapshot| {
            let table = snapshot.open_table(ENTRIES).map_err(storage_failed)?;
            writer::read_current(&table, &stored_key, key)
        });
        read.map_err(|failure| store_error(&self.name, failure))
    }

    async fn put(&self, key: &Key, value: Bytes, expected: Expected) -> Result<u64, PutError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(PutError::TooLarge {
                key: key.clone(),
                bytes: value.len(),
                bytes_max: VALUE_BYTES_MAX,
            });
        }
        let action = Action::Write {
            key: key.clone(),
            value: Some(value),
            expected,
        };
        match self.change(action, Some(key)).await? {
            Outcome::Done(revision) => Ok(revision),
            Outcome::Conflict(current) => Err(PutError::Conflict {
                key: key.clone(),
                current,
            }),
            Outcome::Nothing => unreachable!("a value is always written or conflicts"),
        }
    }

    async fn remove(
        &self,
        key: &Key,
        _removal: Removal, // no history is kept, so both are the same
        expected: Expected,
    ) -> Result<Option<u64>, PutError> {
        let action = Action::Write {
            key: key.clone(),
            value: None,
            expected,
        };
        match self.change(action, Some(key)).await? {
            Outcome::Done(revision) => Ok(Some(revision)),
            Outcome::Nothing => Ok(None),
            Outcome::Conflict(current) => Err(PutError::Conflict {
                key: key.clone(),
                current,
            }),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let reading = read_blocking(&self.shared, &self.name, prefix).await?;
        Ok(entries(reading.records, prefix))
    }

    fn watch(&self, prefix: &str, options: WatchOptions) -> Watch {
        let follower = Follower {
            // A watch alone does not keep the file open.
            shared: Arc::downgrade(&self.shared),
            bucket: self.name.clone(),
            view: View::new(prefix),
            prefix: prefix.to_owned(),
            known: options.known,
        };
        let notices = self.shared.writer.notices();
        Watch::start(|changes| follower.run(notices, changes))
    }

    async fn incarnation(&self) -> Result<Incarnation, StoreError> {
        let read = self.shared.file.read(|snapshot| {
            let table = snapshot.open_table(BUCKETS).map_err(storage_failed)?;
            writer::read_incarnation(&table, &self.name)
        });
        let read = read.map_err(|failure| store_error(&self.name, failure))?;
        read.ok_or_else(|| StoreError::Missing {
            bucket: self.name.clone(),
        })
    }
}
