//! The store in one file of this machine, for a lattice of one host.
//!
//! A change is on the disk before it is acknowledged, and many concurrent changes share one sync.
//! Reads run beside the writer on a snapshot. The file is locked, so nothing else changes it and a
//! watch sees every change.

mod changes;
mod follow;
mod layout;
mod made;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redb::ReadTransaction;
use tokio::sync::broadcast;
use trellis_core::ChangeId;
use trellis_storage::{Failure, StorageFile, WriteError, Writer};

use self::changes::{Action, BucketChanges, Change, NoBucket, Notice, Outcome, Write};
use self::follow::Follower;
use self::tables::{BUCKETS, ENTRIES, SCHEMA};
use super::view::{Record, View, entries};
use super::watch::{Watch, WatchOptions};
use super::{
    BYTES_LISTED_MAX, Bucket, BucketName, ENTRIES_LISTED_MAX, Entry, Expected, Incarnation, Key,
    Once, PutError, Removal, Store, StoreError, VALUE_BYTES_MAX,
};

pub use trellis_storage::OpenError;

/// Pages kept in memory unless told otherwise: the state of a lattice of a thousand components.
const CACHE_BYTES_DEFAULT: usize = 8 << 20;
/// How long a change may wait for the disk. A disk that takes longer is failing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Which file to open, and how.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The file.
    pub path: PathBuf,
    /// The most bytes of the file that are kept in memory.
    pub cache_bytes_max: usize,
}

impl OpenOptions {
    /// Opens the file at `path` with a cache of 8 MiB.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes_max: CACHE_BYTES_DEFAULT,
        }
    }
}

/// Buckets in one file.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
}

/// What the store and its buckets share. Dropping the last of them writes what is queued and closes
/// the file.
struct Shared {
    writer: Writer<BucketChanges>,
    file: Arc<StorageFile>,
    notices: broadcast::WeakSender<Notice>,
}

impl EmbeddedStore {
    /// Opens the file of `options`, makes it and its folder where they are missing, and starts the
    /// writing thread. Blocks: after a crash the whole file is checked first.
    ///
    /// # Errors
    /// See [`OpenError`]: each tells what is in the way and what to do.
    pub fn open(options: OpenOptions) -> Result<Self, OpenError> {
        let file = StorageFile::open(options.path, options.cache_bytes_max, SCHEMA)?;
        let file = Arc::new(file);
        let changes = BucketChanges::new();
        let notices = changes.notices();
        let writer = Writer::start(Arc::clone(&file), changes, changes::BOUNDS)?;
        Ok(Self {
            shared: Arc::new(Shared {
                writer,
                file,
                notices,
            }),
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
        let written = self.shared.writer.write(change);
        match tokio::time::timeout(WRITE_TIMEOUT, written).await {
            Ok(Ok(Ok(outcome))) => Ok(outcome),
            Ok(Ok(Err(NoBucket))) => Err(PutError::Store(StoreError::Missing {
                bucket: self.name.clone(),
            })),
            Ok(Err(error)) => Err(self.write_failed(error)),
            Err(elapsed) => Err(match key {
                Some(key) => PutError::Unknown {
                    key: key.clone(),
                    source: elapsed.into(),
                },
                None => PutError::Store(unavailable(&self.name, &elapsed.to_string())),
            }),
        }
    }

    /// Makes one change of an entry; `None` says that there was nothing to do.
    async fn write(&self, write: Write) -> Result<Option<Once<u64>>, PutError> {
        let key = write.key.clone();
        match self.change(Action::Write(write), Some(&key)).await? {
            Outcome::Done(revision) => Ok(Some(Once::Now(revision))),
            Outcome::Before => Ok(Some(Once::Before)),
            Outcome::Nothing => Ok(None),
            Outcome::Conflict(current) => Err(PutError::Conflict { key, current }),
        }
    }

    async fn put_value(
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
        let write = Write {
            key: key.clone(),
            value: Some(value),
            expected,
            id: id.cloned(),
        };
        let written = self.write(write).await?;
        Ok(written.expect("a value is always written, was before, or conflicts"))
    }

    fn write_failed(&self, error: WriteError) -> PutError {
        let bucket = self.name.clone();
        match error {
            WriteError::Overloaded => PutError::Overloaded { bucket },
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
        Failure::Full | Failure::Closed | Failure::Storage(_) => {
            unavailable(bucket, &failure.to_string())
        }
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
    let buckets = snapshot.open_table(BUCKETS).map_err(Failure::from)?;
    let incarnation = changes::read_incarnation(&buckets, bucket)?;
    let incarnation = incarnation.ok_or_else(|| {
        ReadError::Store(StoreError::Missing {
            bucket: bucket.clone(),
        })
    })?;
    let table = snapshot.open_table(ENTRIES).map_err(Failure::from)?;
    let from = layout::entry_key(bucket, prefix);
    let to = layout::end_of(&from);
    let mut records = Vec::new();
    let mut bytes = 0;
    for entry in table.range(&from[..]..&to[..]).map_err(Failure::from)? {
        let (key, value) = entry.map_err(Failure::from)?;
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
    let read = move || file.read(|snapshot| read_bucket(snapshot, &name, &prefix));
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(reading)) => Ok(reading),
        Ok(Err(ReadError::Store(error))) => Err(error),
        Ok(Err(ReadError::Failed(failure))) => Err(store_error(bucket, failure)),
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
            let table = snapshot.open_table(ENTRIES)?;
            changes::read_current(&table, &stored_key, key)
        });
        read.map_err(|failure| store_error(&self.name, failure))
    }

    async fn put(&self, key: &Key, value: Bytes, expected: Expected) -> Result<u64, PutError> {
        match self.put_value(key, value, expected, None).await? {
            Once::Now(revision) => Ok(revision),
            Once::Before => unreachable!("only a change with an id was made before"),
        }
    }

    async fn put_once(
        &self,
        id: &ChangeId,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<Once<u64>, PutError> {
        self.put_value(key, value, expected, Some(id)).await
    }

    async fn remove(
        &self,
        key: &Key,
        _removal: Removal, // no history is kept, so both are the same
        expected: Expected,
    ) -> Result<Option<u64>, PutError> {
        let write = Write {
            key: key.clone(),
            value: None,
            expected,
            id: None,
        };
        match self.write(write).await? {
            Some(Once::Now(revision)) => Ok(Some(revision)),
            Some(Once::Before) => unreachable!("only a change with an id was made before"),
            None => Ok(None),
        }
    }

    async fn remove_once(
        &self,
        id: &ChangeId,
        key: &Key,
        _removal: Removal,
        expected: Expected,
    ) -> Result<Once<u64>, PutError> {
        let write = Write {
            key: key.clone(),
            value: None,
            expected,
            id: Some(id.clone()),
        };
        let written = self.write(write).await?;
        Ok(written.expect("a change with an id is always written, was before, or conflicts"))
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
        let notices = self.shared.notices.upgrade();
        let notices = notices.map(|notices| notices.subscribe());
        Watch::start(|changes| follower.run(notices, changes))
    }

    async fn incarnation(&self) -> Result<Incarnation, StoreError> {
        let read = self.shared.file.read(|snapshot| {
            let table = snapshot.open_table(BUCKETS)?;
            changes::read_incarnation(&table, &self.name)
        });
        let read = read.map_err(|failure| store_error(&self.name, failure))?;
        read.ok_or_else(|| StoreError::Missing {
            bucket: self.name.clone(),
        })
    }
}
