//! Components that call components.

use serde_json::{Value, json};
use trellis_tests::{Application, Entry, Host, Trellis, get};

const INTERFACES: &str = "trellis-test:types/api,bench,deeds";

fn linked(limits: Value) -> Host {
    let trellis = Trellis::new();
    let manifest = Application::new("pair")
        .component(Entry::new("caller", "caller").link("callee", INTERFACES, Value::Null))
        .component(Entry::new("callee", "callee").limits(limits))
        .http("caller", json!({}))
        .write(trellis.home());
    trellis.arg(manifest).up()
}

#[test]
fn every_type_of_value_comes_back_as_it_went() {
    let host = linked(json!({}));
    let answer = get(host.address(), "/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        answer.text().ends_with("round trips are equal\n"),
        "{}",
        answer.text()
    );
    for size in [0, 1, 1_024, 65_536] {
        let answer = get(host.address(), &format!("/bytes?n=3&size={size}"));
        assert_eq!(answer.status, 200, "{size} bytes: {}", answer.text());
    }
}

#[test]
fn a_callee_that_fails_fails_that_call_and_no_other() {
    let host = linked(json!({ "cpuTime": "100ms" }));
    for path in ["/trap", "/spin"] {
        let failed = get(host.address(), path);
        assert_eq!(
            (failed.status, failed.header("x-trellis-error")),
            (500, Some("trap")),
            "{path}"
        );
        assert_eq!(get(host.address(), "/nop").status, 200, "after {path}");
    }
    let line = host.log().wait_for("limits.cpuTime").unwrap();
    assert!(line.contains("100ms"), "{line}");
}

#[test]
fn streams_and_futures_pass_between_components_of_one_host() {
    let trellis = Trellis::new();
    let manifest = Application::new("pair")
        .component(Entry::new("caller", "stream_caller").link(
            "callee",
            "trellis-test:streams/api",
            Value::Null,
        ))
        .component(Entry::new("callee", "stream_callee"))
        .http("caller", json!({}))
        .write(trellis.home());
    let host = trellis.arg(manifest).up();
    let ask = |path: &str| get(host.address(), path);
    let down = ask("/download?bytes=1000000");
    assert_eq!(down.status, 200, "{}", down.text());
    assert!(down.text().starts_with("1000000 "), "{}", down.text());
    assert_eq!(ask("/upload?bytes=1000000").text(), down.text());
    assert_eq!(ask("/echo?bytes=1000000").text(), down.text());
    assert_eq!(ask("/measured?bytes=1000000").text(), down.text());
    assert_eq!(ask("/ask?question=ready").text(), "ready - yes\n");

    let failed = ask("/download?bytes=1000000&ending=trap");
    assert_eq!(
        (failed.status, failed.header("x-trellis-error")),
        (500, Some("trap"))
    );
    assert_eq!(ask("/echo?bytes=1").status, 200);
}
