//! The rules of the house that no compiler knows, each in a file of its own.
//!
//! Every rule is a pure function from the text of the project to findings; only this file reads the disk.

mod boundaries;
mod documents;
mod reachability;
mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{project, shell};

/// One breach of a rule.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    /// Path from the root of the project.
    path: String,
    /// Counted from 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// One text file of the project.
struct TextFile {
    /// Path from the root of the project, with `/`.
    path: String,
    text: String,
}

impl TextFile {
    fn is(&self, extension: &str) -> bool {
        self.path
            .rsplit_once('.')
            .is_some_and(|(_, own)| own == extension)
    }
}

/// The text of the project.
struct Tree {
    files: Vec<TextFile>,
    /// Every path, also of files that are no text, and of folders.
    paths: BTreeSet<String>,
}

impl Tree {
    fn read() -> Result<Self> {
        let root = project::root();
        let (mut files, mut paths) = (Vec::new(), BTreeSet::new());
        for file in project::source_files(&root)? {
            let path = file
                .strip_prefix(&root)
                .unwrap_or(&file)
                .to_string_lossy()
                .into_owned();
            for (at, _) in path.match_indices('/') {
                paths.insert(path[..at].to_owned());
            }
            paths.insert(path.clone());
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {path}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(TextFile { path, text });
            }
        }
        Ok(Self { files, paths })
    }

    /// The files that end in `.extension`.
    fn with(&self, extension: &str) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(move |file| file.is(extension))
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        let files = files.iter().map(|(path, text)| TextFile {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        });
        Self {
            files: files.collect(),
            paths,
        }
    }
}

/// Checks every rule.
///
/// # Errors
/// When the project cannot be read; a breach of a rule is a finding, not an error.
pub(crate) fn check() -> Result<Vec<Finding>> {
    let tree = Tree::read()?;
    let mut metadata = Command::new(project::cargo());
    metadata
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(project::root());
    let packages = boundaries::packages(&shell::output(&mut metadata)?)?;
    Ok([
        boundaries::check(&packages, &tree),
        reachability::check(&tree),
        words::check(&tree),
        documents::check(&tree),
    ]
    .into_iter()
    .flatten()
    .collect())
}
