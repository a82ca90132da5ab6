//! Commands from another terminal, and what people get wrong.

use rustix::process::Signal;
use serde_json::{Value, json};
use trellis_tests::{Application, Entry, Site, Trellis, get, guest, wait_until};

use super::{hosts, metrics_of};

#[test]
fn a_second_terminal_finds_the_embedded_lattice_by_itself() {
    let trellis = Trellis::new();
    let host = trellis.up();
    let desk = |arguments: &[&str]| trellis.beside().args(arguments);
    let found = desk(&["get", "hosts"]).json();
    assert_eq!(found["hosts"][0]["id"], host.host_id().as_str());
    assert_eq!(found["hosts"][0]["mode"], "joined");

    let image = guest("to_upper_upper").display().to_string();
    desk(&["start", "component", &image, "--id", "upper"]).json();
    let called = desk(&["call", "upper", "upper.upper", "\"quiet\""]).run();
    assert_eq!(
        (called.code, called.stdout.trim()),
        (Some(0), "\"QUIET\""),
        "{}",
        called.stderr
    );
    desk(&["stop", "component", "upper"]).json();
    let called = desk(&["call", "upper", "upper.upper", "\"quiet\""]).run();
    assert_eq!(called.code, Some(1));
    assert!(called.stderr.contains("upper"), "{}", called.stderr);
}

#[test]
fn a_component_of_a_manifest_that_is_started_anew_answers_its_routes_again() {
    let trellis = Trellis::new();
    let manifest = Application::new("shop")
        .component(Entry::new("hello", "http_hello"))
        .http("hello", json!({}))
        .write(trellis.home());
    let host = trellis.beside().arg(manifest).up();
    let desk = |arguments: &[&str]| trellis.beside().args(arguments);
    assert_eq!(get(host.address(), "/").status, 200);
    let id = "shop-hello";
    desk(&["stop", "component", id]).json();
    assert_eq!(get(host.address(), "/").status, 503);
    let image = guest("http_hello").display().to_string();
    desk(&["start", "component", &image, "--id", id]).json();
    assert_eq!(get(host.address(), "/").text(), "Hello from Trellis!\n");
}

#[test]
fn a_call_that_cannot_be_made_is_answered_with_one_that_can() {
    let trellis = Trellis::new();
    let _host = trellis.up();
    let desk = |arguments: &[&str]| trellis.beside().args(arguments);
    let image = guest("to_upper_upper").display().to_string();
    desk(&["start", "component", &image, "--id", "upper"]).json();

    // A function of which there is only one needs no interface.
    let called = desk(&["call", "upper", "upper", "\"quiet\""]).run();
    assert_eq!(called.stdout.trim(), "\"QUIET\"", "{}", called.stderr);

    for (typed, error, hint) in [
        (
            // As a shell passes it on from `"quiet"`.
            &["upper", "quiet"][..],
            "cannot call upper of upper: argument `text`: a name where string is needed (invalid)\n  \
             quiet\n  ^^^^^\n",
            "write \"quiet\" in double quotes, and those in single quotes for the shell: '\"text\"'",
        ),
        (
            &["upper"][..],
            "cannot call upper of upper: the argument `text: string` is missing (invalid)\nnote: ",
            "the arguments are text: string",
        ),
        (
            &["uper"][..],
            "cannot call uper of upper: there is no function uper outside of an interface (invalid)\nnote: ",
            "upper exports trellis-examples:text/upper@0.1.0.upper",
        ),
    ] {
        let called = desk(&[&["call", "upper"], typed].concat()).run();
        assert_eq!(called.code, Some(1), "{typed:?}");
        let (before, after) = called.stderr.split_once("\nhint: ").unwrap_or_default();
        assert!(before.contains(error), "{typed:?}: {}", called.stderr);
        assert_eq!(after.trim_end(), hint, "{typed:?}");
    }
}

#[test]
fn what_the_embedded_lattice_acknowledged_is_there_after_a_kill() {
    let trellis = Trellis::new();
    let host = trellis.up();
    let desk = |arguments: &[&str]| trellis.beside().args(arguments);
    desk(&["config", "put", "shop", "currency=EUR"]).json();
    desk(&[
        "link",
        "put",
        "cart",
        "kv",
        "wasi",
        "keyvalue",
        "--interface",
        "store",
    ])
    .json();
    host.signal(Signal::KILL);
    drop(host);
    let _host = trellis.up();
    assert_eq!(
        desk(&["config", "get", "shop"]).json()["values"]["currency"],
        "EUR"
    );
    let links = desk(&["get", "links"]).json();
    assert_eq!(links["links"][0]["source_id"], "cart", "{links}");
}

#[test]
fn links_that_are_put_at_once_are_all_there() {
    const LINKS: usize = 8;
    let site = Site::of(2);
    std::thread::scope(|scope| {
        for number in 0..LINKS {
            let name = format!("n{number}");
            let link = ["link", "put", "cart", "kv", "wasi", "keyvalue"];
            let command = site
                .desk()
                .args(link)
                .args(["--interface", "store", "--name", &name]);
            scope.spawn(move || {
                let put = command.run();
                assert_eq!(put.code, Some(0), "{}", put.stderr);
            });
        }
    });
    wait_until("all are there", || {
        site.ask(&["get", "links"])["links"]
            .as_array()
            .unwrap()
            .len()
            == LINKS
    });
}

#[test]
fn a_host_that_is_told_to_stop_says_goodbye() {
    let mut site = Site::of(2);
    let id = site.hosts[0].host_id();
    site.ask(&["stop", "host", &id]);
    assert_eq!(site.hosts[0].wait(), Some(0));
    let left: Vec<Value> = hosts(&site);
    assert_eq!(left.len(), 1);
    assert_ne!(left[0]["id"], id.as_str());
}

#[test]
fn a_drained_host_leaves_what_any_host_can_do_to_the_others() {
    let site = Site::of(2);
    let id = site.hosts[0].host_id();
    assert_eq!(site.ask(&["drain", &id])["mode"], "draining");
    let put = |name: &str| {
        let link = ["link", "put", "cart", "kv", "wasi", "keyvalue"];
        let command = site.desk().args(link);
        command.args(["--interface", "store", "--name", name]).run()
    };
    // Until the hosts have heard of each other, the drained one may be asked, and says why it refuses.
    wait_until("the other host is asked", || put("first").code == Some(0));
    wait_until("the drained host knows that", || {
        (0..8).all(|_| put("first").code == Some(0))
    });
    for number in 0..8 {
        let ended = put(&format!("n{number}"));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    let image = guest("http_hello").display().to_string();
    let refused = site.desk();
    let refused = refused.args(["start", "component", &image, "--id", "hello", "--host", &id]);
    let refused = refused.run();
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("trellis resume"),
        "{}",
        refused.stderr
    );
    assert_eq!(site.ask(&["resume", &id])["mode"], "joined");
    site.start("http_hello", "hello", &["--host", &id]);
}

#[test]
fn mistakes_name_the_lattice_the_part_that_is_missing_and_what_to_do() {
    let site = Site::of(1);
    let hello = guest("http_hello").display().to_string();
    for (arguments, says) in [
        (&["stop", "component", "nobody"][..], "nobody"),
        (&["call", "nobody", "a.b"], "nobody"),
        (&["get", "inventory", "nohost"], "nohost"),
        (
            &["start", "component", "/no/such/file.wasm", "--id", "a"],
            "/no/such/file.wasm",
        ),
        (&["start", "component", &hello, "--id", "a.b"], "a.b"),
        (
            &[
                "start",
                "component",
                &hello,
                "--id",
                "a",
                "--host",
                "nohost",
            ],
            "nohost",
        ),
        (
            &["start", "provider", "builtin:http-serve", "--id", "web"],
            "http-server",
        ),
        (
            &[
                "link",
                "put",
                "a",
                "b",
                "wasi",
                "http",
                "--interface",
                "x",
                "--source-config",
                "none",
            ],
            "none",
        ),
        (&["config", "get", "nothing"], "nothing"),
        (&["scale", "nobody", "3"], "nobody"),
    ] {
        let ended = site.desk().args(arguments).run();
        assert!(
            matches!(ended.code, Some(1 | 2)),
            "{arguments:?}: {:?} {}",
            ended.code,
            ended.stdout
        );
        assert!(
            ended.stderr.contains(says),
            "{arguments:?}:\n{}",
            ended.stderr
        );
        assert!(
            ended.stderr.lines().count() >= 2,
            "{arguments:?} says what to do:\n{}",
            ended.stderr
        );
    }
}

#[test]
fn metrics_tell_the_mode() {
    let mut site = Site::of(0);
    let command = site.host_command('a').args(["--metrics", "127.0.0.1:0"]);
    let host = command.up();
    let address = metrics_of(&host);
    let tells = |line: &str| get(address, "/metrics").text().contains(line);
    wait_until("it says that it has joined", || {
        tells("trellis_host_mode{mode=\"joined\"} 1") && tells("trellis_lattice_connected 1")
    });
    site.server.kill();
    wait_until("it says that it is on its own", || {
        tells("trellis_host_mode{mode=\"detached\"} 1") && tells("trellis_lattice_connected 0")
    });
    assert_eq!(get(address, "/").status, 404);
    let taken = site
        .host_command('b')
        .args(["--metrics", &address.to_string()]);
    let refused = taken.try_up().unwrap_err();
    assert_eq!(refused.code, Some(1));
    let says = format!("port {} is in use", address.port());
    assert!(refused.stderr.contains(&says), "{}", refused.stderr);
}
