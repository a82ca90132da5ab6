//! Every example answers as its README says, and what the counter acknowledged is never lost.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rustix::process::Signal;
use trellis_tests::{Host, Trellis, at_once, example, get, guest};

/// Paths and what they answer, in this order.
type Calls = &'static [(&'static str, &'static str)];

/// The examples: the folder, the components it is made of, and what its README says.
const EXAMPLES: [(&str, &[&str], Calls); 4] = [
    (
        "http-hello",
        &["http_hello"],
        &[("/", "Hello from Trellis!\n")],
    ),
    (
        "http-hello-p3",
        &["http_hello_p3"],
        &[("/", "Hello from Trellis!\n")],
    ),
    (
        "http-kvcounter",
        &["http_kvcounter"],
        &[
            ("/apples", "Counter /apples: 1\n"),
            ("/apples", "Counter /apples: 2\n"),
            ("/pears", "Counter /pears: 1\n"),
        ],
    ),
    (
        "http-to-upper",
        &["to_upper_http", "to_upper_upper"],
        &[("/hello", "HELLO\n")],
    ),
];

/// Copies an example into the home of `trellis`, its port set to 0, and returns its folder.
fn copy(trellis: &Trellis, name: &str) -> PathBuf {
    let (_, components, _) = EXAMPLES.iter().find(|it| it.0 == name).unwrap();
    let folder = trellis.home().join(name);
    std::fs::create_dir_all(folder.join("build")).unwrap();
    for component in *components {
        let built = folder.join(format!("build/{component}.wasm"));
        std::fs::copy(guest(component), built).unwrap();
    }
    let manifest = std::fs::read_to_string(example(name).join("trellis.yaml")).unwrap();
    let (before, port) = manifest.split_once("address: 127.0.0.1:").unwrap();
    let rest = port.split_once('\n').map_or("", |(_, rest)| rest);
    let manifest = format!("{before}address: 127.0.0.1:0\n{rest}");
    std::fs::write(folder.join("trellis.yaml"), manifest).unwrap();
    folder
}

fn counter(trellis: Trellis) -> (Trellis, PathBuf) {
    let folder = copy(&trellis, "http-kvcounter");
    (trellis.arg(&folder), folder)
}

fn count(host: &Host, path: &str) -> u64 {
    number(&get(host.address(), path).text())
}

fn number(text: &str) -> u64 {
    text.rsplit(' ').next().unwrap().trim().parse().unwrap()
}

#[test]
fn every_example_answers_as_its_readme_says() {
    for (name, _, calls) in EXAMPLES {
        let trellis = Trellis::new();
        let folder = copy(&trellis, name);
        let mut host = trellis.arg(folder).up();
        let readme = std::fs::read_to_string(example(name).join("README.md")).unwrap();
        for (path, expected) in calls {
            let response = get(host.address(), path);
            assert_eq!(
                (response.status, response.text().as_str()),
                (200, *expected),
                "{name}"
            );
            assert!(
                readme.contains(expected),
                "the README of {name} does not say {expected:?}"
            );
        }
        assert_eq!(host.stop(), Some(0), "{name}");
    }
}

#[test]
fn no_example_is_left_out() {
    let tested: BTreeSet<String> = EXAMPLES.iter().map(|it| it.0.to_owned()).collect();
    let folders = std::fs::read_dir(example("")).unwrap().map(Result::unwrap);
    let present = folders.filter(|it| it.path().join("trellis.yaml").exists());
    let present = present
        .map(|it| it.file_name().into_string().unwrap())
        .collect();
    assert_eq!(tested, present);
}

#[test]
fn all_examples_run_side_by_side_in_one_host() {
    let mut trellis = Trellis::new();
    for (name, ..) in EXAMPLES.iter().filter(|it| it.0 != "http-hello-p3") {
        let folder = copy(&trellis, name);
        let manifest = folder.join("trellis.yaml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let own_host = format!("address: 127.0.0.1:0\n                    host: {name}.test");
        std::fs::write(&manifest, text.replace("address: 127.0.0.1:0", &own_host)).unwrap();
        trellis = trellis.arg(folder);
    }
    let host = trellis.up();
    for (name, _, calls) in EXAMPLES.iter().filter(|it| it.0 != "http-hello-p3") {
        for (path, expected) in *calls {
            let answer = trellis_tests::get_from(host.address(), &format!("{name}.test"), path);
            assert_eq!(answer.text(), *expected, "{name}");
        }
    }
}

#[test]
fn counts_go_on_after_a_restart() {
    let (trellis, _) = counter(Trellis::new());
    for expected in 1..=3 {
        let mut host = trellis.up();
        assert_eq!(count(&host, "/apples"), expected);
        assert_eq!(host.stop(), Some(0));
    }
}

#[test]
fn counts_in_memory_begin_again_after_a_restart() {
    let (trellis, folder) = counter(Trellis::new());
    let manifest = folder.join("trellis.yaml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(
        &manifest,
        text.replace(
            "image: builtin:keyvalue-redb",
            "image: builtin:keyvalue-memory",
        ),
    )
    .unwrap();
    for _ in 0..2 {
        let mut host = trellis.up();
        assert_eq!([count(&host, "/apples"), count(&host, "/apples")], [1, 2]);
        host.stop();
    }
}

#[test]
fn no_count_is_lost_or_given_twice_when_many_clients_count() {
    let (trellis, _) = counter(Trellis::new());
    let host = trellis.up();
    let report = at_once(host.address(), "localhost", 16, 800, |_| {
        "/apples".to_owned()
    });
    report.assert_all_ok(800);
    let counts: BTreeSet<u64> = report
        .answers
        .iter()
        .map(|(response, _)| number(&response.text()))
        .collect();
    assert_eq!(counts, (1..=800).collect());
}

#[test]
fn a_killed_host_has_lost_no_count_that_it_acknowledged() {
    let (trellis, _) = counter(Trellis::new());
    let mut acknowledged = 0;
    let clients = 4;
    for _ in 0..3 {
        let mut host = trellis.up();
        let address = host.address();
        let report = std::thread::scope(|scope| {
            let counting = scope.spawn(move || {
                at_once(address, "localhost", clients, 100_000, |_| {
                    "/apples".to_owned()
                })
            });
            // Some are acknowledged, some in flight.
            let before = count(&host, "/watched");
            while count(&host, "/watched") < before + 30 {}
            host.signal(Signal::KILL);
            host.wait();
            counting.join().unwrap()
        });
        let counts = report
            .with(200)
            .map(|(response, _)| number(&response.text()));
        acknowledged = counts.max().unwrap_or(0).max(acknowledged);
        let mut host = trellis.up();
        let next = count(&host, "/apples");
        let possible = acknowledged + 1..=acknowledged + 1 + clients as u64;
        assert!(
            possible.contains(&next),
            "acknowledged {acknowledged}, then {next}"
        );
        acknowledged = next;
        host.stop();
    }
}
