//! Compiled code on disk.
//!
//! An entry is native code that will run with the host's rights, so it is only loaded when nobody else
//! could have written it and when its checksum, which covers its name, is right. Everything else is
//! compiled again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// What the cache may hold; the entries used longest ago go first.
const CACHE_BYTES_MAX: u64 = 4 << 30;
const CHECKSUM_BYTES: usize = 32;

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder cannot be made or read.
    #[error("cannot use {} as the folder for compiled code", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else could put code there.
    #[error("{} could be written by others ({reason}), so code is not loaded from it", path.display())]
    Unsafe {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with its owner or mode.
        reason: String,
    },
    /// An entry cannot be written.
    #[error("cannot write compiled code to {}", path.display())]
    Write {
        /// The entry.
        path: PathBuf,
        /// Why, such as a full disk.
        #[source]
        source: io::Error,
    },
}

/// A folder of compiled components.
#[derive(Clone, Debug)]
pub struct CompileCache {
    folder: PathBuf,
}

impl CompileCache {
    /// Opens `folder`, and makes it, for its owner only, where it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or when somebody else could write to it.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let error = |source| CacheError::Folder {
            path: folder.to_owned(),
            source,
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(error)?;
        let metadata = fs::symlink_metadata(folder).map_err(error)?;
        check_owner(folder, &metadata)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Returns the file of the entry `key`, if there is a sound one.
    pub(crate) fn find(&self, key: &str) -> Option<PathBuf> {
        let path = self.entry(key);
        match self.check(&path, key) {
            Ok(found) => found.then_some(path),
            Err(reason) => {
                tracing::warn!(entry = %path.display(), reason, "compiled code refused, compiling again");
                None
            }
        }
    }

    fn check(&self, path: &Path, key: &str) -> Result<bool, String> {
        let mut file = match open_no_follow(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.to_string()),
        };
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        check_owner(path, &metadata).map_err(|error| error.to_string())?;
        let expected = self.read_checksum(path)?;
        let mut hasher = Sha256::new();
        hasher.update(key.as_bytes());
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = file.read(&mut buffer).map_err(|error| error.to_string())?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
        }
        if hasher.finalize().as_slice() != expected {
            return Err("its checksum is wrong".to_owned());
        }
        // A failure only makes the entry look older than it is.
        let _ = file.set_modified(SystemTime::now());
        Ok(true)
    }

    fn read_checksum(&self, path: &Path) -> Result<[u8; CHECKSUM_BYTES], String> {
        let path = path.with_extension("sum");
        let mut file = open_no_follow(&path).map_err(|error| format!("its checksum: {error}"))?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        check_owner(&path, &metadata).map_err(|error| error.to_string())?;
        let mut checksum = [0; CHECKSUM_BYTES];
        file.read_exact(&mut checksum)
            .map_err(|_| "its checksum is cut short".to_owned())?;
        Ok(checksum)
    }

    /// Stores `code` under `key` and removes the oldest entries where the cache grew too large.
    ///
    /// # Errors
    /// When it cannot be written; the caller has the code all the same.
    pub(crate) fn store(&self, key: &str, code: &[u8]) -> Result<(), CacheError> {
        let path = self.entry(key);
        let mut hasher = Sha256::new();
        hasher.update(key.as_bytes());
        hasher.update(code);
        self.write(&path, code)?;
        self.write(&path.with_extension("sum"), hasher.finalize().as_slice())?;
        self.prune();
        Ok(())
    }

    fn entry(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.cwasm"))
    }

    /// Writes beside the entry and renames, so that a reader never sees half of it.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        let temporary =
            path.with_extension(format!("{}.{:x}", std::process::id(), fastrand::u64(..)));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let result = options
            .open(&temporary)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&temporary, path));
        result.map_err(|source| {
            let _ = fs::remove_file(&temporary); // what is left of it is of no use
            CacheError::Write {
                path: path.to_owned(),
                source,
            }
        })
    }

    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        if total <= CACHE_BYTES_MAX {
            return;
        }
        files.sort();
        for (_, bytes, path) in files {
            if total <= CACHE_BYTES_MAX {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                total -= bytes;
            }
        }
    }
}

#[cfg(unix)]
fn open_no_follow(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

#[cfg(not(unix))]
fn open_no_follow(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn check_owner(path: &Path, metadata: &fs::Metadata) -> Result<(), CacheError> {
    use std::os::unix::fs::MetadataExt;
    let error = |reason| CacheError::Unsafe {
        path: path.to_owned(),
        reason,
    };
    if metadata.is_symlink() {
        return Err(error("it is a symbolic link".to_owned()));
    }
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != us {
        return Err(error(format!(
            "it belongs to user {}, we are {us}",
            metadata.uid()
        )));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(error(format!(
            "its mode is {:o}; run `chmod go-w` on it",
            metadata.mode() & 0o777
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner(_: &Path, _: &fs::Metadata) -> Result<(), CacheError> {
    Ok(())
}
