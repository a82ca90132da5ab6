//! Files that only their owner may read: written whole or not at all, refused when others can read
//! them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::Secret;

/// The longest file that is read: many times a token and a seed.
pub(crate) const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Why a private file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// It is not there.
    #[error("{path} does not exist")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Others than its owner may read or change it.
    #[error("others can read {path} (mode {mode:04o}); run: chmod {wanted:o} {path}")]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits it should have.
        wanted: u32,
    },
    /// It is no file, or far too long.
    #[error("{path} is not a file of at most {FILE_BYTES_MAX} bytes")]
    Unfit {
        /// The path.
        path: PathBuf,
    },
    /// Reading failed.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Writing failed.
    #[error("cannot write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Reads the text in `path`.
pub(crate) fn read(path: &Path) -> Result<Secret<String>, PrivateFileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => PrivateFileError::Missing { path: path.into() },
        _ => PrivateFileError::Read {
            path: path.into(),
            source,
        },
    };
    // Asked before opening, because opening a named pipe would wait for its writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(PrivateFileError::Unfit { path: path.into() });
    }
    let file = File::open(path).map_err(failed)?;
    check_mode(path, &file.metadata().map_err(failed)?, 0o600)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let text = Secret::new(text);
    match text.expose().len() as u64 > FILE_BYTES_MAX {
        true => Err(PrivateFileError::Unfit { path: path.into() }),
        false => Ok(text),
    }
}

/// Refuses a folder that others than its owner may look into.
pub(crate) fn check_folder(path: &Path) -> Result<(), PrivateFileError> {
    let metadata = fs::metadata(path).map_err(|source| PrivateFileError::Read {
        path: path.into(),
        source,
    })?;
    check_mode(path, &metadata, 0o700)
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata, wanted: u32) -> Result<(), PrivateFileError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(PrivateFileError::Exposed {
        path: path.into(),
        mode,
        wanted,
    })
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::Metadata, _: u32) -> Result<(), PrivateFileError> {
    Ok(()) // Folders of a user are private to that user there.
}

/// Puts `text` into `path`, replacing what was there in one step. After a crash at any moment the
/// old text or the new one is there.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), PrivateFileError> {
    let folder = parent(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // One name for each process, so that two writers do not write into one file.
    let staged = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = write_staged(&staged, text)
        .and_then(|()| fs::rename(&staged, path))
        .and_then(|()| sync_folder(folder));
    written.map_err(|source| {
        // What was staged is of no use; that it may stay behind hurts nothing.
        let _ = fs::remove_file(&staged);
        PrivateFileError::Write {
            path: path.into(),
            source,
        }
    })
}

fn write_staged(staged: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_options().create_new(true).open(staged)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes `path`, and the folders above it that are missing, for the owner only.
pub(crate) fn create_folder(path: &Path) -> Result<(), PrivateFileError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|source| PrivateFileError::Write {
            path: path.into(),
            source,
        })
}

/// Opens `path` for writing, made for the owner only when it is missing.
pub(crate) fn open_lock(path: &Path) -> Result<File, PrivateFileError> {
    private_options()
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|source| PrivateFileError::Write {
            path: path.into(),
            source,
        })
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the names in `folder` survive a loss of power.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Returns the folder that `path` is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
