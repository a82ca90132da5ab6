//! What goes wrong names the lattice, the context, the missing part and the next command.

use std::net::TcpListener;
use trellis_tests::NatsServer;

use crate::environment::Environment;

fn check(environment: &Environment, arguments: &[&str], code: i32, words: &[&str]) {
    let ended = environment.run(arguments);
    assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{arguments:?}");
    for words in words {
        assert!(
            ended.stderr.contains(words),
            "{arguments:?} lacks {words:?}:\n{}",
            ended.stderr
        );
    }
}

#[test]
fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    drop(listener);
    let environment = Environment::new().variable("NATS_URL", &url);
    let words = [
        "cannot reach lattice default: nothing listens at",
        "(environment NATS_URL), no context",
        "hint: `trellis config show`",
    ];
    check(&environment, &["get", "hosts"], 1, &words);
    check(&environment, &["scale", "cart", "3"], 1, &words);
}

#[test]
fn a_lattice_without_hosts() {
    let server = NatsServer::start();
    let environment = Environment::new();
    let put = [
        "context",
        "put",
        "shop",
        "--nats",
        &server.url(),
        "--lattice",
        "shop",
        "--select",
    ];
    assert_eq!(environment.run(&put).code, Some(0));
    let note = "context shop (selected)";
    for arguments in [
        &["get", "hosts"][..],
        &["get", "inventory"],
        &["start", "component", "reg/cart:1"],
        &["stop", "component", "cart"],
        &["start", "provider", "reg/kv:1", "--host", "NABC"],
        &["stop", "host", "blue"],
        &["label", "put", "blue", "zone=a"],
        &["logs"],
        &["ping"],
    ] {
        let words = [
            "no host is in lattice shop",
            note,
            "hint: `trellis up` starts one",
        ];
        check(&environment, arguments, 1, &words);
    }
    let link = [
        "link",
        "put",
        "a",
        "b",
        "wasi",
        "keyvalue",
        "--interface",
        "store",
    ];
    for arguments in [
        &link[..],
        &["config", "put", "cart", "a=1"],
        &["get", "links"],
    ] {
        let words = [
            "no host in lattice shop takes it",
            note,
            "hint: `trellis up` starts a host",
        ];
        check(&environment, arguments, 1, &words);
    }
    for arguments in [
        &["scale", "cart", "3"][..],
        &["update", "cart", "reg/cart:2"],
        &["call", "cart", "a:b/c.d"],
    ] {
        let words = [
            "no component cart runs in lattice shop",
            note,
            "hint: `trellis get components`",
        ];
        check(&environment, arguments, 1, &words);
    }
}

#[test]
fn names_that_would_change_a_subject_are_usage_errors() {
    let environment = Environment::new();
    for arguments in [
        &["scale", "a.b", "3"][..],
        &["stop", "provider", "a b"],
        &[
            "link",
            "put",
            "a",
            "*",
            "wasi",
            "keyvalue",
            "--interface",
            "store",
        ],
        &["config", "put", "a.b", "x=1"],
        &["get", "hosts", "--lattice", "a.b"],
        &["start", "component", "reg/x:1", "--id", "a>"],
    ] {
        check(&environment, arguments, 2, &["has only letters, digits"]);
    }
    check(
        &environment,
        &["config", "put", "SECRET_x", "a=1"],
        2,
        &["reference of a secret"],
    );
}

#[test]
fn a_file_that_is_missing_is_found_before_anybody_is_asked() {
    let server = NatsServer::start();
    let environment = Environment::new().variable("NATS_URL", &server.url());
    let words = ["web.wasm does not exist", "hint: check the path"];
    check(
        &environment,
        &["start", "component", "./web.wasm"],
        1,
        &words,
    );
}

#[test]
fn a_config_without_values_is_no_way_to_delete_one() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "# nothing\n").unwrap();
    let empty = empty.display().to_string();
    let words = ["there are no values for cart", "`trellis config del cart`"];
    let put = ["config", "put", "cart", "--from-file", &empty];
    check(&Environment::new(), &put, 2, &words);
}
