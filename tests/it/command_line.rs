//! What the command line says of itself, and the shapes that programs read.

use serde_json::Value;
use trellis_tests::{Application, Entry, Host, Trellis, guest};

/// Everything fits a terminal of this width.
const COLUMNS: usize = 80;

fn help(arguments: &[&str]) -> String {
    let help = Trellis::new().args(arguments).run();
    assert_eq!(help.code, Some(0), "{}", help.stderr);
    let long = help
        .stdout
        .lines()
        .find(|line| line.chars().count() > COLUMNS);
    assert_eq!(long, None, "longer than {COLUMNS} columns");
    help.stdout
}

#[test]
fn help_of_trellis() {
    insta::assert_snapshot!("help", help(&["--help"]));
}

#[test]
fn help_of_up() {
    insta::assert_snapshot!("help-up", help(&["up", "--help"]));
}

#[test]
fn help_of_inspect() {
    insta::assert_snapshot!("help-inspect", help(&["inspect", "--help"]));
}

#[test]
fn what_is_typed_wrong_is_told_how_to_be_right() {
    for (typed, hint) in [
        (["--http", "localhost:8000"], "such as 127.0.0.1:8000"),
        (["--metrics", ":9464"], "such as 127.0.0.1:8000"),
        (
            ["--guest-memory", "2 GB"],
            "such as 512, or a size such as 2GiB",
        ),
        (["--label", "zone"], "write KEY=VALUE"),
    ] {
        let ended = Trellis::new().arg("up").args(typed).run();
        assert_eq!(ended.code, Some(2), "{typed:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(hint), "{typed:?}: {}", ended.stderr);
    }
}

#[test]
fn what_is_typed_wrong_is_a_usage_error() {
    for arguments in [
        &["fly"][..],
        &[],
        &["up", "--no-such-option"],
        &["up", "--http", "8000"],
        &["up", "--guest-memory", "0"],
        &["up", "--log", "=,="],
        &["up", "--log", "verbose"],
        &["inspect"],
    ] {
        let ended = Trellis::new().args(arguments).run();
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stdout.is_empty() && !ended.stderr.is_empty(),
            "{arguments:?}"
        );
    }
}

/// Returns the report of a host, without what is another at each start.
fn without_lattice(host: &Host) -> Value {
    let mut report = host.report.clone();
    let id = report["host_id"].as_str().unwrap();
    assert!(id.starts_with('N') && id.len() == 56, "{id}");
    report["host_id"] = "[id]".into();
    let server = report["server"].as_str().unwrap();
    assert!(server.starts_with("nats://127.0.0.1:"), "{server}");
    report["server"] = "nats://127.0.0.1:[port]".into();
    report
}

#[test]
fn json_of_up() {
    let trellis = Trellis::new();
    let manifest = Application::new("both-tiers")
        .component(Entry::new("caller", "caller").link(
            "callee",
            "trellis-test:types/api,bench,deeds",
            Value::Null,
        ))
        .component(Entry::new("callee", "callee"))
        .component(Entry::new("counter", "http_kvcounter").link(
            "store",
            "wasi:keyvalue/store,atomics",
            Value::Null,
        ))
        .component(Entry::new("missing", "unsatisfied"))
        .provider("store", "ghcr.io/wasmcloud/keyvalue-redis:0.28.1")
        .http("caller", Value::Null)
        .http("counter", serde_json::json!({ "path": "/count" }))
        .write(trellis.home());
    let host = trellis.arg(manifest).up();
    let port = host.address().port().to_string();
    let mut report = without_lattice(&host);
    for component in report["applications"][0]["components"]
        .as_array_mut()
        .unwrap()
    {
        assert!(component["digest"].as_str().unwrap().starts_with("sha256:"));
        component["digest"] = "[digest]".into();
        assert!(component["from_cache"].is_boolean());
        component["from_cache"] = "[true or false]".into();
    }
    let json = serde_json::to_string_pretty(&report)
        .unwrap()
        .replace(&port, "[port]");
    insta::assert_snapshot!("json-up", json);
}

#[test]
fn json_of_a_host_without_applications() {
    let host = Trellis::new().up();
    let report = without_lattice(&host).to_string();
    insta::assert_snapshot!(report, @r#"{"applications":[],"host_id":"[id]","lattice":"default","listening":[],"server":"nats://127.0.0.1:[port]"}"#);
}

#[test]
fn text_of_up_has_the_urls_and_nothing_else_on_standard_output() {
    let trellis = Trellis::new().args(["up", "--http", "127.0.0.1:0", "--log", "off"]);
    // A component that does not answer HTTP ends the command, so that the whole output is there.
    let ended = trellis.arg(guest("callee")).run();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(
        ended.stderr.contains("does not answer HTTP"),
        "{}",
        ended.stderr
    );
}

#[test]
fn json_of_inspect() {
    let trellis = Trellis::new().arg("inspect").arg(guest("http_kvcounter"));
    let ended = trellis.args(["--output", "json"]).run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let mut shape: Value = serde_json::from_str(&ended.stdout).unwrap();
    // What the toolchain of the day decides is not part of the shape.
    for (field, text) in [
        ("digest", "[digest]"),
        ("world", "[world]"),
        ("size", "[bytes]"),
        ("wit", "[wit]"),
    ] {
        assert!(!shape[field].is_null(), "{field}");
        shape[field] = text.into();
    }
    for field in ["languages", "sdks", "tools"] {
        assert!(shape["metadata"][field].is_array(), "{field}");
        shape["metadata"][field] = "[list]".into();
    }
    let ours = |it: &Value| it["name"].as_str().unwrap().starts_with("wasi:keyvalue/");
    shape["imports"].as_array_mut().unwrap().retain(ours);
    let satisfied = shape["satisfied_by"].as_object_mut().unwrap();
    satisfied.retain(|name, _| name.starts_with("wasi:keyvalue/"));
    insta::assert_snapshot!(
        "json-inspect",
        serde_json::to_string_pretty(&shape).unwrap()
    );
}

#[test]
fn inspect_says_for_each_import_what_would_satisfy_it() {
    let ended = Trellis::new()
        .arg("inspect")
        .arg(guest("unsatisfied"))
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let expected = "  trellis-test:missing/nothing@1.2.3\n      a link to a component that exports \
                    trellis-test:missing/nothing@1.2.3\n";
    assert!(ended.stdout.contains(expected), "{}", ended.stdout);
    assert!(
        ended
            .stdout
            .contains("answer: func(question: string) -> u32"),
        "{}",
        ended.stdout
    );
}
