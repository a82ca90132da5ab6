//! What is written in files: each opens with what it is, and none names what is true of one machine only.

use super::{Finding, TextFile, Tree};

/// Hosts that serve packages. Which of them a machine uses is its own business. In pieces, so that this list is
/// not found by itself.
const REGISTRIES: [&str; 6] = [
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.", "npmjs.org"),
    concat!("deb.", "debian.org"),
];

/// Folders of one machine.
const MACHINE_FOLDERS: [&str; 4] = [
    concat!("/", "root/"),
    concat!("/", "home/"),
    concat!("/", "Users/"),
    concat!("/", "work/"),
];

/// Kinds of files that people write.
const WRITTEN: [&str; 9] = [
    "rs", "md", "toml", "yaml", "yml", "json", "wit", "sh", "txt",
];

/// Checks every file.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let unopened = tree.with("rs").filter(|file| !file.text.starts_with("//!"));
    let mut findings: Vec<Finding> = unopened
        .map(|file| Finding::new(&file.path, 1, "does not open with `//!` and what it is"))
        .collect();
    let written =
        |file: &&TextFile| WRITTEN.iter().any(|it| file.is(it)) || file.path.starts_with(".ci/");
    for file in tree.files.iter().filter(written) {
        for (index, line) in file.text.lines().enumerate() {
            findings.extend(forbidden(line).map(|word| {
                Finding::new(
                    &file.path,
                    index + 1,
                    format!("{word} is true of some machines only"),
                )
            }));
        }
    }
    findings
}

/// The first word in `line` that belongs to one machine.
fn forbidden(line: &str) -> Option<&'static str> {
    let registry = REGISTRIES.into_iter().find(|word| line.contains(word));
    registry.or_else(|| {
        MACHINE_FOLDERS
            .into_iter()
            .find(|word| begins_a_path(line, word))
    })
}

/// Tells whether `folder` occurs in `line` as the beginning of a path, not in the middle of one.
fn begins_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|it| !(it.is_alphanumeric() || "._-~/*})>$".contains(it)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_opening_is_found() {
        let tree = Tree::of(&[
            ("src/a.rs", "//! What it is.\n"),
            ("src/b.rs", "fn main() {}\n"),
        ]);
        let found: Vec<String> = check(&tree)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        assert_eq!(found, ["src/b.rs"]);
    }

    #[test]
    fn machine_paths_and_registries_are_found_where_they_stand() {
        let text = format!("fine\nsee https://{}/x\n", REGISTRIES[0]);
        let tree = Tree::of(&[("docs/a.md", &text)]);
        assert_eq!(check(&tree)[0].line, 2);
        assert!(forbidden(&format!("cd {}me", MACHINE_FOLDERS[0])).is_some());
        assert!(
            forbidden(&format!(
                "a{}b and ~{}c",
                MACHINE_FOLDERS[3], MACHINE_FOLDERS[1]
            ))
            .is_none()
        );
    }
}
