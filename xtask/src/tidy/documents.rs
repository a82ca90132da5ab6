//! Documents stay true: every internal link leads somewhere, and every command in a `console` block is run by the
//! checks, so that it cannot stop working unseen.

use super::reachability::normalise;
use super::{Finding, TextFile, Tree};

/// Checks every document.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let run = commands_that_are_run(tree);
    tree.with("md")
        .flat_map(|file| check_document(tree, file, &run))
        .collect()
}

/// The text of all that continuous integration runs.
fn commands_that_are_run(tree: &Tree) -> String {
    let runs = |file: &&TextFile| {
        file.path.starts_with(".ci/") || (file.path.starts_with("tests/") && !file.is("md"))
    };
    tree.files
        .iter()
        .filter(runs)
        .map(|file| file.text.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

fn check_document(tree: &Tree, file: &TextFile, run: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in lines(&file.text) {
        match line.kind {
            Kind::Prose => findings.extend(
                links(line.text)
                    .filter(|link| !leads_somewhere(tree, file, link))
                    .map(|link| {
                        Finding::new(&file.path, line.number, format!("nothing is at {link}"))
                    }),
            ),
            Kind::Console => findings.extend(
                command(line.text)
                    .filter(|command| !run.contains(command))
                    .map(|it| {
                        Finding::new(
                            &file.path,
                            line.number,
                            format!("no check runs `{it}`: add it to .ci/ or tests/"),
                        )
                    }),
            ),
            Kind::Code => {}
        }
    }
    findings
}

enum Kind {
    Prose,
    /// Within a block of commands and what they print.
    Console,
    /// Within any other block.
    Code,
}

struct Line<'a> {
    number: usize,
    kind: Kind,
    text: &'a str,
}

/// The lines of a document, each with the kind of block that it is in.
fn lines(text: &str) -> Vec<Line<'_>> {
    let mut block: Option<&str> = None;
    let mut found = Vec::new();
    for (index, text) in text.lines().enumerate() {
        if let Some(language) = text.trim_start().strip_prefix("```") {
            block = if block.is_some() {
                None
            } else {
                Some(language.trim())
            };
            continue;
        }
        let kind = match block {
            None => Kind::Prose,
            Some("console") => Kind::Console,
            Some(_) => Kind::Code,
        };
        found.push(Line {
            number: index + 1,
            kind,
            text,
        });
    }
    found
}

/// The command in a line such as `$ cargo xtask demo   # explanation`.
fn command(line: &str) -> Option<&str> {
    let command = line.trim_start().strip_prefix("$ ")?;
    Some(command.split(" # ").next().unwrap_or(command).trim())
}

/// The targets of the links in `line` that lead into the project.
fn links(line: &str) -> impl Iterator<Item = &str> {
    // Every other piece is code.
    let prose = line.split('`').step_by(2);
    let targets = prose
        .flat_map(|piece| piece.split("](").skip(1))
        .filter_map(|rest| rest.split([')', ' ']).next());
    targets.filter(|target| {
        !target.contains("://") && !target.starts_with("mailto:") && !target.is_empty()
    })
}

fn leads_somewhere(tree: &Tree, file: &TextFile, link: &str) -> bool {
    let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = if target.is_empty() {
        file.path.clone()
    } else {
        normalise(&format!("{folder}/{target}"))
    };
    let exists = path.is_empty() || tree.paths.contains(&path);
    let document = tree
        .files
        .iter()
        .find(|file| file.path == path && file.is("md"));
    exists
        && (anchor.is_empty()
            || document.is_none_or(|file| headings(&file.text).any(|it| it == anchor)))
}

/// The anchors of the headings of a document.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let prose = lines(text)
        .into_iter()
        .filter(|line| matches!(line.kind, Kind::Prose));
    prose
        .filter(|line| line.text.starts_with('#'))
        .map(|line| anchor(line.text.trim_start_matches('#').trim()))
}

/// The anchor that a heading gets: lower case, spaces as hyphens, no punctuation.
fn anchor(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower
        .chars()
        .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.map(|it| if it == ' ' { '-' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(document: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("docs/a.md", document),
            (
                "docs/b.md",
                "# The title, and `more`\n```sh\n# no heading\n```\n",
            ),
            ("README.md", ""),
            (".ci/run", "cargo xtask demo --once\n"),
            ("tests/it/main.rs", "run(\"trellis up examples/x\")"),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_no_finding() {
        let document = "# Top\n[b](b.md) [up](../README.md) [title](b.md#the-title-and-more) [self](#top)\n\
                        [out](https://example.com/x) `[code](nowhere.md)`\n```\n[code](nowhere.md)\n```\n";
        assert_eq!(findings(document), Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let found = findings("[x](c.md)\n\n[y](b.md#no-heading)\n");
        assert_eq!(
            found,
            [
                "docs/a.md:1: nothing is at c.md",
                "docs/a.md:3: nothing is at b.md#no-heading"
            ]
        );
    }

    #[test]
    fn commands_that_nothing_runs_are_found() {
        let document = "```console\n$ cargo xtask demo  # shows it\noutput\n$ trellis up examples/x\n$ trellis fly\n```\n";
        assert_eq!(
            findings(document),
            ["docs/a.md:5: no check runs `trellis fly`: add it to .ci/ or tests/"]
        );
    }
}
