//! A lattice as people use it: several hosts on a real NATS server, or one host alone, commanded from another
//! terminal.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use trellis_tests::{
    Application, Client, Entry, Host, Load, NatsServer, Site, Trellis, at_once, get, guest,
    wait_until,
};

/// A killed host is noticed by callers within this time (R2), and a test machine may be busy.
const TYPED_ANSWER_MAX: Duration = Duration::from_secs(4);

fn hosts(site: &Site) -> Vec<Value> {
    site.ask(&["get", "hosts"])["hosts"]
        .as_array()
        .unwrap()
        .clone()
}

fn components(site: &Site) -> Vec<Value> {
    let told = site.ask(&["get", "components"]);
    told["components"].as_array().unwrap().clone()
}

/// The ids of all hosts on which the component `id` takes calls.
fn hosts_of(site: &Site, id: &str) -> Vec<String> {
    let mut hosts: Vec<String> = components(site)
        .iter()
        .filter(|it| it["id"] == id && it["ready"] == true)
        .map(|it| it["host_id"].as_str().unwrap().to_owned())
        .collect();
    hosts.sort();
    hosts
}

/// Tells whether somebody listens and answers as wanted.
fn is_answered(address: SocketAddr, path: &str) -> bool {
    let client = Client::connect(address, "any");
    let answer = client.and_then(|mut client| client.get(path));
    answer.is_ok_and(|it| it.status == 200)
}

/// Where the host told that its metrics are.
fn metrics_of(host: &Host) -> SocketAddr {
    let url = host.report["metrics"].as_str().unwrap();
    let address = url
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/metrics");
    address.unwrap().parse().unwrap()
}

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
fn three_hosts_share_out_instances_and_a_call_reaches_another_host() {
    let site = Site::of(3);
    let placed = site.start(
        "to_upper_upper",
        "upper",
        &["--instances", "3", "--spread", "zone"],
    );
    assert_eq!(hosts_of(&site, "upper").len(), 3, "{placed}");

    site.ask(&[
        "stop",
        "component",
        "upper",
        "--host",
        &site.hosts[0].host_id(),
    ]);
    let first = site.hosts[0].host_id();
    site.start("to_upper_http", "web", &["--host", &first]);
    site.ask(&[
        "link",
        "put",
        "web",
        "upper",
        "trellis-examples",
        "text",
        "--interface",
        "upper",
    ]);
    let address = site.serve(0, "web");
    wait_until("the link is bound", || is_answered(address, "/far"));
    assert_eq!(get(address, "/far").text(), "FAR\n");
}

#[test]
fn after_a_kill_callers_get_a_typed_answer_and_the_next_call_goes_elsewhere() {
    let mut site = Site::of(3);
    let [first, second, third] = [0, 1, 2].map(|it: usize| site.hosts[it].host_id());
    site.start("to_upper_upper", "upper", &["--host", &second]);
    site.start("to_upper_upper", "upper", &["--host", &third]);
    site.start("to_upper_http", "web", &["--host", &first]);
    site.ask(&[
        "link",
        "put",
        "web",
        "upper",
        "trellis-examples",
        "text",
        "--interface",
        "upper",
    ]);
    let address = site.serve(0, "web");
    wait_until("the link is bound", || is_answered(address, "/far"));

    let load = Load {
        address,
        host: "any".to_owned(),
        path: "/far".to_owned(),
        rate: 100,
        connections: 8,
    };
    let running = load.start();
    wait_until("calls are under way", || is_answered(address, "/far"));
    site.hosts[2].signal(Signal::KILL);
    let killed = Instant::now();
    let _ = site.hosts[2].wait();
    // Long enough for calls in flight to end, one way or the other.
    std::thread::sleep(TYPED_ANSWER_MAX);
    let report = running.stop();
    assert!(killed.elapsed() >= TYPED_ANSWER_MAX);
    assert!(
        report.failures.is_empty(),
        "every request is answered: {:?}",
        report.failures
    );
    for (answer, took) in &report.answers {
        assert!(
            [200, 503].contains(&answer.status),
            "{}: {}",
            answer.status,
            answer.text()
        );
        assert!(*took < TYPED_ANSWER_MAX, "{} after {took:?}", answer.status);
    }
    let refused = report
        .answers
        .iter()
        .filter(|it| it.0.status != 200)
        .count();
    assert!(refused <= 8, "only what was in flight: {refused}");
    assert_eq!(get(address, "/far").status, 200);
}

#[test]
fn without_nats_what_runs_goes_on_and_the_hosts_come_back() {
    let mut site = Site::of(2);
    let first = site.hosts[0].host_id();
    site.start("to_upper_http", "web", &["--host", &first]);
    site.start("to_upper_upper", "upper", &["--host", &first]);
    site.ask(&[
        "link",
        "put",
        "web",
        "upper",
        "trellis-examples",
        "text",
        "--interface",
        "upper",
    ]);
    let address = site.serve(0, "web");
    wait_until("the link is bound", || is_answered(address, "/near"));

    let running = Load {
        address,
        host: "any".to_owned(),
        path: "/near".to_owned(),
        rate: 50,
        connections: 4,
    }
    .start();
    site.server.kill();
    site.hosts[0]
        .log()
        .wait_for("detached")
        .expect("it says that it is on its own");
    site.hosts[1]
        .log()
        .wait_for("detached")
        .expect("it says that it is on its own");
    site.server.start_again();
    wait_until("both hosts have joined again", || {
        let found = site.desk().args(["get", "hosts"]).try_json().ok();
        let joined = |it: &Value| it["mode"] == "joined";
        found.is_some_and(|it| {
            it["hosts"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|it| joined(it))
                .count()
                == 2
        })
    });
    let report = running.stop();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let statuses: Vec<u16> = report.answers.iter().map(|it| it.0.status).collect();
    assert!(statuses.iter().all(|it| *it == 200), "{statuses:?}");
    assert_eq!(components(&site).len(), 2, "nothing was stopped");
    assert!(site.hosts.iter_mut().all(|it| it.is_running()));
}

#[test]
fn a_host_starts_without_nats_from_what_it_remembers() {
    let mut site = Site::of(0);
    let command = site.host_command('a');
    let mut host = command.up();
    let id = host.host_id();
    site.start("to_upper_http", "web", &[]);
    site.start("to_upper_upper", "upper", &[]);
    site.ask(&[
        "link",
        "put",
        "web",
        "upper",
        "trellis-examples",
        "text",
        "--interface",
        "upper",
    ]);
    site.hosts.push(host);
    let address = site.serve(0, "web");
    wait_until("the link is bound", || is_answered(address, "/near"));
    wait_until("it has written down what it runs", || {
        command.remembers("web") && command.remembers("http-web-0")
    });
    host = site.hosts.remove(0);
    host.signal(Signal::KILL);
    host.wait();
    site.server.kill();

    let again = command.up();
    assert_ne!(again.host_id(), id, "each start has an id of its own");
    wait_until("it answers without NATS", || is_answered(address, "/near"));
    assert_eq!(get(address, "/near").text(), "NEAR\n");
    site.server.start_again();
    wait_until("it has joined", || {
        let found = site.desk().args(["get", "hosts"]).try_json().ok();
        found.is_some_and(|it| it["hosts"][0]["mode"] == "joined")
    });
    assert_eq!(hosts_of(&site, "web"), [again.host_id()]);
    assert_eq!(get(address, "/near").text(), "NEAR\n");
}

#[test]
fn a_host_that_finds_no_nats_says_so_and_joins_when_it_comes() {
    let mut server = NatsServer::stopped();
    let trellis = Trellis::new().env("NATS_URL", &server.url());
    let mut host = trellis.up();
    assert!(
        host.log().so_far().contains(&server.url()),
        "{}",
        host.log().so_far()
    );
    let refused = trellis
        .beside()
        .env("NATS_URL", &server.url())
        .args(["get", "hosts"])
        .run();
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("nothing listens"),
        "{}",
        refused.stderr
    );
    server.start_again();
    wait_until("it has joined", || {
        let found = trellis
            .beside()
            .env("NATS_URL", &server.url())
            .args(["get", "hosts"])
            .try_json()
            .ok();
        found.is_some_and(|it| it["hosts"][0]["mode"] == "joined")
    });
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn a_host_ends_when_told_to_although_nats_is_gone() {
    let mut site = Site::of(1);
    wait_until("it has joined", || hosts(&site)[0]["mode"] == "joined");
    site.server.kill();
    let told = site.hosts[0].log().wait_for("detached");
    assert!(told.is_some(), "it says that it is on its own");
    assert_eq!(site.hosts[0].stop(), Some(0));
    // Nor does one that never found it.
    let mut host = site.host_command('b').up();
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn a_wiped_store_stops_nothing_and_is_told() {
    let mut site = Site::of(1);
    site.start("to_upper_http", "web", &[]);
    site.start("to_upper_upper", "upper", &[]);
    site.ask(&[
        "link",
        "put",
        "web",
        "upper",
        "trellis-examples",
        "text",
        "--interface",
        "upper",
    ]);
    let address = site.serve(0, "web");
    wait_until("the link is bound", || is_answered(address, "/near"));
    site.server.kill();
    site.server.wipe();
    site.server.start_again();
    wait_until("it notices", || {
        let found = site.desk().args(["get", "hosts"]).try_json().ok();
        found.is_some_and(|it| it["hosts"][0]["mode"] == "store_rewound")
    });
    assert_eq!(get(address, "/near").text(), "NEAR\n");
    assert_eq!(components(&site).len(), 2);
    let refused = site
        .desk()
        .args([
            "start",
            "component",
            &guest("http_hello").display().to_string(),
            "--id",
            "more",
        ])
        .run();
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
}

#[test]
fn changing_a_link_under_load_loses_no_request() {
    let site = Site::of(1);
    site.start("to_upper_http", "web", &[]);
    for id in ["one", "two"] {
        site.start("to_upper_upper", id, &[]);
    }
    let link = |target: &str| {
        site.ask(&["link", "del", "web", "trellis-examples", "text"]);
        site.ask(&[
            "link",
            "put",
            "web",
            target,
            "trellis-examples",
            "text",
            "--interface",
            "upper",
        ]);
    };
    site.ask(&[
        "link",
        "put",
        "web",
        "one",
        "trellis-examples",
        "text",
        "--interface",
        "upper",
    ]);
    let address = site.serve(0, "web");
    wait_until("the link is bound", || is_answered(address, "/near"));
    let running = Load {
        address,
        host: "any".to_owned(),
        path: "/near".to_owned(),
        rate: 100,
        connections: 4,
    }
    .start();
    for _ in 0..2 {
        site.ask(&[
            "update",
            "web",
            &guest("to_upper_http").display().to_string(),
        ]);
        site.ask(&["scale", "two", "7"]);
    }
    let report = running.stop();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert!(report.answers.iter().all(|it| it.0.status == 200));
    link("two");
    wait_until("the other target answers", || is_answered(address, "/near"));
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

#[test]
fn an_http_server_reaches_a_component_elsewhere_and_a_kill_ends_what_is_in_flight() {
    let mut site = Site::of(0);
    let command = site.host_command('a').args(["--metrics", "127.0.0.1:0"]);
    site.hosts.push(command.up());
    site.hosts.push(site.host_command('b').up());
    let metrics = metrics_of(&site.hosts[0]);
    let second = site.hosts[1].host_id();
    site.start("misbehaver", "web", &["--host", &second]);
    let address = site.serve(0, "web");
    wait_until("the other host answers", || is_answered(address, "/"));
    assert_eq!(get(address, "/").text(), "ok\n");
    let mut client = Client::connect(address, "any").unwrap();
    let begun = Instant::now();
    let waiting = std::thread::spawn(move || client.get("/sleep?ms=60000"));
    wait_until("the request is under way", || {
        get(metrics, "/metrics")
            .text()
            .contains("trellis_lattice_calls_open 1")
    });
    site.hosts[1].signal(Signal::KILL);
    let killed = Instant::now();
    let answer = waiting.join().unwrap().unwrap();
    assert_eq!(
        answer.status,
        503,
        "after {:?}: {}",
        begun.elapsed(),
        answer.text()
    );
    assert!(
        killed.elapsed() < TYPED_ANSWER_MAX,
        "{:?}",
        killed.elapsed()
    );
}

#[test]
fn a_counter_keeps_its_values_with_a_provider_of_another_host() {
    let site = Site::of(2);
    let [first, second] = [0, 1].map(|it: usize| site.hosts[it].host_id());
    let image = "builtin:keyvalue-redb";
    site.ask(&["start", "provider", image, "--id", "kv", "--host", &second]);
    site.start("http_kvcounter", "counter", &["--host", &first]);
    let link = ["link", "put", "counter", "kv", "wasi", "keyvalue"];
    site.ask(&[&link[..], &["--interface", "store,atomics"]].concat());
    let address = site.serve(0, "counter");
    wait_until("the link is bound", || is_answered(address, "/apples"));
    let count = |text: &str| {
        text.rsplit(' ')
            .next()
            .unwrap()
            .trim()
            .parse::<u32>()
            .unwrap()
    };
    let before = count(&get(address, "/apples").text());
    assert_eq!(count(&get(address, "/apples").text()), before + 1);
}

#[test]
fn http_that_a_host_has_no_room_for_goes_to_another() {
    const CALLS: usize = 8;
    let mut site = Site::of(0);
    let command = site.host_command('a');
    let limited = Entry::new("web", "misbehaver").limits(json!({ "instances": 1, "queue": 1 }));
    let manifest = Application::new("shop")
        .component(limited)
        .write(command.home());
    site.hosts.push(command.arg(manifest).up());
    site.hosts.push(site.host_command('b').up());
    let address = site.serve(0, "shop-web");
    assert!(is_answered(address, "/"));
    let second = site.hosts[1].host_id();
    site.start(
        "misbehaver",
        "shop-web",
        &["--instances", "8", "--host", &second],
    );
    wait_until("the first host knows of the second", || {
        let report = at_once(address, "any", CALLS, CALLS, |_| "/sleep?ms=300".to_owned());
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        report
            .answers
            .iter()
            .all(|(answer, _)| answer.status == 200)
    });
}
