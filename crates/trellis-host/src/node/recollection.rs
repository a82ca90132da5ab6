//! What a host remembers of its lattice, on disk, for a start while the lattice is out of reach.
//!
//! Written only while the host has joined: it is the last state known to be good.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trellis_control::{LatticeKey, TextMap, encode};
use trellis_core::ComponentId;
use trellis_node::{
    ComponentSettings, Incarnation, Machine, ProviderSettings, StoreChange, Stored,
};

/// The version of the file; of any other nothing is recalled.
const VERSION: u32 = 1;
/// The largest file. A lattice of 1,000 components with links and config has one of about 1 MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Where a host keeps what it remembers.
#[derive(Clone, Debug)]
pub(super) struct RecollectionFile(PathBuf);

/// Why nothing could be remembered or recalled.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecollectionError {
    /// The file or its folder cannot be used.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file has more than it may.
    #[error("{} has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is not one of ours, or cut off.
    #[error("{} cannot be read as what a host remembers", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The file is of another version of Trellis.
    #[error("{} has version {version}, and this Trellis reads version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

/// The lattice's state as a host knew it, and what it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recollection {
    version: u32,
    specs: Remembered,
    configs: Remembered,
    components: BTreeMap<String, RememberedComponent>,
    providers: BTreeMap<String, RememberedProvider>,
}

/// One bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    created: String,
    revision: u64,
    entries: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RememberedComponent {
    image: String,
    instances_max: u32,
    limits: Option<TextMap>,
    config: Vec<String>,
    annotations: TextMap,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RememberedProvider {
    image: String,
    config: Vec<String>,
    annotations: TextMap,
}

impl RecollectionFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Reads what was remembered; `None` where nothing ever was.
    ///
    /// # Errors
    /// A file that cannot be read as one of this version.
    pub(super) fn read(&self) -> Result<Option<Recollection>, RecollectionError> {
        let path = &self.0;
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(unusable(path, source)),
        };
        let mut text = Vec::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text);
        read.map_err(|source| unusable(path, source))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(RecollectionError::TooLong { path: path.clone() });
        }
        parse(path, &text).map(Some)
    }

    /// Replaces what was remembered: whole, or not at all.
    ///
    /// # Errors
    /// A folder that cannot be written to, a full disk, or too much to remember.
    pub(super) fn write(&self, recollection: &Recollection) -> Result<(), RecollectionError> {
        let path = &self.0;
        let text =
            serde_json::to_vec(recollection).map_err(|source| RecollectionError::Format {
                path: path.clone(),
                source,
            })?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(RecollectionError::TooLong { path: path.clone() });
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        replace(folder, path, &text).map_err(|source| unusable(path, source))
    }
}

/// Config may be secret: a temporary file is this user's alone, and stays so under its new name.
fn replace(folder: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}

fn unusable(path: &Path, source: io::Error) -> RecollectionError {
    let path = path.to_owned();
    RecollectionError::File { path, source }
}

fn parse(path: &Path, text: &[u8]) -> Result<Recollection, RecollectionError> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let format = |source| RecollectionError::Format {
        path: path.to_owned(),
        source,
    };
    let Head { version } = serde_json::from_slice(text).map_err(format)?;
    if version != VERSION {
        let path = path.to_owned();
        return Err(RecollectionError::Version { path, version });
    }
    serde_json::from_slice(text).map_err(format)
}

impl Recollection {
    /// Takes down what `machine` knows; `None` before it has read everything once. `counts` tells of a
    /// component whether it is to be recalled.
    pub(super) fn of(machine: &Machine, counts: impl Fn(&ComponentId) -> bool) -> Option<Self> {
        let specs = machine.specs().map(|(id, spec)| {
            let key = LatticeKey::Component(id.to_owned()).to_string();
            (key, text(&encode(spec)))
        });
        let configs = machine
            .configs()
            .map(|(name, config)| (name.to_owned(), text(&encode(config))));
        let components = machine.components().filter(|(id, _)| counts(id));
        Some(Self {
            version: VERSION,
            specs: Remembered::new(machine.specs_incarnation()?, specs),
            configs: Remembered::new(machine.configs_incarnation()?, configs),
            components: components
                .map(|(id, it)| (id.to_string(), it.into()))
                .collect(),
            providers: machine
                .providers()
                .map(|(id, it)| (id.to_string(), it.into()))
                .collect(),
        })
    }

    /// Returns the bucket of specs as the machine takes it.
    pub(super) fn specs(&self) -> StoreChange {
        self.specs.recalled()
    }

    /// Returns the bucket of config entries as the machine takes it.
    pub(super) fn configs(&self) -> StoreChange {
        self.configs.recalled()
    }

    /// Returns which buckets these are of, specs first: one that is there later and is not a later
    /// state of its own was replaced meanwhile.
    pub(super) fn incarnations(&self) -> [trellis_lattice::store::Incarnation; 2] {
        [&self.specs, &self.configs].map(|it| trellis_lattice::store::Incarnation {
            created: it.created.clone(),
            revision: it.revision,
        })
    }

    /// Returns the components that the lattice had started here.
    pub(super) fn components(&self) -> impl Iterator<Item = (&str, ComponentSettings)> {
        let components = self.components.iter();
        components.map(|(id, it)| (id.as_str(), it.clone().into()))
    }

    /// Returns the providers that ran here.
    pub(super) fn providers(&self) -> impl Iterator<Item = (&str, ProviderSettings)> {
        let providers = self.providers.iter();
        providers.map(|(id, it)| (id.as_str(), it.clone().into()))
    }
}

/// What is encoded here is JSON, which is text.
fn text(json: &[u8]) -> String {
    String::from_utf8_lossy(json).into_owned()
}

impl Remembered {
    fn new(of: Incarnation, entries: impl Iterator<Item = (String, String)>) -> Self {
        Self {
            created: of.created,
            revision: of.revision,
            entries: entries.collect(),
        }
    }

    fn recalled(&self) -> StoreChange {
        let stored = |(key, value): (&String, &String)| Stored {
            key: key.clone(),
            value: value.clone().into(),
            revision: self.revision,
        };
        StoreChange::Recalled {
            entries: self.entries.iter().map(stored).collect(),
            incarnation: Incarnation {
                created: self.created.clone(),
                revision: self.revision,
            },
        }
    }
}

impl From<&ComponentSettings> for RememberedComponent {
    fn from(it: &ComponentSettings) -> Self {
        Self {
            image: it.image.clone(),
            instances_max: it.instances_max,
            limits: it.limits.clone(),
            config: it.config.clone(),
            annotations: it.annotations.clone(),
        }
    }
}

impl From<RememberedComponent> for ComponentSettings {
    fn from(it: RememberedComponent) -> Self {
        Self {
            image: it.image,
            instances_max: it.instances_max,
            limits: it.limits,
            config: it.config,
            annotations: it.annotations,
        }
    }
}

impl From<&ProviderSettings> for RememberedProvider {
    fn from(it: &ProviderSettings) -> Self {
        Self {
            image: it.image.clone(),
            config: it.config.clone(),
            annotations: it.annotations.clone(),
        }
    }
}

impl From<RememberedProvider> for ProviderSettings {
    fn from(it: RememberedProvider) -> Self {
        Self {
            image: it.image,
            config: it.config,
            annotations: it.annotations,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn recollection() -> Recollection {
        let bucket = |entries: &[(&str, &str)]| Remembered {
            created: "first".to_owned(),
            revision: 7,
            entries: entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        };
        Recollection {
            version: VERSION,
            specs: bucket(&[("COMPONENT_cart", r#"{"url":"cart.wasm","links":[]}"#)]),
            configs: bucket(&[("cart", r#"{"port":"1"}"#)]),
            components: [(
                "cart".to_owned(),
                RememberedComponent {
                    image: "file:///cart.wasm".to_owned(),
                    instances_max: 3,
                    limits: None,
                    config: vec!["cart".to_owned()],
                    annotations: TextMap::new(),
                },
            )]
            .into(),
            providers: BTreeMap::new(),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = RecollectionFile::new(folder.path().join("lattice.json"));
        assert_eq!(file.read().unwrap(), None);
        file.write(&recollection()).unwrap();
        assert_eq!(file.read().unwrap(), Some(recollection()));
    }

    #[test]
    fn a_file_that_is_cut_off_or_of_another_version_is_not_taken_for_less() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lattice.json");
        let file = RecollectionFile::new(path.clone());
        let text = serde_json::to_string(&recollection()).unwrap();
        for end in 0..text.len() {
            std::fs::write(&path, &text[..end]).unwrap();
            let error = file.read().unwrap_err();
            assert!(matches!(error, RecollectionError::Format { .. }), "{error}");
        }
        std::fs::write(&path, text.replacen("\"version\":1", "\"version\":2", 1)).unwrap();
        let error = file.read().unwrap_err();
        assert!(
            matches!(error, RecollectionError::Version { .. }),
            "{error}"
        );
    }
}
