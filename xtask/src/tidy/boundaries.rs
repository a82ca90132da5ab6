//! Dependencies point one way, and some crates are named in few places.
//!
//! The direction is the code map of `ARCHITECTURE.md`: a table whose first column names a crate and whose column
//! `May use` names the crates of this project that it may depend on.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Finding, TextFile, Tree};

const MAP: &str = "ARCHITECTURE.md";
const COLUMN: &str = "May use";

/// A crate of ours and what it depends on outside its tests.
pub(super) struct Package {
    name: String,
    /// Its `Cargo.toml`, from the root of the project.
    manifest: String,
    dependencies: Vec<String>,
}

/// Third-party crates that only some crates of ours may name; a name ending in `*` stands for all that begin so.
const BOUNDARIES: [(&str, &[&str]); 3] = [
    (
        "wasmtime*",
        &["trellis-engine", "trellis-capabilities", "trellis-bench"],
    ),
    (
        "clap",
        &["trellis", "trellis-bench", "trellis-bench-lattice", "xtask"],
    ),
    (
        "async-nats",
        &["trellis-lattice", "trellis-wrpc", "trellis-bench-lattice"],
    ),
];

/// Reads the packages from the output of `cargo metadata --no-deps`.
pub(super) fn packages(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).context("cargo metadata is not JSON")?;
    let root = metadata["workspace_root"]
        .as_str()
        .context("cargo metadata names no root")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    packages
        .iter()
        .map(|package| Package::of(package, root))
        .collect()
}

impl Package {
    fn of(package: &Value, root: &str) -> Result<Self> {
        let text = |name: &str| {
            package[name]
                .as_str()
                .with_context(|| format!("a package without {name}"))
        };
        let dependencies = package["dependencies"]
            .as_array()
            .context("a package without dependencies")?;
        // Tests may use what they like; `kind` is null for all else but build scripts.
        let used = dependencies
            .iter()
            .filter(|it| it["kind"].as_str() != Some("dev"));
        let manifest = text("manifest_path")?;
        Ok(Self {
            name: text("name")?.to_owned(),
            manifest: manifest
                .strip_prefix(root)
                .unwrap_or(manifest)
                .trim_start_matches('/')
                .to_owned(),
            dependencies: used
                .filter_map(|it| Some(it["name"].as_str()?.to_owned()))
                .collect(),
        })
    }
}

/// Checks both rules.
pub(super) fn check(packages: &[Package], tree: &Tree) -> Vec<Finding> {
    let mut findings = outside_boundaries(packages);
    match tree.files.iter().find(|file| file.path == MAP) {
        Some(map) => findings.extend(against_the_map(packages, map)),
        None => findings.push(Finding::new(
            MAP,
            1,
            "missing: it holds the code map, with the direction of dependencies",
        )),
    }
    findings
}

fn outside_boundaries(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        for (pattern, owners) in BOUNDARIES {
            let matches = |name: &String| match pattern.strip_suffix('*') {
                Some(stem) => name.starts_with(stem),
                None => name == pattern,
            };
            let named = package.dependencies.iter().find(|name| matches(name));
            if let Some(named) = named.filter(|_| !owners.contains(&package.name.as_str())) {
                let message = format!(
                    "{} names {named}, which belongs to {}",
                    package.name,
                    owners.join(", ")
                );
                findings.push(Finding::new(&package.manifest, 1, message));
            }
        }
    }
    findings
}

fn against_the_map(packages: &[Package], map: &TextFile) -> Vec<Finding> {
    let allowed = read_map(&map.text);
    let mut findings = Vec::new();
    for package in packages {
        let Some((line, may_use)) = allowed.get(&package.name) else {
            let message = format!(
                "the code map has no row for {}, with a column `{COLUMN}`",
                package.name
            );
            findings.push(Finding::new(MAP, 1, message));
            continue;
        };
        let ours = package
            .dependencies
            .iter()
            .filter(|name| packages.iter().any(|it| it.name == **name));
        for used in ours.filter(|name| !may_use.contains(name)) {
            let message = format!("{} uses {used}, against line {line} of {MAP}", package.name);
            findings.push(Finding::new(&package.manifest, 1, message));
        }
    }
    for (name, (line, _)) in &allowed {
        if !packages.iter().any(|package| package.name == *name) {
            findings.push(Finding::new(
                MAP,
                *line,
                format!("the code map names {name}, which is no crate"),
            ));
        }
    }
    findings
}

/// What each crate may use, with the line that says so.
fn read_map(text: &str) -> BTreeMap<String, (usize, Vec<String>)> {
    let mut allowed = BTreeMap::new();
    let mut column = None;
    for (index, line) in text.lines().enumerate() {
        let Some(row) = line.trim().strip_prefix('|') else {
            column = None;
            continue;
        };
        let cells: Vec<&str> = row
            .trim_end_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        let Some(at) = column else {
            column = cells.iter().position(|cell| *cell == COLUMN);
            continue;
        };
        let first_name = cells
            .first()
            .and_then(|cell| quoted(cell).next().map(str::to_owned));
        if let (Some(name), Some(cell)) = (first_name, cells.get(at)) {
            allowed.insert(name, (index + 1, quoted(cell).map(str::to_owned).collect()));
        }
    }
    allowed
}

/// The names between backticks, without the folder in front of them.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    let names = cell.split('`').skip(1).step_by(2);
    names.map(|name| name.rsplit('/').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARCHITECTURE: &str = "\
# Map

| Other | Table |
|---|---|
| `ignored` | `ignored` |

| Crate | What it holds | May use |
|---|---|---|
| `crates/high` | things | `low`, `middle` |
| `crates/middle` | things | `low` |
| `crates/low` | things | nothing |
";

    fn package(name: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(|it| (*it).to_owned()).collect();
        Package {
            name: name.to_owned(),
            manifest: format!("crates/{name}/Cargo.toml"),
            dependencies,
        }
    }

    fn messages(packages: &[Package], architecture: &str) -> Vec<String> {
        let tree = Tree::of(&[(MAP, architecture)]);
        check(packages, &tree)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn what_the_map_allows_is_no_finding() {
        let packages = [
            package("high", &["low", "middle", "serde"]),
            package("middle", &["low"]),
            package("low", &[]),
        ];
        assert!(messages(&packages, ARCHITECTURE).is_empty());
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        let packages = [
            package("high", &[]),
            package("middle", &["high"]),
            package("low", &[]),
        ];
        let expected =
            ["crates/middle/Cargo.toml:1: middle uses high, against line 10 of ARCHITECTURE.md"];
        assert_eq!(messages(&packages, ARCHITECTURE), expected);
    }

    #[test]
    fn the_map_and_the_crates_must_agree() {
        let packages = [
            package("high", &[]),
            package("middle", &[]),
            package("new", &[]),
        ];
        let found = messages(&packages, ARCHITECTURE);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("no row for new"));
        assert!(found[1].contains("names low, which is no crate"));
    }

    #[test]
    fn a_boundary_crate_named_elsewhere_is_found() {
        let packages = [
            package("trellis-host", &["wasmtime-wasi"]),
            package("trellis-engine", &["wasmtime"]),
        ];
        let found = outside_boundaries(&packages);
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .message
                .contains("trellis-host names wasmtime-wasi")
        );
    }

    #[test]
    fn tests_may_use_what_they_like() {
        let metadata = r#"{"workspace_root": "/p", "packages": [{"name": "a", "manifest_path": "/p/a/Cargo.toml",
            "dependencies": [{"name": "clap", "kind": "dev"}, {"name": "low", "kind": null}]}]}"#;
        let packages = packages(metadata).expect("valid metadata");
        assert_eq!(packages[0].dependencies, ["low"]);
        assert_eq!(packages[0].manifest, "a/Cargo.toml");
    }
}
