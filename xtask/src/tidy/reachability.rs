//! Every `.rs` file is reached from the root of a crate: what is not compiled is not tested and not true.

use std::collections::BTreeSet;

use super::{Finding, TextFile, Tree};

/// Finds the files that no crate root reaches.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<String> = tree
        .with("rs")
        .filter(|it| is_root(tree, &it.path))
        .map(|it| it.path.clone())
        .collect();
    while let Some(path) = waiting.pop() {
        if let Some(file) = tree.files.iter().find(|file| file.path == path)
            && reached.insert(path)
        {
            waiting.extend(named_in(&file.path, &file.text, is_root(tree, &file.path)));
        }
    }
    let dead = tree.with("rs").filter(|file| !reached.contains(&file.path));
    dead.map(|file| Finding::new(&file.path, 1, "no crate root reaches this file"))
        .collect()
}

/// Tells whether cargo compiles `path` by itself.
fn is_root(tree: &Tree, path: &str) -> bool {
    let package = path.match_indices('/').rev().map(|(at, _)| &path[..at]);
    // The innermost folder with a manifest is the package.
    let Some(package) = package
        .into_iter()
        .find(|folder| tree.paths.contains(&format!("{folder}/Cargo.toml")))
    else {
        return false;
    };
    let inside = &path[package.len() + 1..];
    let manifest = format!("{package}/Cargo.toml");
    let named = format!("path = \"{inside}\"");
    let is_named =
        |file: &TextFile| file.path == manifest && file.text.lines().any(|it| it == named);
    tree.files.iter().any(is_named)
        || matches!(
            inside.split('/').collect::<Vec<_>>()[..],
            ["build.rs"]
                | ["src", "lib.rs" | "main.rs"]
                | ["src", "bin", _]
                | ["src", "bin", _, "main.rs"]
                | ["tests" | "benches" | "examples", _]
                | ["tests" | "benches" | "examples", _, "main.rs"]
        )
}

/// The files that the text of `path` names with `mod` or `include!`, whether they exist or not.
fn named_in(path: &str, text: &str, is_root: bool) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let children = if is_root || stem == "mod" {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    let mut named = Vec::new();
    let mut explicit = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) =
            between(line, "#[path = \"", "\"]").or_else(|| between(line, "include!(\"", "\")"))
        {
            explicit = Some(normalise(&format!("{folder}/{path}")));
        }
        if let Some(path) = explicit.take_if(|_| !line.starts_with('#')) {
            named.push(path);
        } else if let Some(name) = module_name(line) {
            named.push(format!("{children}/{name}.rs"));
            named.push(format!("{children}/{name}/mod.rs"));
        }
    }
    named
}

/// The name in `mod name;`, whatever its visibility.
fn module_name(line: &str) -> Option<&str> {
    let declaration = line.split("//").next().unwrap_or_default().trim();
    let (before, name) = declaration.strip_suffix(';')?.rsplit_once("mod ")?;
    let visibility = before.trim();
    let declares =
        visibility.is_empty() || visibility.starts_with("pub") || visibility.ends_with(']');
    let name = name.trim();
    (declares && name.chars().all(|it| it.is_alphanumeric() || it == '_')).then_some(name)
}

fn between<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &line[line.find(before)? + before.len()..];
    rest.find(after).map(|end| &rest[..end])
}

/// Resolves `.` and `..`.
pub(super) fn normalise(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_files_are_found_and_live_ones_are_not() {
        let tree = Tree::of(&[
            ("crates/a/Cargo.toml", "[[test]]\npath = \"odd/main.rs\"\n"),
            ("crates/a/odd/main.rs", "mod cases;"),
            ("crates/a/odd/cases.rs", ""),
            (
                "crates/a/src/lib.rs",
                "mod used;\npub mod wide; // why\n#[cfg(test)] mod tests;\nmod inline {}\n",
            ),
            (
                "crates/a/src/used.rs",
                "pub(crate) mod deeper;\n#[path = \"extra/odd.rs\"]\nmod odd;\n",
            ),
            ("crates/a/src/used/deeper.rs", ""),
            ("crates/a/src/extra/odd.rs", ""),
            ("crates/a/src/wide/mod.rs", "mod sibling;"),
            ("crates/a/src/wide/sibling.rs", ""),
            ("crates/a/src/tests.rs", ""),
            ("crates/a/src/dead.rs", "mod buried;"),
            ("crates/a/src/dead/buried.rs", ""),
            ("crates/a/tests/it/main.rs", "mod cases;"),
            ("crates/a/tests/it/cases.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
            ("loose.rs", ""),
        ]);
        let dead: Vec<String> = check(&tree)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        assert_eq!(
            dead,
            [
                "crates/a/src/dead.rs",
                "crates/a/src/dead/buried.rs",
                "loose.rs"
            ]
        );
    }

    #[test]
    fn words_that_only_look_like_a_module_are_none() {
        for line in [
            "let x = \"mod y;\";",
            "mod inline {",
            "// mod gone;",
            "use a::mod_b;",
        ] {
            assert_eq!(module_name(line), None, "{line}");
        }
        assert_eq!(module_name("pub(in crate::a) mod b;"), Some("b"));
    }
}
