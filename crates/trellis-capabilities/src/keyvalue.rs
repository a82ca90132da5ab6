//! Key-value stores: what a backend promises, its bounds and its errors.
//!
//! The traits here know nothing of WebAssembly; [`KeyValue`] binds one link of one component to a
//! backend and is the only part that does.

mod adapter;
mod embedded;
mod link;
mod memory;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use trellis_core::ComponentId;

pub use adapter::KeyValue;
pub use embedded::{EmbeddedBackend, OpenError, OpenOptions};
pub use link::{KeyValueLink, OpenLink};
pub use memory::{MEMORY_BUCKETS_MAX, MemoryBackend};

/// The longest key. Long enough for every path and URL in common use, short enough that a page of
/// keys stays under 4 MiB.
pub const KEY_BYTES_MAX: usize = 4 << 10;

/// The longest value. A value is copied into and out of guest memory, of which a component has
/// tens of MiB; larger things belong in a blob store.
pub const VALUE_BYTES_MAX: usize = 8 << 20;

/// The most keys or pairs of one batch call.
pub const BATCH_ENTRIES_MAX: usize = 1_024;

/// The most bytes of keys and values that one batch call takes or answers: four values of the
/// greatest size.
pub const BATCH_BYTES_MAX: usize = 4 * VALUE_BYTES_MAX;

/// The most keys in one page of [`Bucket::list_keys`].
pub const LIST_KEYS_PAGE_MAX: usize = 1_000;

/// The longest bucket name a guest can open; the name is part of every stored key.
pub const BUCKET_NAME_BYTES_MAX: usize = 255;

/// Why a key-value operation failed. The first two are cases of the WIT error, all others reach a
/// guest as its `other` with the message given here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// The bucket does not exist and cannot be made.
    #[error("no such store")]
    NoSuchStore,
    /// The caller may not use the bucket.
    #[error("access denied")]
    AccessDenied,
    /// The key is longer than [`KEY_BYTES_MAX`].
    #[error("a key has at most {KEY_BYTES_MAX} bytes, this one has {bytes}")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The value is longer than [`VALUE_BYTES_MAX`].
    #[error("a value has at most {VALUE_BYTES_MAX} bytes, this one has {bytes}")]
    ValueTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The batch has more than [`BATCH_ENTRIES_MAX`] entries.
    #[error("a batch has at most {BATCH_ENTRIES_MAX} entries, this one has {entries}")]
    TooManyEntries {
        /// How many it has.
        entries: usize,
    },
    /// The batch takes or answers more than [`BATCH_BYTES_MAX`].
    #[error("a batch moves at most {BATCH_BYTES_MAX} bytes; split it")]
    BatchTooLarge,
    /// The backend holds as many buckets as it may.
    #[error("the store already has {buckets_max} buckets, which is its limit")]
    TooManyBuckets {
        /// The limit.
        buckets_max: usize,
    },
    /// The value to increment is not a decimal number of 64 bits.
    #[error("the value is not a number that can be incremented")]
    NotANumber,
    /// The incremented value would not fit 64 bits.
    #[error("the incremented value would not fit 64 bits")]
    Overflow,
    /// The store holds as many bytes as it may.
    #[error("the store is full: it may hold {bytes_max} bytes")]
    Full {
        /// The limit.
        bytes_max: usize,
    },
    /// The disk, the quota or the file-size limit under the store is exhausted.
    #[error("the disk under the store is full")]
    DiskFull,
    /// Too many changes wait to be written. Trying again later helps.
    #[error("the store is overloaded: too many changes wait to be written")]
    Overloaded,
    /// The store is being opened again after a failure, or was closed.
    #[error("the store is unavailable")]
    Unavailable,
    /// The stored data is damaged.
    #[error("the store is damaged: {reason}")]
    Damaged {
        /// What was found.
        reason: String,
    },
    /// The storage under the store failed in another way.
    #[error("the storage failed: {reason}")]
    Storage {
        /// What it said.
        reason: String,
    },
    /// A provider elsewhere failed, or cannot be reached.
    #[error("{message}")]
    Provider {
        /// What happened, with the names that tell where.
        message: String,
    },
}

/// The full name of a bucket: the id of the link's target, then the name the guest sees.
///
/// Two applications share a bucket only when both link to the same target.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BucketName(Arc<str>);

impl BucketName {
    /// Names the bucket `name` of the provider `target`.
    ///
    /// # Errors
    /// [`KeyValueError::NoSuchStore`] when `name` is empty, longer than
    /// [`BUCKET_NAME_BYTES_MAX`] or has control characters: no bucket has such a name.
    pub fn new(target: &ComponentId, name: &str) -> Result<Self, KeyValueError> {
        let usable = (1..=BUCKET_NAME_BYTES_MAX).contains(&name.len())
            && !name.chars().any(char::is_control);
        if !usable {
            return Err(KeyValueError::NoSuchStore);
        }
        // An id has no slash, so that no two pairs give one text.
        Ok(Self(format!("{target}/{name}").into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name without the target.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }
}

impl fmt::Debug for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// One page of the keys of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// At most [`LIST_KEYS_PAGE_MAX`] keys, in no particular order.
    pub keys: Vec<String>,
    /// Where the next page begins; `None` after the last.
    pub cursor: Option<u64>,
}

/// Where buckets live.
pub trait KeyValueBackend: Send + Sync + 'static {
    /// Resolves `name` once, so that no later operation looks it up again. A bucket that nobody
    /// wrote to is an empty one.
    ///
    /// # Errors
    /// [`KeyValueError::TooManyBuckets`] where the backend bounds them.
    fn bucket(&self, name: &BucketName) -> Result<Arc<dyn Bucket>, KeyValueError>;
}

/// One collection of keys and values.
///
/// Every operation is atomic, the batches included, and a change is as durable as the backend
/// makes it before the operation returns.
///
/// # Errors
/// Every operation refuses keys, values and batches beyond the bounds of this module, before it
/// changes anything; each then fails as its backend does.
///
/// # Cancel safety
/// A change whose future is dropped may happen or not, as a whole.
#[async_trait]
pub trait Bucket: Send + Sync + 'static {
    /// Returns the value of `key`.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, KeyValueError>;

    /// Sets `key` to `value`.
    async fn set(&self, key: String, value: Bytes) -> Result<(), KeyValueError>;

    /// Removes `key`; a key that is not there is no error.
    async fn delete(&self, key: String) -> Result<(), KeyValueError>;

    /// Tells whether `key` has a value.
    async fn exists(&self, key: &str) -> Result<bool, KeyValueError>;

    /// Returns the page of keys at `cursor`, from the start without one. A key that is there during
    /// the whole listing is returned once, whatever is written meanwhile.
    async fn list_keys(&self, cursor: Option<u64>) -> Result<KeyPage, KeyValueError>;

    /// Adds `delta` to the decimal number at `key` (0 where there is none) and returns the sum.
    /// Values are decimal text, as the key-value providers of wasmCloud 1.x keep them.
    async fn increment(&self, key: String, delta: u64) -> Result<u64, KeyValueError>;

    /// Returns the values of `keys`, in their order.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, KeyValueError>;

    /// Sets all `pairs`; of two with one key the later counts.
    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), KeyValueError>;

    /// Removes all `keys`.
    async fn delete_many(&self, keys: Vec<String>) -> Result<(), KeyValueError>;
}

/// Holds a key to the bounds of this module, as every backend must.
///
/// # Errors
/// Names the bound.
pub fn check_key(key: &str) -> Result<(), KeyValueError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(KeyValueError::KeyTooLong { bytes: key.len() });
    }
    Ok(())
}

/// Holds a key and its value to the bounds of this module, as every backend must.
///
/// # Errors
/// Names the bound.
pub fn check_pair(key: &str, value: &Bytes) -> Result<(), KeyValueError> {
    check_key(key)?;
    if value.len() > VALUE_BYTES_MAX {
        return Err(KeyValueError::ValueTooLong { bytes: value.len() });
    }
    Ok(())
}

/// Holds the keys of a batch to the bounds of this module, as every backend must.
///
/// # Errors
/// Names the bound.
pub fn check_keys(keys: &[String]) -> Result<(), KeyValueError> {
    check_entries(keys.len())?;
    keys.iter().try_for_each(|key| check_key(key))
}

/// Holds the pairs of a batch to the bounds of this module, as every backend must.
///
/// # Errors
/// Names the bound.
pub fn check_pairs(pairs: &[(String, Bytes)]) -> Result<(), KeyValueError> {
    check_entries(pairs.len())?;
    let mut total = BatchBytes::default();
    for (key, value) in pairs {
        check_pair(key, value)?;
        total.add(key.len() + value.len())?;
    }
    Ok(())
}

fn check_entries(entries: usize) -> Result<(), KeyValueError> {
    if entries > BATCH_ENTRIES_MAX {
        return Err(KeyValueError::TooManyEntries { entries });
    }
    Ok(())
}

/// Counts what a batch moves, against [`BATCH_BYTES_MAX`].
#[derive(Default)]
struct BatchBytes(usize);

impl BatchBytes {
    fn add(&mut self, bytes: usize) -> Result<(), KeyValueError> {
        self.0 += bytes;
        if self.0 > BATCH_BYTES_MAX {
            return Err(KeyValueError::BatchTooLarge);
        }
        Ok(())
    }
}

/// Adds `delta` to the decimal text `value`.
fn incremented(value: Option<&[u8]>, delta: u64) -> Result<u64, KeyValueError> {
    let current = match value {
        None => 0,
        Some(text) => std::str::from_utf8(text)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or(KeyValueError::NotANumber)?,
    };
    current.checked_add(delta).ok_or(KeyValueError::Overflow)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_decimal_text_can_be_incremented() {
        assert_eq!(incremented(None, 3), Ok(3));
        assert_eq!(incremented(Some(b"39"), 3), Ok(42));
        for text in [
            &b""[..],
            b"+1",
            b"-1",
            b" 1",
            b"1.0",
            b"\xff",
            b"99999999999999999999",
        ] {
            assert_eq!(incremented(Some(text), 1), Err(KeyValueError::NotANumber));
        }
        assert_eq!(
            incremented(Some(b"18446744073709551615"), 1),
            Err(KeyValueError::Overflow)
        );
    }

    #[test]
    fn a_bucket_name_that_nobody_can_have_is_no_store() {
        let target = ComponentId::new("kv").unwrap();
        assert_eq!(
            BucketName::new(&target, "carts").unwrap().as_str(),
            "kv/carts"
        );
        let deep = BucketName::new(&target, "carts/of/today").unwrap();
        assert_eq!(deep.name(), "carts/of/today");
        for name in ["", "a\0b", "a\nb", &"x".repeat(BUCKET_NAME_BYTES_MAX + 1)] {
            assert_eq!(
                BucketName::new(&target, name),
                Err(KeyValueError::NoSuchStore)
            );
        }
    }
}
