//! What a person sees who wrote a manifest wrong.

use trellis_manifest::{DIAGNOSTICS_MAX, MANIFEST_BYTES_MAX, Severity, Source, parse, render_all};

use crate::model::fixtures;

/// Returns the messages for a text that is wrong.
fn drawn(source: &Source) -> String {
    let findings = parse(source).expect_err("the manifest is wrong");
    assert!(findings.iter().any(|it| it.severity == Severity::Error));
    render_all(&findings, std::slice::from_ref(source))
}

fn check(text: &str, expected: &[&str]) {
    let drawn = drawn(&Source::new("a.yaml", text));
    for expected in expected {
        assert!(drawn.contains(expected), "{expected:?} is not in\n{drawn}");
    }
}

#[test]
fn every_mistake_is_shown_with_its_place_and_a_way_out() {
    for source in fixtures("fixtures/bad") {
        let text = drawn(&source);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("bad-{}", source.name()), text);
        });
    }
}

#[test]
fn nothing_is_said_about_links_to_a_component_that_has_errors_itself() {
    let text = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: x }
spec:
  components:
    - name: a
      type: component
      properties: { image: a.wasm }
      traits:
        - type: link
          properties: { target: b, namespace: wasi, package: keyvalue, interfaces: [store] }
    - { name: b, type: capability, properties: { imag: b.wasm } }
";
    let findings = parse(&Source::new("a.yaml", text)).unwrap_err();
    assert!(
        findings.iter().all(|it| it.position().line == 13),
        "{findings:?}"
    );
}

#[test]
fn texts_that_are_no_text_are_refused_where_that_shows() {
    let refused = |bytes: &[u8]| drawn(&Source::from_bytes("a.yaml", bytes));
    assert!(refused(b"a: b\nc: \xff\n").contains("a.yaml:2:4"));
    assert!(refused(b"\xff\xfea\0").contains("UTF-16"));
    check("a: b\nc: x\0y", &["U+0000", "a.yaml:2:5"]);
    check("a: \u{1b}[31m", &["U+001B"]);
    check(
        &"x".repeat(MANIFEST_BYTES_MAX + 1),
        &["at most 1048576 bytes"],
    );
    check("", &["the manifest is empty", "a.yaml:1:1"]);
}

#[test]
fn a_byte_order_mark_and_other_line_breaks_are_fine() {
    let text = "\u{feff}apiVersion: core.oam.dev/v1beta1\r\nkind: Application\r\n\
                metadata: { name: x }\r\nspec: { components: [] }\r\n---\r\n";
    let applications = parse(&Source::new("a.yaml", text)).unwrap();
    assert_eq!(applications[0].warnings.len(), 1);
}

#[test]
fn findings_end_at_their_bound() {
    let mut text = String::from("apiVersion: core.oam.dev/v1beta1\nkind: Application\n");
    for number in 0..5_000 {
        text.push_str(&format!("field{number}: x\n"));
    }
    let findings = parse(&Source::new("a.yaml", text.as_str())).unwrap_err();
    assert_eq!(findings.len(), DIAGNOSTICS_MAX);
    check(&text, &["only the first 100"]);
}

#[test]
fn each_bound_is_named_when_it_is_passed() {
    let nested = |depth: usize| format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
    check(&nested(64), &["nested more than 64 deep", "a.yaml:1:67"]);
    let ten = |name: &str| [name; 10].join(", ");
    let mut bomb = format!("a0: &a0 [{}]\n", ten("x"));
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", ten(&below)));
    }
    check(
        &bomb,
        &["at most 100000 values, aliases expanded", "a.yaml:5:"],
    );
    let copies = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 19), ten("*a"));
    check(
        &copies,
        &["aliases add more than 1048576 bytes", "a.yaml:2:13"],
    );
    check(
        &"a,".repeat(50_001),
        &["at most 50000 commas and opening brackets"],
    );
    check(
        &"---\n".repeat(1_002),
        &["at most 1000 YAML documents", "a.yaml:1001:1"],
    );
    check(
        "a: &a [*a]",
        &["stands inside its own anchor", "a.yaml:1:8"],
    );
}

#[test]
fn a_missing_policy_is_not_reported_where_a_policy_could_not_be_read() {
    let manifest = |policy: &str| {
        format!(
            "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{ name: x }}\nspec:\n  \
             policies:\n    - {policy}\n  components:\n    - name: a\n      type: component\n      \
             properties:\n        image: a.wasm\n        secrets:\n          \
             - {{ name: s, properties: {{ policy: vault-key, key: k }} }}\n"
        )
    };
    let wrong = parse(&Source::new(
        "a.yaml",
        manifest("{ name: vault-key, type: t }"),
    ))
    .unwrap_err();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    check(
        &manifest("{ name: vault-keys, type: t, properties: {} }"),
        &["names the policy `vault-key`", "did you mean `vault-keys`"],
    );
}
