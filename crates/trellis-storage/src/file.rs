//! The file: opening it, reading it, opening it again after a failure, closing it.
//!
//! The storage library asserts what it believes about a file, so a damaged one can make it panic;
//! everything that touches the file runs where such a panic becomes an error.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, TryLockError};

use redb::{Database, ReadTransaction, ReadableDatabase};

use crate::errors::{Failure, OpenError, SchemaError, panic_text};

/// What a file is for.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// What logs call the file, one short word. Its thread is `NAME-writer`, of which Linux shows 15
    /// letters.
    pub name: &'static str,
    /// Makes the tables in a new file, so that a read never has to, and checks those of another one.
    pub ensure: fn(&Database) -> Result<(), SchemaError>,
}

/// An open storage file; closed only while it is opened again after a failure, or when that failed.
pub struct StorageFile {
    path: PathBuf,
    cache_bytes_max: usize,
    schema: Schema,
    database: RwLock<Option<Database>>,
}

impl StorageFile {
    /// Opens the file at `path`, makes it and its folder where they are missing, and keeps at most
    /// `cache_bytes_max` of it in memory. Blocks: after a crash the whole file is checked first.
    ///
    /// # Errors
    /// See [`OpenError`]: each tells what is in the way and what to do.
    pub fn open(path: PathBuf, cache_bytes_max: usize, schema: Schema) -> Result<Self, OpenError> {
        let database = open_database(&path, cache_bytes_max, schema)?;
        Ok(Self {
            path,
            cache_bytes_max,
            schema,
            database: RwLock::new(Some(database)),
        })
    }

    /// Returns where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on a snapshot of the file. Never waits for the writer; reads the disk where the
    /// cache has not what is asked for.
    ///
    /// # Errors
    /// Those of `work`, and [`Failure`] where the file fails or is closed.
    pub fn read<T, E: From<Failure>>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.with_database(|database| {
            let snapshot = database.begin_read().map_err(Failure::from)?;
            work(&snapshot)
        })
    }

    pub(crate) fn schema(&self) -> Schema {
        self.schema
    }

    /// Runs `work` on the open file. Never waits: while the file is opened again it is unavailable.
    pub(crate) fn with_database<T, E: From<Failure>>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, E>,
    ) -> Result<T, E> {
        let guard = match self.database.try_read() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Failure::Closed.into()),
        };
        let database = guard.as_ref().ok_or(Failure::Closed)?;
        catch_unwind(AssertUnwindSafe(|| work(database)))
            .unwrap_or_else(|panic| Err(Failure::Damaged(panic_text(&*panic)).into()))
    }

    /// Closes the file and opens it again, which is what the storage asks for after a failed write:
    /// what was acknowledged is in the file, the failed transaction is not.
    pub(crate) fn reopen(&self) -> Result<(), OpenError> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let closed = database.take();
        // A failure while closing changes nothing: the file is read afresh.
        drop(catch_unwind(AssertUnwindSafe(|| drop(closed))));
        *database = Some(open_database(
            &self.path,
            self.cache_bytes_max,
            self.schema,
        )?);
        Ok(())
    }

    pub(crate) fn is_open(&self) -> bool {
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
            tracing::error!(store = self.schema.name, path = ?self.path, "store was not closed well");
        }
    }
}

fn open_database(
    path: &Path,
    cache_bytes_max: usize,
    schema: Schema,
) -> Result<Database, OpenError> {
    let system_failed = |source| OpenError::of_system(path, source);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(system_failed)?;
    let file = open_file(path).map_err(system_failed)?;
    let database = catch_unwind(AssertUnwindSafe(|| {
        let database = Database::builder()
            .set_cache_size(cache_bytes_max)
            .create_file(file)
            .map_err(|error| OpenError::of_database(path, error))?;
        (schema.ensure)(&database).map_err(|error| OpenError::of_schema(path, error))?;
        Ok(database)
    }))
    .unwrap_or_else(|panic| {
        Err(OpenError::Damaged {
            path: path.to_owned(),
            reason: panic_text(&*panic),
        })
    })?;
    sync_folder(folder).map_err(system_failed)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;

    /// Memory that cannot be closed.
    #[derive(Debug)]
    struct Unclosable(InMemoryBackend);

    impl StorageBackend for Unclosable {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }

        fn close(&self) -> io::Result<()> {
            panic!("as the storage library does over a damaged file")
        }
    }

    #[test]
    fn a_panic_while_closing_ends_there() {
        let folder = tempfile::tempdir().unwrap();
        let schema = Schema {
            name: "nothing",
            ensure: |_| Ok(()),
        };
        let file = StorageFile::open(folder.path().join("nothing.redb"), 1 << 20, schema).unwrap();
        let unclosable = || {
            let backend = Unclosable(InMemoryBackend::new());
            Some(Database::builder().create_with_backend(backend).unwrap())
        };
        *file.database.write().unwrap() = unclosable();
        file.reopen().expect("the file itself is sound");
        *file.database.write().unwrap() = unclosable();
        drop(file);
    }
}
