//! Loads a component from a file, with an error for each way in which that goes wrong.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::check::{Fault, check_component};
use crate::digest::Digest;

/// The largest artifact that is read: the largest components in use (a Python or JavaScript
/// interpreter with its libraries) are about 50 MiB, so ten times that is a mistake or an attack.
pub const ARTIFACT_BYTES_MAX: u64 = 512 << 20;

/// How many names of a folder are looked at for a suggestion: more than anybody keeps by hand.
const SUGGESTION_NAMES_MAX: usize = 1_000;

/// Below this likeness (0 to 1, Jaro-Winkler) a suggestion confuses more than it helps.
const SUGGESTION_LIKENESS_MIN: f64 = 0.8;

/// How much [`load`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Size of the file, in bytes.
    pub artifact_bytes_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            artifact_bytes_max: ARTIFACT_BYTES_MAX,
        }
    }
}

/// A component that was read and found valid.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Where it was read from, as the caller named it.
    pub path: PathBuf,
    /// The component.
    pub bytes: Bytes,
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The number of bytes.
    pub size: u64,
}

/// Why a component could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing has that name.
    #[error("there is no file {}", path.display())]
    NotFound {
        /// The path as it was given.
        path: PathBuf,
        /// A file or folder with a similar name.
        similar: Option<PathBuf>,
        /// The first part of the path that does not exist, when that is a folder.
        missing_folder: Option<PathBuf>,
    },
    /// The path is a symbolic link to nothing.
    #[error("{} is a broken symbolic link: there is no {}", path.display(), target.display())]
    BrokenLink {
        /// The path as it was given.
        path: PathBuf,
        /// What it leads to.
        target: PathBuf,
    },
    /// The path names a folder.
    #[error("{} is a folder, not a component", path.display())]
    Folder {
        /// The path as it was given.
        path: PathBuf,
        /// A component in that folder, if there is one.
        component: Option<PathBuf>,
    },
    /// The path names a device, a pipe or a socket.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The file may not be read.
    #[error("no permission to read {}", path.display())]
    Permission {
        /// The path as it was given.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file is larger than the bound.
    #[error("{} has {size} bytes, more than the {max} that a component may have", path.display())]
    TooLarge {
        /// The path as it was given.
        path: PathBuf,
        /// The size of the file, or what was seen of it.
        size: u64,
        /// The bound.
        max: u64,
    },
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path as it was given.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file was read but is not a valid component.
    #[error("{} is not a usable component", path.display())]
    Unusable {
        /// The path as it was given.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Fault,
    },
}

impl LoadError {
    /// Returns what to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound {
                similar: Some(similar),
                ..
            } => Some(format!("did you mean {}?", similar.display())),
            Self::NotFound {
                missing_folder: Some(folder),
                ..
            } => Some(format!("the folder {} does not exist", folder.display())),
            Self::NotFound { .. } => Some("build the component first, or check the path".into()),
            Self::BrokenLink { .. } => {
                Some("build the component that it leads to, or correct the link".into())
            }
            Self::Folder {
                component: Some(component),
                ..
            } => Some(format!(
                "name a file in it, such as {}",
                component.display()
            )),
            Self::Folder { .. } => Some("name a `.wasm` file".into()),
            Self::NotAFile { .. } => Some("save it to a file and name that".into()),
            Self::Permission { path, .. } => Some(format!(
                "let this user read it: `chmod a+r {}`",
                path.display()
            )),
            Self::TooLarge { .. } => Some(
                "build in release mode and strip it: `wasm-tools strip --all`, \
                 or check that this is the right file"
                    .into(),
            ),
            Self::Read { .. } => None,
            Self::Unusable { source, .. } => Some(source.hint()),
        }
    }
}

/// Reads, checks and digests the component at `path`. Blocks.
///
/// # Errors
/// One variant for each way in which a file can fail to be a valid component.
pub fn load(path: &Path, bounds: Bounds) -> Result<Artifact, LoadError> {
    let bytes = read(path, bounds.artifact_bytes_max)?;
    check_component(&bytes).map_err(|source| LoadError::Unusable {
        path: path.to_owned(),
        source,
    })?;
    Ok(Artifact {
        path: path.to_owned(),
        digest: Digest::of(&bytes),
        size: bytes.len() as u64,
        bytes: bytes.into(),
    })
}

fn read(path: &Path, max: u64) -> Result<Vec<u8>, LoadError> {
    // Looked at before it is opened: to open a pipe would wait for its writer.
    let metadata = fs::metadata(path).map_err(|error| explain(path, error))?;
    if metadata.is_dir() {
        return Err(LoadError::Folder {
            path: path.to_owned(),
            component: find_component(path),
        });
    }
    if !metadata.is_file() {
        return Err(LoadError::NotAFile {
            path: path.to_owned(),
        });
    }
    let too_large = |size| LoadError::TooLarge {
        path: path.to_owned(),
        size,
        max,
    };
    if metadata.len() > max {
        return Err(too_large(metadata.len()));
    }
    let file = File::open(path).map_err(|error| explain(path, error))?;
    let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
    // One byte more than the bound shows a file that grew after it was looked at.
    file.take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| explain(path, error))?;
    if bytes.len() as u64 > max {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

fn explain(path: &Path, source: io::Error) -> LoadError {
    let path = path.to_owned();
    if let (ErrorKind::NotFound, Ok(target)) = (source.kind(), fs::read_link(&path)) {
        return LoadError::BrokenLink { path, target };
    }
    match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => LoadError::NotFound {
            similar: find_similar(&path),
            missing_folder: find_missing_folder(&path),
            path,
        },
        ErrorKind::PermissionDenied => LoadError::Permission { path, source },
        _ => LoadError::Read { path, source },
    }
}

/// Returns the folder that holds `path`.
fn folder_of(path: &Path) -> Option<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(Path::new(".")),
        parent => parent,
    }
}

/// Returns the entry of the same folder whose name is most like that of `path`. Extensions do not count: all
/// components share one.
fn find_similar(path: &Path) -> Option<PathBuf> {
    let typed = path.file_name()?;
    let wanted = stem(typed.as_ref());
    let likeness = |name: &str| strsim::jaro_winkler(&wanted, &stem(name.as_ref()));
    fs::read_dir(folder_of(path)?)
        .ok()?
        .take(SUGGESTION_NAMES_MAX)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| typed != name.as_str())
        .map(|name| (likeness(&name), name))
        .filter(|(likeness, _)| *likeness >= SUGGESTION_LIKENESS_MIN)
        .max_by(|(a, a_name), (b, b_name)| a.total_cmp(b).then_with(|| b_name.cmp(a_name)))
        .map(|(_, name)| path.with_file_name(name))
}

/// Returns a file name in lower case without its extension.
fn stem(name: &Path) -> String {
    let stem = name.file_stem().unwrap_or_default();
    stem.to_string_lossy().to_lowercase()
}

/// Returns the outermost folder on the way to `path` that does not exist.
fn find_missing_folder(path: &Path) -> Option<PathBuf> {
    path.ancestors()
        .skip(1)
        .filter(|folder| !folder.as_os_str().is_empty())
        .take_while(|folder| !folder.is_dir())
        .last()
        .map(Path::to_owned)
}

/// Returns the first `.wasm` file in `folder`, by name.
fn find_component(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder)
        .ok()?
        .take(SUGGESTION_NAMES_MAX)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .min()
}
