//! Files that are no components: each gets its own message and exit code 1.

use std::path::Path;

use trellis_tests::{Application, Entry, Trellis, get, guest};

/// Runs `trellis up PATH` and `trellis inspect PATH`, and expects each of `parts` in what they say.
fn check(trellis: Trellis, path: &Path, parts: &[&str]) {
    for command in [&["up", "--http", "127.0.0.1:0"][..], &["inspect"]] {
        let ended = Trellis::new().args(command).arg(path).run();
        assert_eq!(ended.code, Some(1), "{command:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{command:?}");
        for part in parts {
            assert!(
                ended.stderr.contains(part),
                "{command:?} does not say {part:?}:\n{}",
                ended.stderr
            );
        }
    }
    drop(trellis);
}

/// Writes `bytes` as `NAME.wasm` and checks what is said of it.
fn check_bytes(name: &str, bytes: &[u8], parts: &[&str]) {
    let trellis = Trellis::new();
    let path = trellis.home().join(format!("{name}.wasm"));
    std::fs::write(&path, bytes).unwrap();
    check(trellis, &path, parts);
}

#[test]
fn a_missing_file() {
    let trellis = Trellis::new();
    let path = trellis.home().join("gone.wasm");
    check(trellis, &path, &["there is no file", "gone.wasm", "hint: "]);
}

#[test]
fn a_missing_file_is_found_before_anything_is_started() {
    for missing in ["gone.wasm", "gone", "gone/app.wasm", "help"] {
        let trellis = Trellis::new();
        let ended = trellis.args(["up", "--data", "data", missing]).run();
        assert_eq!(ended.code, Some(1));
        let said = ended.stderr;
        assert!(
            said.starts_with(&format!("error: there is no file {missing}\nhint: ")),
            "{said}"
        );
    }
    let trellis = Trellis::new();
    std::fs::write(trellis.home().join("shop.yaml"), "").unwrap();
    let ended = trellis.args(["up", "shpo.yaml"]).run();
    assert!(
        ended.stderr.contains("did you mean shop.yaml?"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_file_of_something_else_is_one_mistake() {
    let trellis = Trellis::new();
    let compose = "services:\n  web:\n    image: nginx\nvolumes: {}\n";
    std::fs::write(trellis.home().join("compose.yaml"), compose).unwrap();
    let ended = trellis.args(["up", "compose.yaml"]).run();
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.stderr.matches("error: ").count(),
        1,
        "{}",
        ended.stderr
    );
    for part in [
        "this is no manifest",
        "compose.yaml:1:1",
        "hint: a manifest begins with",
    ] {
        assert!(ended.stderr.contains(part), "no {part:?}: {}", ended.stderr);
    }
}

#[test]
fn a_missing_manifest_is_not_taken_for_a_component() {
    let trellis = Trellis::new().args(["up", "gone.yaml"]);
    let ended = trellis.run();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("there is no file gone.yaml"),
        "{}",
        ended.stderr
    );
    assert!(
        !ended.stderr.contains("build the component"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_folder_without_a_manifest() {
    let ended = Trellis::new().args(["up", "."]).run();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains(". has no manifest"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("trellis.yaml"), "{}", ended.stderr);
}

#[test]
fn a_text_file() {
    check_bytes(
        "text",
        b"hello there\n",
        &["it is text, not WebAssembly", "hello there", "hint: "],
    );
}

#[test]
fn an_empty_file() {
    check_bytes("empty", b"", &["empty"]);
}

#[test]
fn a_core_module() {
    check_bytes(
        "core",
        b"\0asm\x01\0\0\0",
        &["a core WebAssembly module, not a component", "hint: "],
    );
}

#[test]
fn a_truncated_component() {
    let whole = std::fs::read(guest("http_hello")).unwrap();
    check_bytes(
        "half",
        &whole[..whole.len() / 2],
        &["it is truncated", "hint: "],
    );
}

#[test]
fn a_corrupt_component() {
    let mut bytes = std::fs::read(guest("http_hello")).unwrap();
    bytes[60_000..60_200].fill(0xff);
    check_bytes("corrupt", &bytes, &["it is corrupt at byte", "hint: "]);
}

#[test]
fn a_component_that_may_not_be_read() {
    let trellis = Trellis::new();
    let path = trellis.home().join("secret.wasm");
    std::fs::copy(guest("http_hello"), &path).unwrap();
    deny_reading(&path);
    let ended = as_nobody(trellis, "inspect", &path);
    assert!(
        ended.contains("no permission to read") && ended.contains("hint: let this user read it"),
        "{ended}"
    );
}

#[test]
fn a_manifest_that_may_not_be_read() {
    let trellis = Trellis::new();
    let path = trellis.home().join("secret.yaml");
    std::fs::write(&path, "kind: Application\n").unwrap();
    deny_reading(&path);
    let ended = as_nobody(trellis, "up", &path);
    assert!(
        ended.contains("cannot read") && ended.contains("Permission denied"),
        "{ended}"
    );
    assert!(ended.contains("hint: let this user read it"), "{ended}");
}

fn deny_reading(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(path, 0o000);
    // The way there stays open, so that it is the file that is denied.
    mode(path.parent().unwrap(), 0o755);
}

/// Runs `trellis COMMAND PATH` as a user who owns nothing, where the tests run as one who may read everything.
fn as_nobody(trellis: Trellis, command: &str, path: &Path) -> String {
    let trellis = trellis.arg(command).arg(path);
    let ended = if rustix::process::getuid().is_root() {
        trellis.as_user(crate::bad_machine::NOBODY).run()
    } else {
        trellis.run()
    };
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    ended.stderr
}

#[test]
fn an_import_that_nothing_satisfies_is_noted_at_deploy_and_named_when_called() {
    let trellis = Trellis::new();
    let manifest = Application::new("lonely")
        .component(Entry::new("guest", "unsatisfied"))
        .http("guest", serde_json::json!({}))
        .write(trellis.home());
    let host = trellis.arg(manifest).up();
    let notes = &host.report["applications"][0]["notes"];
    let note = notes[0].as_str().unwrap();
    for part in [
        "component lonely-guest imports trellis-test:missing/nothing@1.2.3, which no link provides",
        "namespace: trellis-test",
        "package: missing",
        "interfaces: [nothing]",
    ] {
        assert!(note.contains(part), "{note}");
    }
    assert_eq!(get(host.address(), "/").text(), "ok\n");
    let refused = get(host.address(), "/call");
    assert_eq!(
        (refused.status, refused.header("x-trellis-error")),
        (503, Some("unavailable"))
    );
    for line in note.lines() {
        assert!(
            host.log().wait_for(line.trim()).is_some(),
            "the log does not say {line:?}"
        );
    }
}
