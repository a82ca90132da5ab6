//! The state store: buckets of values with revisions, to read, write with checks, list and watch.
//!
//! Two stores implement it. [`EmbeddedStore`] is a file of one host. [`JetStreamStore`] is shared by
//! all hosts of a lattice, in the form that 1.x hosts read and write. Values are bytes; what they
//! mean is the business of others.

mod embedded;
mod errors;
mod jetstream;
mod names;
mod update;
mod view;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use trellis_core::ChangeId;

pub use self::embedded::{EmbeddedStore, OpenError, OpenOptions};
pub use self::errors::{PutError, StoreError};
pub use self::jetstream::{BucketDefaults, JetStreamStore};
pub use self::names::{BucketName, Key, NameError};
pub use self::update::{Update, UpdateError, update, update_once};
pub use self::watch::{Change, RewindCause, Rewound, Watch, WatchOptions};

/// How long a store remembers ids of changes at least: that of JetStream unless a bucket was made with
/// another. Copies of one request are seconds apart.
pub const CHANGES_REMEMBERED_FOR: Duration = Duration::from_secs(120);
/// The largest value. A server of NATS takes 1 MiB of headers and payload unless told otherwise, and
/// what is kept embedded must be able to move there.
pub const VALUE_BYTES_MAX: usize = (1 << 20) - (4 << 10);
/// Entries that one listing returns at most.
pub const ENTRIES_LISTED_MAX: usize = 100_000;
/// Bytes of keys and values that one listing returns at most.
pub const BYTES_LISTED_MAX: usize = 256 << 20;

/// A value and the revision that it was written with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Bytes,
    /// The number of the change that wrote it. Later changes of the same bucket have greater ones.
    pub revision: u64,
}

/// What a writer expects to replace. Anything else there is a conflict, and nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there. Overwrites changes of others.
    Any,
    /// Nothing, or something deleted.
    Absent,
    /// The value with this revision.
    Revision(u64),
}

/// What came of a change that is made once, however often it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once<T> {
    /// It was made now.
    Now(T),
    /// A change with its id was made before. Nothing was changed now, whatever is there by now.
    Before,
}

/// How a value goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is marked as deleted. Hosts of the 1.x line take no notice of deleted specs, and empty a
    /// config that was deleted.
    Delete,
    /// Its history goes too, where the bucket keeps one; for secrets. Hosts of the 1.x line do not
    /// know this one.
    Purge,
}

/// Which bucket this is of all that have had its name, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Another text after the bucket was deleted and made again.
    pub created: String,
    /// The revision of the last change.
    pub revision: u64,
}

impl Incarnation {
    /// Says whether this bucket, seen now, cannot be a later state of the one seen `before`.
    pub fn rewound_since(&self, before: &Self) -> Option<RewindCause> {
        if self.created != before.created {
            Some(RewindCause::Recreated)
        } else if self.revision < before.revision {
            Some(RewindCause::RevisionFell)
        } else {
            None
        }
    }
}

/// Buckets of one lattice.
#[async_trait]
pub trait Store: Send + Sync {
    /// Returns the bucket `name`, after making it where it is missing.
    ///
    /// # Errors
    /// When the store cannot be reached or does not let this user.
    async fn bucket(&self, name: &BucketName) -> Result<Arc<dyn Bucket>, StoreError>;
}

/// Values by key. Every method ends within its deadline: when the store is out of reach, it fails as
/// unavailable.
#[async_trait]
pub trait Bucket: Send + Sync {
    /// Returns the name of the bucket.
    fn name(&self) -> &BucketName;

    /// Returns what is at `key`.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// Writes `value` at `key` if what is there is as `expected`, and returns its revision. It is
    /// durable then, as far as the store's server is set up to be.
    ///
    /// # Errors
    /// On a conflict nothing was written. [`PutError::Unknown`] leaves open whether it was.
    async fn put(&self, key: &Key, value: Bytes, expected: Expected) -> Result<u64, PutError>;

    /// Removes what is at `key` if it is as `expected`, and returns the revision of the removal, or
    /// `None` if nothing was there.
    ///
    /// # Errors
    /// As [`Bucket::put`].
    async fn remove(
        &self,
        key: &Key,
        removal: Removal,
        expected: Expected,
    ) -> Result<Option<u64>, PutError>;

    /// Writes as [`Bucket::put`] does, unless a change `id` of this bucket was made within
    /// [`CHANGES_REMEMBERED_FOR`].
    ///
    /// # Errors
    /// As [`Bucket::put`]. A change that was not made can be tried again under its id, and so can one of
    /// which it is not known.
    async fn put_once(
        &self,
        id: &ChangeId,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<Once<u64>, PutError>;

    /// Removes what is at `key` if it is as `expected`, unless a change `id` of this bucket was made within
    /// [`CHANGES_REMEMBERED_FOR`]. Where nothing is there, that is written too, so that `id` is remembered.
    ///
    /// # Errors
    /// As [`Bucket::put_once`].
    async fn remove_once(
        &self,
        id: &ChangeId,
        key: &Key,
        removal: Removal,
        expected: Expected,
    ) -> Result<Once<u64>, PutError>;

    /// Returns every entry whose key begins with `prefix`, in the order of keys.
    ///
    /// # Errors
    /// When the store cannot be read, or holds more than a listing returns.
    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError>;

    /// Follows every entry whose key begins with `prefix`. Returns at once, whether the store can be
    /// reached or not; the first change is the snapshot, or what is wrong.
    fn watch(&self, prefix: &str, options: WatchOptions) -> Watch;

    /// Says which bucket this is, for a host that remembers what it saw before it was restarted.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn incarnation(&self) -> Result<Incarnation, StoreError>;
}
