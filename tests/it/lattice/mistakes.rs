//! What people get wrong, and whether they are told at once.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;
use trellis_tests::{Application, Entry, Finished, Host, Trellis, guest};

/// An auction without a bid lasts 5 s, and a wait without an end a minute.
const AT_ONCE: Duration = Duration::from_secs(4);

/// A host with a lattice of its own, and a second terminal.
struct Desk {
    trellis: Trellis,
    _host: Host,
}

impl Desk {
    fn new() -> Self {
        let trellis = Trellis::new();
        let host = trellis.up();
        Self {
            trellis,
            _host: host,
        }
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        self.trellis.beside().args(arguments).run()
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        self.trellis.beside().args(arguments).json()
    }

    /// Runs what fails, and returns what it says.
    fn fails(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}: {}", ended.stderr);
        ended.stderr
    }
}

#[test]
fn what_failed_to_start_can_be_stopped() {
    let desk = Desk::new();
    let image = desk.trellis.home().join("text.wasm");
    std::fs::write(&image, "no component").unwrap();
    let image = image.display().to_string();
    let said = desk.fails(&["start", "component", &image]);
    assert!(said.contains("component text does not run"), "{said}");
    let listed = desk.ask(&["get", "components"]);
    assert_eq!(listed["components"][0]["ready"], false, "{listed}");
    desk.ask(&["stop", "component", "text"]);
    let listed = desk.ask(&["get", "components"]);
    assert_eq!(listed["components"], Value::Array(Vec::new()));
    let said = desk.fails(&["stop", "component", "text"]);
    assert!(said.contains("no component text runs"), "{said}");
}

#[test]
fn a_provider_whose_port_is_taken_says_so_at_once_and_can_be_stopped() {
    let desk = Desk::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("address={}", taken.local_addr().unwrap());
    desk.ask(&["config", "put", "http", &address]);
    let link = ["link", "put", "http-server", "web", "wasi", "http"];
    let link = [&link[..], &["--interface", "incoming-handler"]].concat();
    let put = desk.run(&link);
    let words = "note: http-server does not run yet";
    assert!(put.stderr.contains(words), "{}", put.stderr);

    let begin = Instant::now();
    let said = desk.fails(&[
        "start",
        "provider",
        "builtin:http-server",
        "--config",
        "http",
    ]);
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    // The id is the name of the built-in.
    assert!(said.contains("provider http-server does not run"), "{said}");
    assert!(said.contains("is in use"), "{said}");
    assert_eq!(said.matches("hint:").count(), 1, "{said}");

    // One that is broken is not one that is absent.
    let put = desk.run(&link);
    assert_eq!(put.code, Some(0), "{}", put.stderr);
    let words = "note: http-server does not serve: ";
    assert!(put.stderr.contains(words), "{}", put.stderr);
    assert!(
        put.stderr.contains("web does not run yet"),
        "{}",
        put.stderr
    );

    desk.ask(&["stop", "provider", "http-server"]);
    let listed = desk.ask(&["get", "providers"]);
    assert_eq!(listed["providers"], Value::Array(Vec::new()));
}

#[test]
fn a_link_with_a_slip_is_told_of() {
    let desk = Desk::new();
    for (guest_name, id) in [("to_upper_upper", "text"), ("to_upper_http", "web")] {
        let image = guest(guest_name).display().to_string();
        desk.ask(&["start", "component", &image, "--id", id]);
    }
    let put = |package: &str, interface: &str| {
        let link = ["link", "put", "web", "text", "trellis-examples", package];
        let ended = desk.run(&[&link[..], &["--interface", interface]].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stderr
    };
    assert_eq!(put("text", "upper"), "", "nothing is wrong with it");
    let told = put("text", "uper");
    let words = "text does not list trellis-examples:text/uper among its exports; did you mean \
                 trellis-examples:text/upper?";
    assert!(told.contains(words), "{told}");
    let told = put("nowhere", "upper");
    assert!(
        told.contains("does not use the link for trellis-examples:nowhere/upper"),
        "{told}"
    );
    let listed = desk.run(&["get", "links"]).stdout;
    assert!(listed.contains("not in force"), "{listed}");

    let said = desk.fails(&["get", "links", "txet"]);
    let words = "txet has no links and does not run in lattice default; did you mean text?";
    assert!(said.contains(words), "{said}");
}

#[test]
fn what_no_host_will_take_is_refused_at_once() {
    let desk = Desk::new();
    let image = guest("to_upper_upper").display().to_string();
    desk.ask(&["start", "component", &image, "--id", "upper"]);
    let begin = Instant::now();
    for (arguments, words) in [
        (
            &["provider", "builtin:htp-server"][..],
            "no built-in provider is named htp-server; did you mean http-server?",
        ),
        (&["component", "acme/web:1"], "no host can fetch acme/web:1"),
        (
            &["component", &image, "--id", "upper"],
            "runs component upper already",
        ),
    ] {
        let said = desk.fails(&[&["start"], arguments].concat());
        assert!(said.contains(words), "{said}");
    }
    assert!(begin.elapsed() < 2 * AT_ONCE, "{:?}", begin.elapsed());
    let name = desk.ask(&["get", "hosts"])["hosts"][0]["friendly_name"].clone();
    let beginning = name.as_str().unwrap().split('-').next().unwrap();
    desk.ask(&["drain", beginning]);
    let said = desk.fails(&["start", "component", &image, "--id", "other"]);
    assert!(said.contains("is draining, because"), "{said}");
}

#[test]
fn the_lattice_of_another_host_here_is_named_with_its_context() {
    let trellis = Trellis::new();
    let host = trellis.up();
    let server = host.report["server"].as_str().unwrap();
    for arguments in [
        &["get", "hosts", "--nats", server][..],
        &["up", "--nats", server],
    ] {
        let ended = trellis.beside().args(arguments).run();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let said = ended.stderr;
        assert!(
            said.contains("wants credentials, and none were given"),
            "{said}"
        );
        assert!(said.contains("`--context embedded`"), "{said}");
        assert!(!said.contains("violation"), "{said}");
    }
    let deleted = trellis.beside().args(["context", "del", "embedded"]).run();
    assert_eq!(deleted.code, Some(1));
    assert!(
        deleted.stderr.contains("belongs to a host that runs here"),
        "{}",
        deleted.stderr
    );
    assert_eq!(trellis.beside().args(["get", "hosts"]).run().code, Some(0));
}

#[test]
fn links_of_manifests_are_listed_and_marked() {
    let trellis = Trellis::new();
    let manifest = Application::new("two")
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
        .provider("store", "builtin:keyvalue-memory")
        .write(trellis.home());
    let _host = trellis.beside().arg(manifest).up();
    let desk = |arguments: &[&str]| trellis.beside().args(arguments);
    let listed = desk(&["get", "links", "two-caller"]).json();
    assert_eq!(listed["links"][0]["from_manifest"], true, "{listed}");
    assert_eq!(listed["links"][0]["wit_package"], "types", "{listed}");
    let text = desk(&["get", "links"]).run().stdout;
    assert!(text.contains("(manifest)"), "{text}");
    let told = desk(&["get", "providers"]).run().stderr;
    assert!(told.contains("note: from a manifest on "), "{told}");
    assert!(told.contains(": two-store"), "{told}");
}
