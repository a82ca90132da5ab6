//! Texts made to hurt: every one is answered in time, with places, and without a panic.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fastrand::Rng;
use trellis_manifest::{Severity, Source, parse};

use crate::model::fixtures;

const MUTANTS: usize = 10_000;
/// The promise for one manifest of at most a mebibyte.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(100);

/// The same for texts of a whole mebibyte in a build without optimisation, which is four times as
/// slow or more; a release build of this test keeps the promise itself.
const ANSWER_TIME_UNOPTIMISED_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Outcomes {
    late_after: Duration,
    parsed: usize,
    refused: usize,
    findings: usize,
    without_place: usize,
    late: usize,
    slowest: Duration,
}

impl Outcomes {
    fn new(late_after: Duration) -> Self {
        Self {
            late_after,
            parsed: 0,
            refused: 0,
            findings: 0,
            without_place: 0,
            late: 0,
            slowest: Duration::ZERO,
        }
    }

    /// Parses `bytes`, draws what is wrong, and counts.
    fn take(&mut self, label: &str, bytes: &[u8]) {
        let mut elapsed = self.measure(bytes, true);
        // The machine may have been busy with another test: only what is slow three times is slow.
        for _ in 0..2 {
            if elapsed > self.late_after {
                elapsed = elapsed.min(self.measure(bytes, false));
            }
        }
        self.slowest = self.slowest.max(elapsed);
        if elapsed > self.late_after {
            self.late += 1;
            eprintln!("{label} took {elapsed:?}");
        }
    }

    fn measure(&mut self, bytes: &[u8], count: bool) -> Duration {
        let start = cpu_time();
        let source = Source::from_bytes("mutant.yaml", bytes);
        let result = parse(&source);
        let drawn: Vec<String> = result
            .as_ref()
            .err()
            .into_iter()
            .flatten()
            .map(|finding| finding.render(&source))
            .collect();
        let elapsed = cpu_time().saturating_sub(start);
        if !count {
            return elapsed;
        }
        match result {
            Ok(_) => self.parsed += 1,
            Err(findings) => {
                self.refused += 1;
                self.findings += findings.len();
                let placed = findings.iter().zip(&drawn).all(|(finding, drawn)| {
                    let place = finding.position();
                    place.line >= 1
                        && place.column >= 1
                        && drawn.contains(&format!(
                            "--> mutant.yaml:{}:{}\n",
                            place.line, place.column
                        ))
                        && !drawn.chars().any(|c| c.is_control() && c != '\n')
                });
                let some_error = findings.iter().any(|it| it.severity == Severity::Error);
                if !placed || !some_error {
                    self.without_place += 1;
                }
            }
        }
        elapsed
    }

    fn check(&self) {
        eprintln!("{self:?}");
        assert_eq!(self.without_place, 0, "{self:?}");
        assert_eq!(self.late, 0, "{self:?}");
    }
}

/// Returns the time that this thread has computed, where the system says it: other tests on the same
/// processor must not count. Else the wall clock.
fn cpu_time() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let computed = schedule.and_then(|it| it.split(' ').next()?.parse().ok());
    computed.map_or_else(
        || START.get_or_init(Instant::now).elapsed(),
        Duration::from_nanos,
    )
}

#[test]
fn ten_thousand_mutated_manifests_are_answered() {
    let mut random = Rng::with_seed(0x7E11_1501);
    let originals: Vec<Vec<u8>> = fixtures("fixtures")
        .into_iter()
        .chain(fixtures("fixtures"))
        .chain(fixtures("fixtures/bad"))
        .map(|source| source.text().as_bytes().to_vec())
        .collect();
    let mut outcomes = Outcomes::new(ANSWER_TIME_MAX);
    for number in 0..MUTANTS {
        let mut bytes = originals[random.usize(..originals.len())].clone();
        for _ in 0..random.usize(1..3) {
            mutate(&mut bytes, &mut random, &originals);
        }
        outcomes.take(&format!("mutant {number}"), &bytes);
    }
    assert_eq!(outcomes.parsed + outcomes.refused, MUTANTS);
    assert!(
        outcomes.parsed > 100 && outcomes.refused > 5_000,
        "{outcomes:?}"
    );
    outcomes.check();
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Rng, originals: &[Vec<u8>]) {
    const ODD: [&str; 20] = [
        "\0",
        "\u{1b}[2J",
        "\u{202e}",
        "\u{2028}",
        "\u{feff}",
        "漢字",
        "👩‍👩‍👧",
        "e\u{301}\u{301}",
        "\t",
        "&a",
        "*a",
        "!!str",
        "<<: *a",
        "? ",
        ": ",
        "- - - -",
        "{[",
        "|\n",
        "99999999999999999999999999",
        "\"\\0\\x1b\\uFFFF\"",
    ];
    let length = bytes.len();
    let place = random.usize(..=length);
    match random.u8(..11) {
        0 => bytes.truncate(place),
        1 | 2 if length > 0 => bytes[place.min(length - 1)] ^= 1 << random.u8(..8),
        3 => {
            let text = ODD[random.usize(..ODD.len())];
            bytes.splice(place..place, text.bytes());
        }
        4 => {
            let end = (place + random.usize(..40)).min(length);
            bytes.drain(place..end);
        }
        5 | 6 => duplicate_line(bytes, random),
        7 => {
            let other = &originals[random.usize(..originals.len())];
            let start = random.usize(..=other.len());
            let end = (start + random.usize(..200)).min(other.len());
            bytes.splice(place..place, other[start..end].iter().copied());
        }
        8 => bytes.insert(place, random.u8(..)),
        9 => bytes
            .splice(
                place..place,
                std::iter::repeat_n(random.u8(..), random.usize(..2_000)),
            )
            .for_each(drop),
        _ => shift_line(bytes, random),
    }
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

fn duplicate_line(bytes: &mut Vec<u8>, random: &mut Rng) {
    let mut lines = lines(bytes);
    if let Some(line) = random.choice(&lines).cloned() {
        lines.insert(random.usize(..=lines.len()), line);
    }
    *bytes = lines.concat();
}

fn shift_line(bytes: &mut Vec<u8>, random: &mut Rng) {
    let mut lines = lines(bytes);
    let count = lines.len();
    if count > 0 {
        lines[random.usize(..count)].splice(0..0, std::iter::repeat_n(b' ', random.usize(1..4)));
    }
    *bytes = lines.concat();
}

/// Returns `unit` as often as it fits into the longest manifest.
fn filled(before: &str, unit: &str, after: &str) -> String {
    let room = trellis_manifest::MANIFEST_BYTES_MAX - before.len() - after.len();
    format!("{before}{}{after}", unit.repeat(room / unit.len()))
}

const HEAD: &str =
    "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: { name: x }\nspec:\n";

/// Returns a manifest whose list of components has `count` numbered items.
fn numbered(head: &str, count: usize, item: impl Fn(usize) -> String) -> String {
    let mut text = format!("{HEAD}{head}");
    for number in 0..count {
        text.push_str(&item(number));
    }
    text
}

fn alias_bomb(levels: usize, collection: bool) -> String {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..levels {
        let below = level - 1;
        let aliases = vec![format!("*a{below}"); 10].join(", ");
        if collection {
            writeln!(text, "a{level}: &a{level} [{aliases}]").unwrap();
        } else {
            writeln!(text, "a{level}: &a{level} {{ k: [{aliases}] }}").unwrap();
        }
    }
    text
}

#[test]
fn bombs_of_every_kind_are_refused_or_read_in_time() {
    let long_text = format!("a: &a \"{}\"\n", "x".repeat(500_000));
    let bombs: Vec<(&str, String)> = vec![
        ("alias bomb", alias_bomb(50, true)),
        ("alias bomb of mappings", alias_bomb(50, false)),
        (
            "long text behind aliases",
            format!("{long_text}b: [{}]\n", "*a, ".repeat(100_000)),
        ),
        ("alias in its own anchor", "a: &a [*a]\n".to_owned()),
        ("anchors redefined", filled("", "- &a [*a]\n", "")),
        ("flow lists 10,000 deep", "[".repeat(10_000)),
        (
            "flow lists closed 10,000 deep",
            "[".repeat(10_000) + &"]".repeat(10_000),
        ),
        ("flow mappings 10,000 deep", "{a: ".repeat(10_000)),
        ("block lists 10,000 deep", "- ".repeat(10_000)),
        ("complex keys 10,000 deep", "? ".repeat(10_000)),
        (
            "block mappings 1,000 deep",
            (0..1_000).fold(String::new(), |mut text, depth| {
                writeln!(text, "{}a:", " ".repeat(depth)).unwrap();
                text
            }),
        ),
        (
            "depth behind aliases",
            (0..200).fold("a0: &a0 []\n".to_owned(), |mut text, level| {
                writeln!(text, "a{}: &a{} [*a{level}]", level + 1, level + 1).unwrap();
                text
            }),
        ),
        ("one plain text", filled("a: ", "x", "")),
        ("one quoted text", filled("a: \"", "x", "\"")),
        (
            "one quoted text as name",
            filled(&HEAD.replace('x', "\""), "x", "\" }\n"),
        ),
        ("an unclosed text", filled("a: \"", "x\n", "")),
        ("one wide text", filled("a: \"", "漢", "\"")),
        ("one text of marks", filled("a: [\"", "\u{301}", "\"")),
        ("one block text", filled("a: |\n", " x\n", "")),
        ("one folded text", filled("a: >\n", "  x\n\n", "")),
        ("one key", filled("", "x", ": y")),
        ("one comment", filled("a: b #", "#", "")),
        ("only line breaks", filled("", "\n", "")),
        ("only spaces", filled("", " ", "")),
        ("only documents", filled("", "---\n", "")),
        ("documents of text", filled("", "--- x\n", "")),
        ("empty flow lists", filled("[", "[],", "]")),
        ("commas in flow", filled("[", "a,", "]")),
        ("flow after depth", filled(&"[".repeat(60), "a,", "")),
        ("flow after much depth", filled(&"[".repeat(254), "a,", "")),
        (
            "flow mappings after much depth",
            filled(&"{a: ".repeat(250), "a: b,", ""),
        ),
        // The most that the bound on commas and brackets lets through.
        (
            "lists as deep as the parser goes",
            format!("{}{}", "[".repeat(254), "a,".repeat(49_000)),
        ),
        (
            "mappings as deep as the parser goes",
            format!("{}{}", "{a: ".repeat(254), "a: b,".repeat(49_000)),
        ),
        ("implicit keys in flow", filled("[", "a: b,", "]")),
        ("flow on lines", filled("[", "a: b,\n", "]")),
        ("keys without values", filled("{", "a,", "}")),
        ("the same key", filled("", "a: b\n", "")),
        ("colons", filled("", ":", "")),
        ("questions", filled("", "? a\n", "")),
        ("tags", filled("", "- !x y\n", "")),
        ("directives", filled("", "%TAG !a! b\n", "")),
        ("other directives", filled("", "%A b\n", "")),
        (
            "unknown fields",
            numbered("", 40_000, |n| format!("field{n}: x\n")),
        ),
        (
            "unknown fields in flow",
            numbered("  {", 40_000, |n| format!("f{n}: x,")),
        ),
        (
            "huge numbers",
            numbered("  components: [", 40_000, |n| format!("{n}99999999999999,")),
        ),
        (
            "one huge number",
            filled(&format!("{HEAD}  components: "), "9", ""),
        ),
        (
            "components",
            numbered("  components:\n", 8_000, |n| {
                format!(
                    "  - {{ name: c{n}, type: component, properties: {{ image: ./c{n}.wasm }} }}\n"
                )
            }),
        ),
        (
            "components of one name",
            numbered("  components:\n", 8_000, |_| {
                "  - { name: c, type: component, properties: { image: ./c.wasm } }\n".to_owned()
            }),
        ),
        (
            "components that are wrong",
            numbered("  components:\n", 8_000, |n| {
                format!(
                    "  - {{ name: c{n}, typ: componen, properties: {{ imag: c{n}.wasm }}, traits: x }}\n"
                )
            }),
        ),
        (
            "links in one long circle",
            numbered("  components:\n", 3_000, |n| {
                format!(
                    "  - {{ name: c{n}, type: component, properties: {{ image: ./c.wasm }}, traits: [ {{ type: link, \
             properties: {{ target: c{}, namespace: a, package: b, interfaces: [c] }} }} ] }}\n",
                    (n + 1) % 3_000
                )
            }),
        ),
        (
            "links to nowhere",
            numbered("  components:\n", 3_000, |n| {
                format!(
                    "  - {{ name: component{n}, type: component, properties: {{ image: ./c.wasm }}, traits: [ {{ type: \
             link, properties: {{ target: componemt{n}x, namespace: a, package: b, interfaces: [c] }} }} ] }}\n"
                )
            }),
        ),
        (
            "links of one component",
            numbered(
                "  components:\n  - name: c\n    type: component\n    properties: { image: c.wasm }\n    traits:\n",
                5_000,
                |n| {
                    format!(
                        "    - {{ type: link, properties: {{ target: c, namespace: wasi, package: http, interfaces: [i{n}] }} }}\n"
                    )
                },
            ),
        ),
        (
            "policies",
            numbered("  components: []\n  policies:\n", 9_000, |n| {
                format!("  - {{ name: p{n}, type: t, properties: {{}} }}\n")
            }),
        ),
        (
            "spreads",
            numbered(
                "  components:\n  - name: c\n    type: component\n    properties: { image: c.wasm }\n    traits:\n    \
             - type: spreadscaler\n      properties:\n        instances: 1\n        spread:\n",
                13_000,
                |n| format!("        - {{ name: s{n}, requirements: {{}} }}\n"),
            ),
        ),
        (
            "config of one name",
            numbered(
                "  components:\n  - name: c\n    type: component\n    properties:\n      image: c.wasm\n      config:\n",
                10_000,
                |n| format!("      - {{ name: c, properties: {{ a: \"{n}\" }} }}\n"),
            ),
        ),
    ];
    let optimised = !cfg!(debug_assertions);
    let late_after = if optimised {
        ANSWER_TIME_MAX
    } else {
        ANSWER_TIME_UNOPTIMISED_MAX
    };
    let mut outcomes = Outcomes::new(late_after);
    for (label, text) in &bombs {
        outcomes.take(label, text.as_bytes());
    }
    // Those three are large, not wrong.
    assert_eq!(outcomes.parsed, 3, "{outcomes:?}");
    outcomes.check();
}
