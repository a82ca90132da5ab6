//! Key-value buckets in one file of this machine: durable, shared by all applications of a host.
//!
//! A change is on the disk before it is acknowledged. One thread writes: it takes every change that
//! waits, applies them in one transaction, syncs once and answers all of them, so that a hundred
//! concurrent changes cost one sync. Reads run beside it on a snapshot.

mod changes;
mod layout;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use trellis_storage::{Failure, StorageFile, WriteError, Writer};

use self::changes::{Change, KeyValueChanges, Outcome};
use self::layout::{KeyPrefix, stored_key};
use self::tables::{ENTRIES, SCHEMA, Table};
use super::{
    BatchBytes, Bucket, BucketName, KeyPage, KeyValueBackend, KeyValueError, LIST_KEYS_PAGE_MAX,
    check_key, check_keys, check_pair, check_pairs,
};

pub use trellis_storage::OpenError;

/// Pages kept in memory unless told otherwise: enough for the upper levels of a store of many GiB,
/// little enough for a machine with 512 MiB.
const CACHE_BYTES_DEFAULT: usize = 32 << 20;

/// Which file to open, and how.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The file.
    pub path: PathBuf,
    /// The most bytes of the file that are kept in memory.
    pub cache_bytes_max: usize,
}

impl OpenOptions {
    /// Opens the file at `path` with a cache of 32 MiB.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes_max: CACHE_BYTES_DEFAULT,
        }
    }
}

/// Buckets in one file.
pub struct EmbeddedBackend {
    store: Arc<Store>,
}

/// What the backend and its buckets share. Dropping the last of them writes what is queued and
/// closes the file.
struct Store {
    writer: Writer<KeyValueChanges>,
    file: Arc<StorageFile>,
}

impl EmbeddedBackend {
    /// Opens the file of `options`, makes it and its folder where they are missing, and starts the
    /// writing thread. Blocks: after a crash the whole file is checked first.
    ///
    /// # Errors
    /// See [`OpenError`]: each tells what is in the way and what to do.
    pub fn open(options: OpenOptions) -> Result<Self, OpenError> {
        let file = StorageFile::open(options.path, options.cache_bytes_max, SCHEMA)?;
        let file = Arc::new(file);
        let writer = Writer::start(Arc::clone(&file), KeyValueChanges, changes::BOUNDS)?;
        Ok(Self {
            store: Arc::new(Store { writer, file }),
        })
    }
}

impl KeyValueBackend for EmbeddedBackend {
    fn bucket(&self, name: &BucketName) -> Result<Arc<dyn Bucket>, KeyValueError> {
        Ok(Arc::new(EmbeddedBucket {
            store: Arc::clone(&self.store),
            prefix: KeyPrefix::new(name),
        }))
    }
}

struct EmbeddedBucket {
    store: Arc<Store>,
    prefix: KeyPrefix,
}

impl EmbeddedBucket {
    async fn change(&self, change: Change) -> Result<Outcome, KeyValueError> {
        self.store.writer.write(change).await?
    }

    /// Reads what may take many disk reads on a thread that may block.
    async fn read_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Table, &KeyPrefix) -> Result<T, KeyValueError> + Send + 'static,
    ) -> Result<T, KeyValueError> {
        let file = Arc::clone(&self.store.file);
        let prefix = self.prefix.clone();
        let read = move || read(&file, |table| work(table, &prefix));
        match tokio::task::spawn_blocking(read).await {
            Ok(result) => result,
            Err(_) => Err(KeyValueError::Unavailable), // the runtime is shutting down
        }
    }
}

/// Runs `work` on a snapshot of the table.
fn read<T>(
    file: &StorageFile,
    work: impl FnOnce(&Table) -> Result<T, KeyValueError>,
) -> Result<T, KeyValueError> {
    file.read(|snapshot| work(&snapshot.open_table(ENTRIES).map_err(Failure::from)?))
}

impl From<Failure> for KeyValueError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::DiskFull,
            Failure::Damaged(reason) => Self::Damaged { reason },
            Failure::Closed => Self::Unavailable,
            Failure::Storage(reason) => Self::Storage { reason },
        }
    }
}

impl From<WriteError> for KeyValueError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Overloaded => Self::Overloaded,
            WriteError::Failed(failure) => failure.into(),
        }
    }
}

#[async_trait]
impl Bucket for EmbeddedBucket {
    // Reads one key on the calling thread: the path to it is in the cache nearly always, and where
    // not it is one short disk read, which costs less than a change of threads does every time.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, KeyValueError> {
        check_key(key)?;
        let stored = stored_key(&self.prefix, key);
        read(&self.store.file, |table| {
            let value = table.get(&stored[..]).map_err(Failure::from)?;
            Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
        })
    }

    async fn set(&self, key: String, value: Bytes) -> Result<(), KeyValueError> {
        check_pair(&key, &value)?;
        let pair = (stored_key(&self.prefix, &key), value);
        self.change(Change::Set(vec![pair])).await.map(drop)
    }

    async fn delete(&self, key: String) -> Result<(), KeyValueError> {
        check_key(&key)?;
        self.change(Change::Delete(vec![stored_key(&self.prefix, &key)]))
            .await
            .map(drop)
    }

    async fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        check_key(key)?;
        let stored = stored_key(&self.prefix, key);
        read(&self.store.file, |table| {
            let value = table.get(&stored[..]).map_err(Failure::from)?;
            Ok(value.is_some())
        })
    }

    async fn list_keys(&self, cursor: Option<u64>) -> Result<KeyPage, KeyValueError> {
        self.read_blocking(move |table, prefix| list_keys(table, prefix, cursor))
            .await
    }

    async fn increment(&self, key: String, delta: u64) -> Result<u64, KeyValueError> {
        check_key(&key)?;
        let key = stored_key(&self.prefix, &key);
        match self.change(Change::Increment { key, delta }).await? {
            Outcome::Sum(sum) => Ok(sum),
            Outcome::Done => unreachable!("an increment is answered with its sum"),
        }
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, KeyValueError> {
        check_keys(keys)?;
        let keys = keys.to_owned();
        self.read_blocking(move |table, prefix| get_many(table, prefix, &keys))
            .await
    }

    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), KeyValueError> {
        check_pairs(&pairs)?;
        let pairs = pairs
            .into_iter()
            .map(|(key, value)| (stored_key(&self.prefix, &key), value))
            .collect();
        self.change(Change::Set(pairs)).await.map(drop)
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), KeyValueError> {
        check_keys(&keys)?;
        let keys = keys
            .iter()
            .map(|key| stored_key(&self.prefix, key))
            .collect();
        self.change(Change::Delete(keys)).await.map(drop)
    }
}

fn list_keys(
    table: &Table,
    prefix: &KeyPrefix,
    cursor: Option<u64>,
) -> Result<KeyPage, KeyValueError> {
    let (from, to) = prefix.range_from(cursor.unwrap_or(0));
    let mut page = KeyPage::default();
    let mut last_hash = None;
    for entry in table.range(&from[..]..&to[..]).map_err(Failure::from)? {
        let (stored, _) = entry.map_err(Failure::from)?;
        let (hash, key) = prefix
            .split(stored.value())
            .ok_or_else(|| KeyValueError::Damaged {
                reason: "a stored key is not in the expected form".to_owned(),
            })?;
        // A page ends between two hashes, because the cursor is one.
        if page.keys.len() >= LIST_KEYS_PAGE_MAX && last_hash != Some(hash) {
            page.cursor = Some(hash);
            break;
        }
        last_hash = Some(hash);
        page.keys.push(key.to_owned());
    }
    Ok(page)
}

fn get_many(
    table: &Table,
    prefix: &KeyPrefix,
    keys: &[String],
) -> Result<Vec<Option<Bytes>>, KeyValueError> {
    let mut total = BatchBytes::default();
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        let stored = stored_key(prefix, key);
        let value = table.get(&stored[..]).map_err(Failure::from)?;
        total.add(key.len() + value.as_ref().map_or(0, |value| value.value().len()))?;
        values.push(value.map(|value| Bytes::copy_from_slice(value.value())));
    }
    Ok(values)
}
