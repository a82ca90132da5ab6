//! Contexts: files that say how to reach a lattice, so that nobody types it twice.
//!
//! `contexts/NAME.json` in the config folder, with the selected name in `selected-context`. No secret
//! is in them but a password in the address of a server, for which the files are private. A running
//! embedded lattice has one too, which `trellis up` writes and removes.

mod embedded;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use embedded::{Embedded, is_live};
pub(crate) use embedded::{Guard, announce_embedded};

use crate::failure::Failure;
use crate::folders;
use crate::gateway::GatewayContext;
use crate::suggestion::did_you_mean;

/// The file with the name of the selected context.
const SELECTED: &str = "selected-context";
/// The folder of contexts.
const FOLDER: &str = "contexts";
/// What the names of contexts begin with that `trellis up` writes.
pub(crate) const EMBEDDED_PREFIX: &str = "embedded";
/// Longest name, so that it is a file name everywhere.
const NAME_LENGTH_MAX: usize = 64;
/// Longest file; real ones have a few hundred bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// How to reach one lattice, and how hosts that join it serve. What is absent comes from elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Context {
    /// Addresses of servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) servers: Vec<String>,
    /// The lattice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lattice: Option<String>,
    /// The `.creds` file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credentials: Option<PathBuf>,
    /// The file of a user JWT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jwt: Option<PathBuf>,
    /// The file of a seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<PathBuf>,
    /// The JetStream domain of the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) js_domain: Option<String>,
    /// PEM file of authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// PEM file of the client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Whether encryption begins before the server greets.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) tls_first: bool,
    /// Settings of the gateway of a host that is started with it.
    #[serde(skip_serializing_if = "GatewayContext::is_empty")]
    pub(crate) gateway: GatewayContext,
    /// The `trellis up` that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) embedded: Option<Embedded>,
}

/// The contexts of one config folder.
#[derive(Clone, Debug)]
pub(crate) struct Contexts {
    /// None where there is no home: then there are no contexts.
    folder: Option<PathBuf>,
}

impl Contexts {
    /// Returns the contexts of this user.
    pub(crate) fn open() -> Self {
        Self {
            folder: folders::config(),
        }
    }

    /// Returns no contexts.
    pub(crate) fn none() -> Self {
        Self { folder: None }
    }

    /// Returns the contexts in `folder`.
    #[cfg(test)]
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            folder: Some(folder.to_owned()),
        }
    }

    /// Returns the config folder.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Returns all names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let Some(folder) = &self.folder else {
            return Vec::new();
        };
        let files = std::fs::read_dir(folder.join(FOLDER)).into_iter().flatten();
        let name = |file: std::io::Result<std::fs::DirEntry>| {
            let name = file.ok()?.file_name().into_string().ok()?;
            let name = name.strip_suffix(".json")?;
            check_name(name).is_ok().then(|| name.to_owned())
        };
        let mut names: Vec<String> = files.filter_map(name).collect();
        names.sort();
        names
    }

    /// Reads the context `name`.
    ///
    /// # Errors
    /// When there is none, or its file is damaged.
    pub(crate) fn load(&self, name: &str) -> Result<Context, Failure> {
        check_name(name)?;
        let absent = || {
            let names = self.names();
            let near = did_you_mean(name, names.iter().map(String::as_str));
            let message = format!("there is no context {name}{near}");
            let hint = "`trellis context list` lists the contexts, `trellis context put` makes one";
            Failure::message(&message, Some(hint))
        };
        let path = self.path(name).ok_or_else(absent)?;
        let text = match read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(absent()),
            text => text.map_err(|error| unusable(&path, &error))?,
        };
        serde_json::from_str(&text).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            let hint = format!("correct the file, or make it anew: `trellis context put {name}`");
            Failure::message(&message, Some(&hint))
        })
    }

    /// Writes the context `name` in one step, readable by this user alone.
    ///
    /// # Errors
    /// When `name` is none, or the file cannot be written.
    pub(crate) fn put(&self, name: &str, context: &Context) -> Result<PathBuf, Failure> {
        check_name(name)?;
        let path = self.path(name).ok_or_else(no_folder)?;
        let mut text =
            serde_json::to_string_pretty(context).map_err(|error| Failure::new(&error, None))?;
        text.push('\n');
        write(&path, &text)?;
        Ok(path)
    }

    /// Removes the context `name`, and its selection.
    ///
    /// # Errors
    /// When there is none, or it cannot be removed.
    pub(crate) fn delete(&self, name: &str) -> Result<(), Failure> {
        check_name(name)?;
        let path = self.path(name).ok_or_else(no_folder)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.load(name).map(drop)?;
            }
            removed => removed.map_err(|error| unusable(&path, &error))?,
        }
        if self.selected().as_deref() == Some(name) {
            self.select(None)?;
        }
        Ok(())
    }

    /// Returns the name of the selected context.
    pub(crate) fn selected(&self) -> Option<String> {
        let text = read(&self.folder.as_ref()?.join(SELECTED)).ok()?;
        let name = text.trim();
        check_name(name).is_ok().then(|| name.to_owned())
    }

    /// Selects the context `name`, or none.
    ///
    /// # Errors
    /// When there is no such context, or the choice cannot be written.
    pub(crate) fn select(&self, name: Option<&str>) -> Result<(), Failure> {
        let path = self.folder.as_ref().ok_or_else(no_folder)?.join(SELECTED);
        let Some(name) = name else {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(unusable(&path, &error))
                }
                _ => Ok(()),
            };
        };
        self.load(name)?;
        write(&path, &format!("{name}\n"))
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(
            self.folder
                .as_ref()?
                .join(FOLDER)
                .join(format!("{name}.json")),
        )
    }
}

/// Checks that `name` is a file name everywhere.
fn check_name(name: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.len() <= NAME_LENGTH_MAX && name.chars().all(fits) {
        return Ok(());
    }
    let message = format!("{name:?} cannot name a context");
    let hint = "write 1 to 64 letters, digits, `-` and `_`";
    Err(Failure::usage(&message, Some(hint)))
}

fn no_folder() -> Failure {
    let hint = "set HOME, or name a folder with TRELLIS_CONFIG";
    Failure::message("there is no home folder to keep contexts in", Some(hint))
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    let hint = "name another folder with TRELLIS_CONFIG, or make this one your own";
    let message = format!("cannot use {}: {error}", path.display());
    Failure::message(&message, Some(hint))
}

fn read(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        let reason = "it is far larger than such a file";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    }
    std::fs::read_to_string(path)
}

/// Writes a private file in one step: a reader sees the old text or the new.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = || {
        create_folder(folder)?;
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    written().map_err(|error: std::io::Error| unusable(path, &error))
}

fn create_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_context_is_read_as_it_was_written_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let contexts = Contexts::in_folder(&folder.path().join("trellis"));
        assert_eq!(contexts.names(), Vec::<String>::new());
        let context = Context {
            servers: vec!["nats://shop.example:4222".to_owned()],
            lattice: Some("shop".to_owned()),
            ..Context::default()
        };
        let path = contexts.put("shop", &context).unwrap();
        assert_eq!(contexts.load("shop").unwrap(), context);
        assert_eq!(contexts.names(), ["shop"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_deleted_is_not_selected_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let contexts = Contexts::in_folder(folder.path());
        contexts.put("shop", &Context::default()).unwrap();
        contexts.select(Some("shop")).unwrap();
        assert_eq!(contexts.selected().as_deref(), Some("shop"));
        contexts.delete("shop").unwrap();
        assert_eq!(contexts.selected(), None);
        assert!(contexts.delete("shop").is_err());
        assert!(contexts.select(Some("shop")).is_err());
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let contexts = Contexts::in_folder(Path::new("/nowhere"));
        for name in ["", ".", "..", "a/b", "../x", "a.b", "a b", &"x".repeat(65)] {
            assert!(contexts.load(name).is_err(), "{name:?} was taken");
            assert!(contexts.put(name, &Context::default()).is_err());
        }
    }

    #[test]
    fn a_misspelt_field_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let contexts = Contexts::in_folder(folder.path());
        let path = contexts.put("shop", &Context::default()).unwrap();
        std::fs::write(path, r#"{"server": "nats://x"}"#).unwrap();
        let failure = format!("{:?}", contexts.load("shop").unwrap_err());
        assert!(failure.contains("unknown field `server`"), "{failure}");
    }
}
