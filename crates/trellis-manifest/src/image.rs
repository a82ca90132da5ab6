//! Where the WebAssembly of a component or the program of a provider comes from. Opens nothing.

use std::fmt;
use std::path::{Path, PathBuf};

/// The scheme of 1.x for what the host itself contains.
const BUILT_IN_SCHEME: &str = "wasmcloud+builtin://";

/// The same, in the short form that our manifests use.
const BUILT_IN_SHORT: &str = "builtin:";

/// A reference to an artifact, as a manifest gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageRef {
    /// A file: a path or a `file://` URL, as written.
    File(String),
    /// An OCI reference, `registry/repository:tag` or `…@digest`, without a scheme.
    Oci(String),
    /// Something the host contains, such as `http-server`, without the scheme.
    BuiltIn(String),
}

/// Why a text is not a reference to an artifact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// There is nothing.
    #[error("an image must not be empty")]
    Empty,
    /// It holds a space or a control character at its edge or, outside a path, anywhere.
    #[error("an image has no blanks or control characters")]
    Character,
    /// It begins like a URL of an unknown kind.
    #[error("an image cannot be fetched by this scheme")]
    Scheme,
    /// It has a tag like an OCI reference and no registry.
    #[error("an image needs its registry")]
    NoRegistry,
    /// It is not `registry/repository:tag`.
    #[error("an OCI image is written `registry/repository:tag`, the repository in lower case")]
    Grammar,
}

impl ImageError {
    /// Returns what to write instead.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::Character | Self::Grammar => {
                "write `./build/app.wasm` or `registry.example/team/app:1.0.0`"
            }
            Self::Scheme => "known are `file://`, `oci://` and `builtin:`",
            Self::NoRegistry => {
                "write the registry in front, as in `ghcr.io/team/app:1.0.0`, or a path that \
                 begins with `./`"
            }
        }
    }
}

impl ImageRef {
    /// Reads an image as a manifest gives it.
    ///
    /// Files are: `file://` URLs, texts that begin with `.` or `/`, texts that end in `.wasm` or
    /// `.par.gz`, and texts without anything like a registry (a first part with a dot or a port, or
    /// `localhost`).
    ///
    /// # Errors
    /// When `text` is none of the three kinds.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        if text.is_empty() {
            return Err(ImageError::Empty);
        }
        if text.trim() != text || text.chars().any(char::is_control) {
            return Err(ImageError::Character);
        }
        if let Some(path) = text.strip_prefix("file://") {
            return if path.is_empty() {
                Err(ImageError::Empty)
            } else {
                Ok(Self::File(text.into()))
            };
        }
        let built_in = text
            .strip_prefix(BUILT_IN_SCHEME)
            .or_else(|| text.strip_prefix(BUILT_IN_SHORT));
        if let Some(name) = built_in {
            let known = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let fits = !name.is_empty() && name.chars().all(known);
            return if fits {
                Ok(Self::BuiltIn(name.into()))
            } else {
                Err(ImageError::Grammar)
            };
        }
        if let Some(reference) = text.strip_prefix("oci://") {
            return oci(reference);
        }
        if text.contains("://") {
            return Err(ImageError::Scheme);
        }
        let path_like = text.starts_with(['.', '/', '~'])
            || text.ends_with(".wasm")
            || text.ends_with(".par.gz");
        match (path_like, has_registry(text)) {
            (true, _) => Ok(Self::File(text.into())),
            (false, true) => oci(text),
            (false, false) if text.contains([':', '@']) => Err(ImageError::NoRegistry),
            (false, false) => Ok(Self::File(text.into())),
        }
    }

    /// Returns the path of a file, relative paths taken from the folder of the manifest; `None` for
    /// what is no file.
    pub fn resolve(&self, manifest_folder: &Path) -> Option<PathBuf> {
        let Self::File(written) = self else {
            return None;
        };
        let path = written.strip_prefix("file://").unwrap_or(written);
        // Collecting the parts drops `./`, which reads badly in messages.
        Some(manifest_folder.join(path).components().collect())
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(text) | Self::Oci(text) => f.write_str(text),
            Self::BuiltIn(name) => write!(f, "{BUILT_IN_SHORT}{name}"),
        }
    }
}

/// Tells whether the part before the first slash looks like a host.
fn has_registry(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(first, _)| first == "localhost" || first.contains(['.', ':']))
}

/// Checks the grammar of the OCI distribution specification 1.1.
fn oci(reference: &str) -> Result<ImageRef, ImageError> {
    if !has_registry(reference) {
        return Err(ImageError::NoRegistry);
    }
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    let (registry, path) = name.split_once('/').ok_or(ImageError::NoRegistry)?;
    let (repository, tag) = match path.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (path, None),
    };
    let registry_fits = registry
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'));
    let fits = registry_fits
        && repository.split('/').all(is_repository_part)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    if fits {
        Ok(ImageRef::Oci(reference.into()))
    } else {
        Err(ImageError::Grammar)
    }
}

fn is_repository_part(part: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(edge)
        && part.ends_with(edge)
        && part
            .chars()
            .all(|c| edge(c) || matches!(c, '.' | '_' | '-'))
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty()
            && algorithm
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            && hex.len() >= 32
            && hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_references_are_told_apart() {
        let file = |text: &str| Ok(ImageRef::File(text.to_owned()));
        let oci = |text: &str| Ok(ImageRef::Oci(text.to_owned()));
        for text in [
            "file:///srv/app.wasm",
            "file://./build/app.wasm",
            "./app.wasm",
            "../app",
            "/srv/app",
            "build/app.wasm",
            "app.wasm",
            "build/release/app",
            "provider.par.gz",
            "out.d/app.wasm",
        ] {
            assert_eq!(ImageRef::parse(text), file(text), "{text}");
        }
        for text in [
            "ghcr.io/wasmcloud/http-server:0.23.2",
            "localhost/app",
            "localhost:5000/a/b:v1",
            "registry.example/app@sha256:0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(ImageRef::parse(text), oci(text), "{text}");
        }
        assert_eq!(ImageRef::parse("oci://ghcr.io/a/b:1"), oci("ghcr.io/a/b:1"));
        let built_in = ImageRef::parse("wasmcloud+builtin://http-server");
        assert_eq!(built_in, Ok(ImageRef::BuiltIn("http-server".to_owned())));
    }

    #[test]
    fn what_is_neither_is_refused_with_its_reason() {
        for (text, error) in [
            ("", ImageError::Empty),
            ("file://", ImageError::Empty),
            (" app.wasm", ImageError::Character),
            ("app\0.wasm", ImageError::Character),
            ("https://example.com/app.wasm", ImageError::Scheme),
            ("team/app:1.0.0", ImageError::NoRegistry),
            ("app:1", ImageError::NoRegistry),
            ("ghcr.io/Team/App:1", ImageError::Grammar),
            ("ghcr.io/team/app:", ImageError::Grammar),
            ("ghcr.io/team//app:1", ImageError::Grammar),
            ("ghcr.io/team/app@sha256:xyz", ImageError::Grammar),
        ] {
            assert_eq!(ImageRef::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn relative_files_are_taken_from_the_folder_of_the_manifest() {
        let resolve = |text: &str| {
            ImageRef::parse(text)
                .ok()
                .and_then(|image| image.resolve(Path::new("/srv/shop")))
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            resolve("./build/app.wasm"),
            path("/srv/shop/build/app.wasm")
        );
        assert_eq!(
            resolve("file://build/app.wasm"),
            path("/srv/shop/build/app.wasm")
        );
        assert_eq!(resolve("../app.wasm"), path("/srv/shop/../app.wasm"));
        assert_eq!(resolve("file:///opt/app.wasm"), path("/opt/app.wasm"));
        assert_eq!(resolve("ghcr.io/a/b:1"), None);
    }
}
