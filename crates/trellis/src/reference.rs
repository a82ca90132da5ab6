//! References to code, as people type them: an image, or a path that becomes `file://`.

use std::path::{Path, PathBuf};

use trellis_core::ComponentId;

use crate::failure::Failure;

/// What stands before the path of a file.
const FILE: &str = "file://";
/// What stands before the name of a provider that hosts contain.
const BUILT_IN: &str = "builtin:";

/// Where the code comes from, as hosts take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference(String);

impl Reference {
    /// Reads what was typed. What looks like a path, or is one, becomes absolute.
    ///
    /// Where `host_is_here` the file must exist; elsewhere only the host can tell.
    ///
    /// # Errors
    /// When the file is missing or no file.
    pub(crate) fn parse(text: &str, host_is_here: bool) -> Result<Self, Failure> {
        let current = std::env::current_dir().map_err(|error| Failure::new(&error, None))?;
        Self::parse_in(text, host_is_here, &current)
    }

    fn parse_in(text: &str, host_is_here: bool, current: &Path) -> Result<Self, Failure> {
        let Some(path) = path_of(text, host_is_here, current) else {
            return Ok(Self(text.to_owned()));
        };
        if host_is_here {
            check_file(&path)?;
        } else {
            eprintln!(
                "note: {} is looked for on the host that runs it",
                path.display()
            );
        }
        Ok(Self(format!("{FILE}{}", path.display())))
    }

    /// Returns the text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of the built-in provider that is meant, where one is.
    pub(crate) fn built_in(&self) -> Option<&str> {
        self.0.strip_prefix(BUILT_IN)
    }

    /// Returns an id for what is started without one: the name of the file or of the image.
    ///
    /// # Errors
    /// When the reference has no name.
    pub(crate) fn derived_id(&self) -> Result<ComponentId, Failure> {
        let text = self.built_in().unwrap_or(&self.0);
        let text = text.split('@').next().unwrap_or_default();
        let name = text.rsplit('/').next().unwrap_or_default();
        let name = match self.0.starts_with(FILE) {
            true => name.rsplit_once('.').map_or(name, |(stem, _)| stem),
            false => name.split(':').next().unwrap_or_default(),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let name: String = name
            .chars()
            .map(|c| if fits(c) { c } else { '_' })
            .collect();
        ComponentId::new(name).map_err(|error| {
            let message = format!("cannot derive an id from {}: {error}", self.0);
            Failure::usage(&message, Some("name it with `--id ID`"))
        })
    }
}

/// Returns the absolute path, where `text` is one. A folder is taken for one only where the host is here:
/// an image of another machine's host may be called like a folder of this one.
fn path_of(text: &str, host_is_here: bool, current: &Path) -> Option<PathBuf> {
    let path = match text.strip_prefix(FILE) {
        Some(path) => path,
        None if text.contains("://") => return None,
        None => text,
    };
    let looks_like_path = text.starts_with(FILE)
        || ["/", "./", "../"].iter().any(|it| path.starts_with(it))
        || (path.ends_with(".wasm") && !path.contains(':'));
    let absolute = current.join(path);
    let exists = match host_is_here {
        true => absolute.exists(),
        false => absolute.is_file(),
    };
    (looks_like_path || exists).then(|| normal(&absolute))
}

/// Takes `.` and `..` out of a path, without looking at links.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

fn check_file(path: &Path) -> Result<(), Failure> {
    let problem = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => "is a folder; name the component in it".to_owned(),
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.is_symlink() => {
            "is a broken symbolic link".to_owned()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be read: {error}"),
    };
    let message = format!("{} {problem}", path.display());
    Err(Failure::message(&message, Some("check the path")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> String {
        let read = Reference::parse_in(text, false, Path::new("/srv/app"));
        read.unwrap().as_str().to_owned()
    }

    #[test]
    fn paths_become_absolute_and_images_stay() {
        assert_eq!(read("web.wasm"), "file:///srv/app/web.wasm");
        assert_eq!(read("./web.wasm"), "file:///srv/app/web.wasm");
        assert_eq!(read("../web.wasm"), "file:///srv/web.wasm");
        assert_eq!(read("file:///opt/web.wasm"), "file:///opt/web.wasm");
        for image in [
            "ghcr.io/acme/web:1.0",
            "localhost:5000/web.wasm:1",
            "acme/web",
            "wasmcloud+builtin://http-server",
            "ghcr.io/acme/web@sha256:00",
        ] {
            assert_eq!(read(image), image);
        }
    }

    #[test]
    fn ids_are_derived_from_the_name() {
        for (reference, id) in [
            ("file:///opt/my web.v2.wasm", "my_web_v2"),
            ("ghcr.io/acme/http-hello:1.0", "http-hello"),
            ("ghcr.io/acme/web@sha256:00", "web"),
            ("localhost:5000/web", "web"),
            ("builtin:http-server", "http-server"),
            ("builtin:keyvalue-memory", "keyvalue-memory"),
            ("wasmcloud+builtin://http-server", "http-server"),
        ] {
            let derived = Reference(reference.to_owned()).derived_id().unwrap();
            assert_eq!(derived.as_str(), id);
        }
        assert!(Reference("https://".to_owned()).derived_id().is_err());
    }

    #[test]
    fn a_file_of_this_machine_must_exist() {
        let folder = tempfile::tempdir().unwrap();
        let parse = |text: &str| Reference::parse_in(text, true, folder.path());
        assert!(format!("{:?}", parse("web.wasm").unwrap_err()).contains("does not exist"));
        assert!(format!("{:?}", parse("./").unwrap_err()).contains("is a folder"));
        std::fs::create_dir(folder.path().join("cart")).unwrap();
        assert!(format!("{:?}", parse("cart").unwrap_err()).contains("cart is a folder"));
        let elsewhere = Reference::parse_in("cart", false, folder.path());
        assert_eq!(elsewhere.unwrap().as_str(), "cart");
        std::fs::write(folder.path().join("web"), "").unwrap();
        assert!(parse("web").unwrap().as_str().starts_with("file:///"));
    }
}
