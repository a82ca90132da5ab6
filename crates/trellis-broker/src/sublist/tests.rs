//! The trie beside a plain list of patterns.

use proptest::prelude::*;
use trellis_identity::subject;

use super::*;

#[derive(Debug, PartialEq)]
struct Listed {
    number: u64,
    queue: Option<String>,
}

impl Entry for Listed {
    fn number(&self) -> u64 {
        self.number
    }

    fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }
}

fn list(patterns: &[(&str, Option<&str>)]) -> (Sublist<Listed>, Vec<Arc<Listed>>) {
    let table = Sublist::new();
    let mut entries = Vec::new();
    for (number, (pattern, queue)) in (0..).zip(patterns) {
        let queue = queue.map(str::to_owned);
        let entry = Arc::new(Listed { number, queue });
        table.insert(pattern, Arc::clone(&entry));
        entries.push(entry);
    }
    (table, entries)
}

fn check(patterns: &[&str], subject: &str, expected: &[u64]) {
    let patterns: Vec<_> = patterns.iter().map(|it| (*it, None)).collect();
    let mut found: Vec<_> = list(&patterns)
        .0
        .find(subject)
        .plain
        .iter()
        .map(|it| it.number)
        .collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{subject}");
}

#[test]
fn wildcards_stand_for_one_token_or_for_the_rest() {
    let patterns = ["a.b", "a.*", "a.>", ">", "*", "*.b", "a.*.c"];
    check(&patterns, "a.b", &[0, 1, 2, 3, 5]);
    check(&patterns, "a", &[3, 4]);
    check(&patterns, "a.x.c", &[2, 3, 6]);
    for bad in ["", ".", "a.", ".a", "a..b"] {
        check(&patterns, bad, &[]);
    }
}

#[test]
fn a_wildcard_that_is_published_to_is_a_token() {
    check(&["a.*", "a.b", "a.>", "a*"], "a.*", &[0, 2]);
    check(&["a.*", "a.b", "a.>", "a*"], "a*", &[3]);
}

#[test]
fn a_subject_of_too_many_tokens_reaches_nobody() {
    let longest = vec!["a"; SUBJECT_TOKENS_MAX].join(".");
    check(&[">"], &longest, &[0]);
    check(&[">"], &format!("{longest}.a"), &[]);
    assert!(is_pattern(&longest) && !is_pattern(&format!("{longest}.a")));
}

#[test]
fn one_queue_group_is_asked_once_whatever_its_patterns() {
    let (table, _) = list(&[
        ("a.*", Some("q")),
        ("a.b", Some("q")),
        ("a.b", Some("r")),
        ("a.b", None),
    ]);
    let mut sizes: Vec<_> = table.find("a.b").queues.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2]);
    assert_eq!(table.find("a.b").plain.len(), 1);
}

#[test]
fn a_change_is_seen_where_it_matters() {
    let (table, entries) = list(&[("a.b", None), (">", None)]);
    let before = table.generation(b"a.x");
    table.remove("a.b", &entries[0]);
    assert!(table.generation(b"a.y.z") > before);
    let before = (table.generation(b"a"), table.generation(b"elsewhere"));
    table.remove(">", &entries[1]);
    assert!(table.generation(b"a") > before.0 && table.generation(b"elsewhere") > before.1);
    assert!(table.is_empty());
}

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "*", ">", "", "a*"])
}

fn dotted() -> impl Strategy<Value = String> {
    prop::collection::vec(token(), 1..5).prop_map(|tokens| tokens.join("."))
}

proptest! {
    #[test]
    fn the_table_finds_what_a_list_finds(
        patterns in prop::collection::vec(dotted(), 0..12),
        removed in prop::collection::vec(any::<bool>(), 12),
        subject in dotted(),
    ) {
        let patterns: Vec<_> = patterns.iter().filter(|it| is_pattern(it)).map(|it| (&**it, None)).collect();
        let (table, entries) = list(&patterns);
        let mut expected = Vec::new();
        for ((entry, (pattern, _)), removed) in entries.iter().zip(&patterns).zip(removed) {
            if removed {
                table.remove(pattern, entry);
            } else if subject::matches(pattern, &subject) {
                expected.push(entry.number);
            }
        }
        let mut found: Vec<_> = table.find(&subject).plain.iter().map(|it| it.number).collect();
        found.sort_unstable();
        prop_assert_eq!(found, expected);
        for (entry, (pattern, _)) in entries.iter().zip(&patterns) {
            table.remove(pattern, entry);
        }
        prop_assert!(table.is_empty());
    }
}
