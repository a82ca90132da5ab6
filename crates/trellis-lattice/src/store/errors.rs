//! What can go wrong with a store.

use trellis_core::ErrorClass;

use super::{BucketName, Entry, Key};

/// What lies under a failure of a store.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a bucket cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store does not answer now. Nothing was changed.
    #[error("the store of bucket {bucket} cannot be reached now")]
    Unavailable {
        /// The bucket.
        bucket: BucketName,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// The bucket does not exist; it was deleted, or the server lost its store.
    #[error("the bucket {bucket} does not exist (any more)")]
    Missing {
        /// The bucket.
        bucket: BucketName,
    },
    /// The server keeps no streams, or not for this account or domain.
    #[error(
        "the NATS server keeps no streams for bucket {bucket}; start it with JetStream (-js), enable it for the account, or name its JetStream domain"
    )]
    NoJetStream {
        /// The bucket.
        bucket: BucketName,
    },
    /// The credentials do not reach that far.
    #[error("these credentials may not use bucket {bucket}: publishing to {subject} is refused")]
    Denied {
        /// The bucket.
        bucket: BucketName,
        /// The subject that was refused.
        subject: String,
    },
    /// What is stored is not what it should be.
    #[error("the store of bucket {bucket} is damaged: {reason}")]
    Damaged {
        /// The bucket.
        bucket: BucketName,
        /// What was found.
        reason: String,
    },
    /// A listing would return too much.
    #[error("bucket {bucket} holds more than {what} can list")]
    TooMuch {
        /// The bucket.
        bucket: BucketName,
        /// The bound that was met.
        what: &'static str,
    },
    /// The server refused for a reason of its own.
    #[error("the server refused an operation on bucket {bucket}: {reason} (code {code})")]
    Refused {
        /// The bucket.
        bucket: BucketName,
        /// What the server said.
        reason: String,
        /// Its code for that.
        code: u64,
    },
}

impl StoreError {
    /// Returns the class of the failure, as every tier reports it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Denied { .. } => ErrorClass::Denied,
            Self::TooMuch { .. } => ErrorClass::Overloaded,
            Self::Unavailable { .. }
            | Self::Missing { .. }
            | Self::NoJetStream { .. }
            | Self::Damaged { .. }
            | Self::Refused { .. } => ErrorClass::Unavailable,
        }
    }
}

/// Why a change was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// What is there is not what was expected. Nothing was changed.
    #[error("{key} was changed by someone else")]
    Conflict {
        /// The key.
        key: Key,
        /// What is there.
        current: Option<Entry>,
    },
    /// The value is too large. Nothing was changed.
    #[error("the value of {key} has {bytes} bytes, at most {bytes_max} are stored")]
    TooLarge {
        /// The key.
        key: Key,
        /// The bytes of the value.
        bytes: usize,
        /// The most that are stored.
        bytes_max: usize,
    },
    /// There is no room. Nothing was changed.
    #[error("the store of bucket {bucket} is full; make room on its disk or raise its limit")]
    Full {
        /// The bucket.
        bucket: BucketName,
    },
    /// Too many changes wait already. Nothing was changed.
    #[error("too many changes of bucket {bucket} wait to be written")]
    Overloaded {
        /// The bucket.
        bucket: BucketName,
    },
    /// No acknowledgement came. Whether the change was made is not known: read before deciding.
    #[error("whether {key} was changed is not known: the store did not acknowledge")]
    Unknown {
        /// The key.
        key: Key,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// The store failed before anything was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PutError {
    /// Returns the class of the failure, as every tier reports it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::TooLarge { .. } => ErrorClass::Denied,
            Self::Full { .. } | Self::Overloaded { .. } | Self::Conflict { .. } => {
                ErrorClass::Overloaded
            }
            Self::Unknown { .. } => ErrorClass::Unavailable,
            Self::Store(error) => error.class(),
        }
    }
}
