//! What can go wrong with a storage file, and what an error of the storage library means.

use std::io;
use std::path::{Path, PathBuf};

use redb::{DatabaseError, StorageError};

/// Why a storage file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this one, has it open.
    #[error("the store {path:?} is in use by another process; stop it or choose another file")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder may not be read and written.
    #[error("no permission to read and write the store {path:?}")]
    Permission {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no room for the file.
    #[error("the disk is full: cannot make or extend the store {path:?}")]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not a store, or a damaged one.
    #[error(
        "{path:?} is not a store or is damaged ({reason}); move it away to start with an empty one"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file was written in another version of the storage format.
    #[error("the store {path:?} has the storage format {format}, which this version cannot read")]
    Format {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        format: u8,
    },
    /// A later version of Trellis wrote the file.
    #[error(
        "the store {path:?} was written by a later version of Trellis (layout {found}, this one knows {known}); run that version, or move the file away to start with an empty one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its layout.
        found: u64,
        /// The version that is known.
        known: u64,
    },
    /// The writing thread cannot be started.
    #[error("cannot start the thread that writes the store {path:?}")]
    Thread {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system failed in another way.
    #[error("cannot open the store {path:?}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn of_database(path: &Path, error: DatabaseError) -> Self {
        let path_owned = path.to_owned();
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse { path: path_owned },
            DatabaseError::UpgradeRequired(format) => Self::Format {
                path: path_owned,
                format,
            },
            DatabaseError::Storage(StorageError::Io(source)) => Self::of_system(path, source),
            other => Self::Damaged {
                path: path_owned,
                reason: other.to_string(),
            },
        }
    }

    pub(crate) fn of_schema(path: &Path, error: SchemaError) -> Self {
        match error {
            SchemaError::Storage(error) => Self::of_database(path, error.into()),
            SchemaError::Newer { found, known } => Self::Newer {
                path: path.to_owned(),
                found,
                known,
            },
            SchemaError::Foreign => Self::Damaged {
                path: path.to_owned(),
                reason: error.to_string(),
            },
        }
    }

    pub(crate) fn of_system(path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{InvalidData, PermissionDenied, ReadOnlyFilesystem, UnexpectedEof};
        let path = path.to_owned();
        match source.kind() {
            PermissionDenied | ReadOnlyFilesystem => Self::Permission { path, source },
            InvalidData | UnexpectedEof => Self::Damaged {
                path,
                reason: source.to_string(),
            },
            _ if is_full(&source) => Self::DiskFull { path, source },
            _ => Self::Io { path, source },
        }
    }
}

/// Why the tables of a file cannot be used. Any error of the storage library becomes one.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The storage failed.
    #[error("the storage failed")]
    Storage(#[source] StorageError),
    /// A later version of Trellis made them.
    #[error("its layout is {found}, this version knows {known}")]
    Newer {
        /// The version of their layout.
        found: u64,
        /// The version that is known.
        known: u64,
    },
    /// They are tables of another program.
    #[error("it is the file of something else")]
    Foreign,
}

impl<E: Into<redb::Error>> From<E> for SchemaError {
    fn from(error: E) -> Self {
        Self::Storage(storage_error(error))
    }
}

/// Why the open file failed an operation. Any error of the storage library becomes one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no room on its disk.
    #[error("the disk is full")]
    Full,
    /// What is in it is not what it should be.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// It is closed, or about to be opened again.
    #[error("the file is closed")]
    Closed,
    /// The system failed in another way.
    #[error("{0}")]
    Storage(String),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        match storage_error(error) {
            StorageError::Io(source) if is_full(&source) => Self::Full,
            StorageError::Corrupted(reason) => Self::Damaged(reason),
            StorageError::PreviousIo | StorageError::DatabaseClosed => Self::Closed,
            other => Self::Storage(other.to_string()),
        }
    }
}

/// Why a change was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Too many changes wait already.
    #[error("too many changes wait to be written")]
    Overloaded,
    /// The file failed; none of the changes that were to be written together was made.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Reduces any error of the storage library to what it means for the file.
fn storage_error(error: impl Into<redb::Error>) -> StorageError {
    match error.into() {
        redb::Error::Io(source) => StorageError::Io(source),
        redb::Error::PreviousIo => StorageError::PreviousIo,
        redb::Error::DatabaseClosed => StorageError::DatabaseClosed,
        other => StorageError::Corrupted(other.to_string()),
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Returns what a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given")
        .to_owned()
}
