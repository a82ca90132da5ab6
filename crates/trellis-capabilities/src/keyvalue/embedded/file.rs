//! The file under the embedded buckets: opening it, reading it, opening it again after a failure.
//!
//! The storage library asserts what it believes about a file, so a damaged one can make it panic;
//! everything that touches the file runs where such a panic becomes an error.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, TryLockError};

use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadableDatabase, StorageError, TableDefinition,
    TableError,
};

use super::super::KeyValueError;
use super::ReadError;

/// The one table. Its name ends in the version of the layout of its keys.
pub(super) const ENTRIES: TableDefinition<'static, &[u8], &[u8]> =
    TableDefinition::new("trellis-keyvalue-1");

/// The table as reads see it.
pub(super) type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

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

/// Why the file of a store cannot be opened.
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

/// An open store file; closed only while it is opened again after a failure, or when that failed.
pub(super) struct StorageFile {
    options: OpenOptions,
    database: RwLock<Option<Database>>,
}

impl StorageFile {
    pub(super) fn open(options: OpenOptions) -> Result<Self, OpenError> {
        let database = open_database(&options)?;
        Ok(Self {
            options,
            database: RwLock::new(Some(database)),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.options.path
    }

    /// Runs `work` on a snapshot of the table.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Table) -> Result<T, ReadError>,
    ) -> Result<T, KeyValueError> {
        self.with_database(|database| {
            let transaction = database.begin_read().map_err(storage_failed)?;
            let table = transaction.open_table(ENTRIES).map_err(storage_failed)?;
            work(&table).map_err(|error| match error {
                ReadError::Storage(source) => storage_failed(source),
                ReadError::KeyValue(error) => error,
            })
        })
    }

    /// Runs `work` on the open file. Never waits: while the file is opened again it is unavailable.
    pub(super) fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, KeyValueError>,
    ) -> Result<T, KeyValueError> {
        let guard = match self.database.try_read() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(KeyValueError::Unavailable),
        };
        let database = guard.as_ref().ok_or(KeyValueError::Unavailable)?;
        catch_unwind(AssertUnwindSafe(|| work(database))).unwrap_or_else(|panic| {
            Err(KeyValueError::Damaged {
                reason: panic_text(&*panic),
            })
        })
    }

    /// Closes the file and opens it again, which is what the storage asks for after a failed write:
    /// what was acknowledged is in the file, the failed transaction is not.
    pub(super) fn reopen(&self) -> Result<(), OpenError> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let closed = database.take();
        // A failure while closing changes nothing: the file is read afresh.
        drop(catch_unwind(AssertUnwindSafe(|| drop(closed))));
        *database = Some(open_database(&self.options)?);
        Ok(())
    }

    pub(super) fn is_open(&self) -> bool {
        self.database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }
}

fn open_database(options: &OpenOptions) -> Result<Database, OpenError> {
    let path = &options.path;
    let io_failed = |source| io_failed(path, source);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io_failed)?;
    let file = open_file(path).map_err(io_failed)?;
    let database = catch_unwind(AssertUnwindSafe(|| {
        let database = Database::builder()
            .set_cache_size(options.cache_bytes_max)
            .create_file(file)
            .map_err(|error| database_failed(path, error))?;
        ensure_table(&database).map_err(|error| database_failed(path, error))?;
        Ok(database)
    }))
    .unwrap_or_else(|panic| {
        Err(OpenError::Damaged {
            path: path.clone(),
            reason: panic_text(&*panic),
        })
    })?;
    sync_folder(folder).map_err(io_failed)?;
    Ok(database)
}

fn open_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600); // what is stored may be secret
    options.open(path)
}

/// Makes the name of a new file as durable as what is in it.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        fs::File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

/// Makes the table where it is missing, so that a read never has to.
fn ensure_table(database: &Database) -> Result<(), DatabaseError> {
    match database
        .begin_read()
        .map_err(storage_error)?
        .open_table(ENTRIES)
    {
        Ok(_) => return Ok(()),
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(storage_error(error).into()),
    }
    let transaction = database.begin_write().map_err(storage_error)?;
    transaction.open_table(ENTRIES).map_err(storage_error)?;
    transaction.commit().map_err(storage_error)?;
    Ok(())
}

/// Reduces any error of the storage to what it means for the file.
fn storage_error(error: impl Into<redb::Error>) -> StorageError {
    match error.into() {
        redb::Error::Io(source) => StorageError::Io(source),
        redb::Error::PreviousIo => StorageError::PreviousIo,
        redb::Error::DatabaseClosed => StorageError::DatabaseClosed,
        other => StorageError::Corrupted(other.to_string()),
    }
}

fn database_failed(path: &Path, error: DatabaseError) -> OpenError {
    let path_owned = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path_owned },
        DatabaseError::UpgradeRequired(format) => OpenError::Format {
            path: path_owned,
            format,
        },
        DatabaseError::Storage(StorageError::Io(source)) => io_failed(path, source),
        other => OpenError::Damaged {
            path: path_owned,
            reason: other.to_string(),
        },
    }
}

fn io_failed(path: &Path, source: io::Error) -> OpenError {
    use io::ErrorKind::{InvalidData, PermissionDenied, ReadOnlyFilesystem, UnexpectedEof};
    let path = path.to_owned();
    match source.kind() {
        PermissionDenied | ReadOnlyFilesystem => OpenError::Permission { path, source },
        InvalidData | UnexpectedEof => OpenError::Damaged {
            path,
            reason: source.to_string(),
        },
        _ if is_full(&source) => OpenError::DiskFull { path, source },
        _ => OpenError::Io { path, source },
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Says what a failure of the storage means to the caller of an operation.
pub(super) fn storage_failed(error: impl Into<redb::Error>) -> KeyValueError {
    match storage_error(error) {
        StorageError::Io(source) if is_full(&source) => KeyValueError::DiskFull,
        StorageError::Corrupted(reason) => KeyValueError::Damaged { reason },
        StorageError::PreviousIo | StorageError::DatabaseClosed => KeyValueError::Unavailable,
        other => KeyValueError::Storage {
            reason: other.to_string(),
        },
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given")
        .to_owned()
}
