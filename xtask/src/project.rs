//! Where things are: the folders of the project and the files that tasks leave behind.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of the root `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    // Cargo sets it for `cargo run`; the other holds when the binary is started by hand.
    let package =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = PathBuf::from(package);
    package
        .parent()
        .map_or_else(|| package.clone(), Path::to_path_buf)
}

/// The workspaces of WebAssembly components, beside the root workspace.
pub(crate) fn guest_workspaces() -> [PathBuf; 2] {
    [root().join("examples"), root().join("tests/guests")]
}

/// The workspace of fuzz targets, beside the root workspace.
pub(crate) fn fuzz() -> PathBuf {
    root().join("fuzz")
}

/// The workspace of published peers, beside the root workspace.
pub(crate) fn interop() -> PathBuf {
    root().join("tests/interop")
}

/// Where the built components are collected, as `NAME.wasm`.
pub(crate) fn guests() -> PathBuf {
    root().join("target/guests")
}

/// Where tools are installed that the machine does not have.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}

/// Where cargo puts the binaries of the root workspace.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Folders that hold no source.
const NO_SOURCE: [&str; 4] = ["target", ".git", "build", "node_modules"];

/// All files below `folder` that are source, sorted, as absolute paths.
pub(crate) fn source_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let kind = entry
                .file_type()
                .with_context(|| format!("cannot read {}", entry.path().display()))?;
            // Symbolic links are neither: following them could leave the project or never end.
            if kind.is_dir() && !NO_SOURCE.iter().any(|name| entry.file_name() == *name) {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}
