//! The file under the embedded buckets: opening it, reading it, opening it again after a failure.
//!
//! It has three tables: the version of its layout, the buckets, and their entries.
//!
//! The storage library asserts what it believes about a file, so a damaged one can make it panic;
//! everything that touches the file runs where such a panic becomes an error.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, TryLockError};

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageError, TableDefinition,
    TableError, TableHandle,
};

/// The version of the layout under the key [`LAYOUT_KEY`]. Every version of this store has this
/// table.
const LAYOUT: TableDefinition<'static, &str, u64> = TableDefinition::new("trellis-state");
const LAYOUT_KEY: &str = "layout";
/// The layout that this version reads and writes.
const LAYOUT_VERSION: u64 = 1;

/// The buckets; see [`super::layout`].
pub(super) const BUCKETS: TableDefinition<'static, &str, &[u8]> =
    TableDefinition::new("trellis-state-buckets");
/// The entries of all buckets; see [`super::layout`].
pub(super) const ENTRIES: TableDefinition<'static, &[u8], &[u8]> =
    TableDefinition::new("trellis-state-entries");

/// Pages kept in memory unless told otherwise: the state of a lattice of a thousand components.
const CACHE_BYTES_DEFAULT: usize = 8 << 20;

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

    /// Runs `work` on a snapshot of the file.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.with_database(|database| {
            let snapshot = database.begin_read().map_err(storage_failed)?;
            work(&snapshot)
        })
    }

    /// Runs `work` on the open file. Never waits: while the file is opened again it is unavailable.
    pub(super) fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let guard = match self.database.try_read() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Failure::Closed),
        };
        let database = guard.as_ref().ok_or(Failure::Closed)?;
        catch_unwind(AssertUnwindSafe(|| work(database)))
            .unwrap_or_else(|panic| Err(Failure::Damaged(panic_text(&*panic))))
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

impl Drop for StorageFile {
    /// Closing writes too, and a damaged file can make that panic like anything else.
    fn drop(&mut self) {
        let database = self
            .database
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::error!(path = ?self.path(), "state store was not closed well");
        }
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
        ensure_layout(&database).map_err(|error| layout_failed(path, error))?;
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
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600); // configs may hold what is secret
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

/// Why the tables of a file cannot be used.
enum LayoutError {
    Database(DatabaseError),
    Newer(u64),
    Foreign,
}

impl<E: Into<redb::Error>> From<E> for LayoutError {
    fn from(error: E) -> Self {
        Self::Database(storage_error(error).into())
    }
}

/// Makes the tables in a new file, so that a read never has to, and checks those of another one.
fn ensure_layout(database: &Database) -> Result<(), LayoutError> {
    let found = {
        let snapshot = database.begin_read()?;
        match snapshot.open_table(LAYOUT) {
            Ok(table) => table.get(LAYOUT_KEY)?.map(|version| version.value()),
            Err(TableError::TableDoesNotExist(_)) => {
                let foreign = snapshot
                    .list_tables()?
                    .any(|table| !table.name().is_empty());
                if foreign {
                    return Err(LayoutError::Foreign);
                }
                None
            }
            Err(error) => return Err(error.into()),
        }
    };
    match found {
        Some(LAYOUT_VERSION) => Ok(()),
        Some(newer) => Err(LayoutError::Newer(newer)),
        None => make_tables(database),
    }
}

fn make_tables(database: &Database) -> Result<(), LayoutError> {
    let transaction = database.begin_write()?;
    {
        let mut layout = transaction.open_table(LAYOUT)?;
        layout.insert(LAYOUT_KEY, LAYOUT_VERSION)?;
        transaction.open_table(BUCKETS)?;
        transaction.open_table(ENTRIES)?;
    }
    transaction.commit()?;
    Ok(())
}

fn layout_failed(path: &Path, error: LayoutError) -> OpenError {
    let path_owned = path.to_owned();
    match error {
        LayoutError::Database(error) => database_failed(path, error),
        LayoutError::Newer(found) => OpenError::Newer {
            path: path_owned,
            found,
            known: LAYOUT_VERSION,
        },
        LayoutError::Foreign => OpenError::Damaged {
            path: path_owned,
            reason: "it is the file of something else".to_owned(),
        },
    }
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

/// Why the open file failed an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no room on its disk.
    Full,
    /// What is in it is not what it should be.
    Damaged(String),
    /// It is closed, or about to be opened again.
    Closed,
    /// The system failed in another way.
    Storage(String),
}

/// Says what a failure of the storage means.
pub(super) fn storage_failed(error: impl Into<redb::Error>) -> Failure {
    match storage_error(error) {
        StorageError::Io(source) if is_full(&source) => Failure::Full,
        StorageError::Corrupted(reason) => Failure::Damaged(reason),
        StorageError::PreviousIo | StorageError::DatabaseClosed => Failure::Closed,
        other => Failure::Storage(other.to_string()),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given")
        .to_owned()
}
