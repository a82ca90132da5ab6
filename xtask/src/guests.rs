//! Builds the components of `examples/` and `tests/guests/` and collects them as `target/guests/NAME.wasm`.
//!
//! A workspace is built again only when its sources or the compiler have changed: a file beside the components
//! holds the hash of both.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::guest_toolchain::{Choice, GuestToolchain, TARGET};
use crate::{project, shell};

/// How a component begins: the magic of WebAssembly, then version 13 of layer 1. A core module differs in both.
const COMPONENT_HEADER: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// Builds every component that is out of date and returns the folder that holds them all.
///
/// # Errors
/// When there is no compiler, or a component does not compile.
pub(crate) fn build(choice: Choice) -> Result<PathBuf> {
    let toolchain = GuestToolchain::ensure(choice)?;
    let fingerprint = toolchain.fingerprint()?;
    for workspace in project::guest_workspaces() {
        Workspace::new(workspace, &fingerprint)?.build(&toolchain)?;
    }
    Ok(project::guests())
}

/// One cargo workspace of components.
struct Workspace {
    folder: PathBuf,
    guests: Vec<Guest>,
    /// Hash of sources and compiler.
    hash: String,
}

/// One component.
struct Guest {
    /// Name of the file, without `.wasm`.
    name: String,
    /// Folder of its `Cargo.toml`.
    folder: PathBuf,
}

impl Workspace {
    fn new(folder: PathBuf, fingerprint: &str) -> Result<Self> {
        let files = project::source_files(&folder)?;
        let guests = files
            .iter()
            .filter_map(|file| Guest::of_manifest(&folder, file))
            .collect();
        let hash = hash(&folder, &files, fingerprint)?;
        Ok(Self {
            folder,
            guests,
            hash,
        })
    }

    fn build(&self, toolchain: &GuestToolchain) -> Result<()> {
        let name = self
            .folder
            .strip_prefix(project::root())
            .unwrap_or(&self.folder)
            .display();
        let count = self.guests.len();
        if self.is_current() {
            shell::step(format!("{count} components of {name} are up to date"));
            return Ok(());
        }
        shell::step(format!(
            "building {count} components of {name} with {}",
            toolchain.name()
        ));
        let target_folder = project::guests().join("build");
        shell::run(&mut toolchain.build(&self.folder, &target_folder))?;
        // Gone before the first file changes, so that an interrupted copy is not taken for a whole one.
        let _ = fs::remove_file(self.stamp());
        for guest in &self.guests {
            guest.collect(&target_folder, &self.folder)?;
        }
        write(&self.stamp(), self.hash.as_bytes())
    }

    /// Tells whether every component is there and was built from these very sources.
    fn is_current(&self) -> bool {
        let stamped = fs::read_to_string(self.stamp()).is_ok_and(|stamp| stamp == self.hash);
        stamped
            && self.guests.iter().all(|guest| {
                guest
                    .destinations(&self.folder)
                    .iter()
                    .all(|it| it.exists())
            })
    }

    fn stamp(&self) -> PathBuf {
        let name = self.folder.file_name().unwrap_or_default();
        project::guests().join(name).with_extension("stamp")
    }
}

impl Guest {
    /// The component of the package at `manifest`; none for other files and the workspace itself.
    fn of_manifest(workspace: &Path, manifest: &Path) -> Option<Self> {
        let folder = manifest.parent()?;
        if manifest.file_name()? != "Cargo.toml" || folder == workspace {
            return None;
        }
        let text = fs::read_to_string(manifest).ok()?;
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))?;
        Some(Self {
            name: name.replace('-', "_"),
            folder: folder.to_path_buf(),
        })
    }

    /// Where the component belongs: with all others, and for an example beside its manifest.
    fn destinations(&self, workspace: &Path) -> Vec<PathBuf> {
        let file = format!("{}.wasm", self.name);
        let mut destinations = vec![project::guests().join(&file)];
        let example = self
            .folder
            .ancestors()
            .find(|it| it.parent() == Some(workspace));
        // Only an application has a manifest; the guests of tests are not applications.
        if let Some(example) = example.filter(|it| it.join("trellis.yaml").exists()) {
            destinations.push(example.join("build").join(&file));
        }
        destinations
    }

    fn collect(&self, target_folder: &Path, workspace: &Path) -> Result<()> {
        let built = target_folder
            .join(TARGET)
            .join("release")
            .join(format!("{}.wasm", self.name));
        let bytes =
            fs::read(&built).with_context(|| format!("{} was not built", built.display()))?;
        ensure!(
            bytes.starts_with(&COMPONENT_HEADER),
            "{} is not a component",
            built.display()
        );
        self.destinations(workspace)
            .iter()
            .try_for_each(|destination| write(destination, &bytes))
    }
}

/// Replaces `path` in one step: a reader sees the old file or the new one.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    fs::write(&partial, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The hash of all that decides what is built. Documents and manifests do not.
fn hash(workspace: &Path, files: &[PathBuf], fingerprint: &str) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut add = |bytes: &[u8]| {
        // The length first: else two files could trade a part and hash the same.
        hasher.update(bytes.len().to_le_bytes());
        hasher.update(bytes);
    };
    add(fingerprint.as_bytes());
    for file in files.iter().filter(|file| decides_the_build(file)) {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        add(file
            .strip_prefix(workspace)
            .unwrap_or(file)
            .as_os_str()
            .as_encoded_bytes());
        add(&bytes);
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn decides_the_build(file: &Path) -> bool {
    file.extension().is_some_and(|extension| {
        ["rs", "wit", "toml", "lock"]
            .iter()
            .any(|it| extension == *it)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_folder_is_found_under_its_own_name() {
        let mut names = Vec::new();
        for folder in project::guest_workspaces() {
            names.extend(
                Workspace::new(folder, "")
                    .expect("readable")
                    .guests
                    .into_iter()
                    .map(|it| it.name),
            );
        }
        for expected in [
            "http_hello",
            "http_hello_p3",
            "http_kvcounter",
            "to_upper_http",
            "misbehaver",
            "caller",
        ] {
            assert!(
                names.iter().any(|name| name == expected),
                "{expected} is missing in {names:?}"
            );
        }
        let total = names.len();
        names.sort();
        names.dedup();
        assert_eq!(
            names.len(),
            total,
            "two components would overwrite one another"
        );
    }

    #[test]
    fn the_hash_changes_with_sources_and_compiler_only() {
        let [examples, _] = project::guest_workspaces();
        let files = project::source_files(&examples).expect("readable");
        let first = hash(&examples, &files, "one compiler").expect("readable");
        assert_eq!(
            first,
            hash(&examples, &files, "one compiler").expect("readable")
        );
        assert_ne!(
            first,
            hash(&examples, &files, "another compiler").expect("readable")
        );
        let documents: Vec<PathBuf> = files
            .iter()
            .filter(|file| decides_the_build(file))
            .cloned()
            .collect();
        assert!(documents.len() < files.len(), "examples have documents");
        assert_eq!(
            first,
            hash(&examples, &documents, "one compiler").expect("readable")
        );
    }
}
