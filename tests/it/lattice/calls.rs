//! Instances shared out over hosts, and calls from one to another.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use trellis_tests::{Application, Client, Entry, Report, Site, at_once, get, guest, wait_until};

use super::metrics::{metrics, value};
use super::{hosts_of, is_answered, link_web, load, metrics_of, serve_web};

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
    let address = serve_web(&site, "upper");
    assert_eq!(get(address, "/far").text(), "FAR\n");
}

#[test]
fn changes_under_load_lose_no_request() {
    let site = Site::of(1);
    site.start("to_upper_http", "web", &[]);
    for id in ["one", "two"] {
        site.start("to_upper_upper", id, &[]);
    }
    let address = serve_web(&site, "one");
    let running = load(address, "/near", 100, 4).start();
    let image = guest("to_upper_http").display().to_string();
    let link = ["web", "two", "trellis-examples", "text", "--name", "other"];
    for _ in 0..2 {
        site.ask(&["update", "web", &image]);
        site.ask(&["scale", "one", "7"]);
        site.ask(&[&["link", "put"], &link[..], &["--interface", "upper"]].concat());
        site.ask(&[
            "link",
            "del",
            "web",
            "trellis-examples",
            "text",
            "--name",
            "other",
        ]);
    }
    let report = running.stop();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert!(report.answers.iter().all(|it| it.0.status == 200));
    site.ask(&["stop", "component", "one"]);
    site.ask(&["link", "del", "web", "trellis-examples", "text"]);
    link_web(&site, "two");
    wait_until("the other target answers", || is_answered(address, "/near"));
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

/// One instance, with room for one request more.
fn start_narrow(site: &mut Site, zone: char) {
    let limits = json!({ "instances": 1, "queue": 1 });
    start_limited(site, zone, "misbehaver", limits);
}

/// Starts a host that runs `guest` as `shop-web` within `limits`.
fn start_limited(site: &mut Site, zone: char, guest: &str, limits: Value) {
    let command = site.host_command(zone);
    let limited = Entry::new("web", guest).limits(limits);
    let manifest = Application::new("shop")
        .component(limited)
        .write(command.home());
    site.hosts.push(command.arg(manifest).up());
}

/// More requests at a time than a narrow host has room for.
const CALLS: usize = 8;

fn all_at_once(address: SocketAddr, path: &'static str) -> Report {
    at_once(address, "any", CALLS, CALLS, |_| path.to_owned())
}

#[test]
fn http_that_a_host_has_no_room_for_is_taken_by_another_that_has() {
    let mut site = Site::of(0);
    start_narrow(&mut site, 'a');
    site.hosts.push(site.host_command('b').up());
    let address = site.serve(0, "shop-web");
    assert!(is_answered(address, "/"));
    let second = site.hosts[1].host_id();
    let more = ["--instances", "8", "--host", &second];
    site.start("misbehaver", "shop-web", &more);
    wait_until("the first host knows of the second", || {
        all_at_once(address, "/sleep?ms=300").count(200) == CALLS
    });
    // None comes back to the full host.
    for _ in 0..10 {
        all_at_once(address, "/sleep?ms=100").assert_all_ok(CALLS);
    }
    let answers = std::thread::scope(|scope| {
        let post = || post(address, "/echo", &[7; 700_000]);
        let workers: Vec<_> = (0..CALLS).map(|_| scope.spawn(post)).collect();
        let join = |it: std::thread::ScopedJoinHandle<'_, Vec<u8>>| it.join().unwrap();
        workers.into_iter().map(join).collect::<Vec<_>>()
    });
    for answer in answers {
        let text = String::from_utf8_lossy(&answer[..answer.len().min(200)]);
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let sent = answer.iter().filter(|byte| **byte == 7).count();
        assert_eq!(sent, 700_000, "{text}");
    }
}

/// Posts a body to `path` and returns all that is answered.
fn post(address: SocketAddr, path: &str, body: &[u8]) -> Vec<u8> {
    let mut connection = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: any\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut sending = connection.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let sent = sending.write_all(head.as_bytes());
            // A refusal may come before all is sent.
            let _ = sent.and_then(|()| sending.write_all(body));
        });
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        answer
    })
}

#[test]
fn http_that_no_host_has_room_for_is_refused() {
    let mut site = Site::of(0);
    for zone in ['a', 'b'] {
        start_narrow(&mut site, zone);
    }
    let address = site.serve(0, "shop-web");
    wait_until("the first host knows of the second", || {
        let report = all_at_once(address, "/sleep?ms=500");
        assert!(report.failures.is_empty(), "{report}");
        report.count(200) == 4
    });
    let report = all_at_once(address, "/sleep?ms=500");
    assert!(report.count(200) >= 4 && report.count(503) > 0, "{report}");
    for (refused, _) in report.with(503) {
        assert_eq!(refused.header("x-trellis-error"), Some("overloaded"));
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
}

#[test]
fn calls_that_a_host_has_no_room_for_are_taken_by_another_that_has() {
    let mut site = Site::of(0);
    // Each call spins for a while, then traps; one that nobody takes is refused.
    let spin = json!({ "instances": 1, "queue": 1, "cpuTime": "60ms" });
    start_limited(&mut site, 'a', "callee", spin);
    let first = site.hosts[0].host_id();
    let more = ["--instances", "8", "--host", &first];
    site.start("caller", "caller", &more);
    let link = ["caller", "shop-web", "trellis-test", "types"];
    let more = ["--interface", "bench,deeds"];
    site.ask(&[&["link", "put"], &link[..], &more[..]].concat());
    let address = site.serve(0, "caller");
    wait_until("the link is bound", || is_answered(address, "/nop"));
    let alone = all_at_once(address, "/spin");
    assert!(alone.count(503) > 0, "one host is not enough: {alone}");

    let spin = json!({ "instances": 8, "cpuTime": "60ms" });
    start_limited(&mut site, 'b', "callee", spin);
    wait_until("the first host knows of the second", || {
        all_at_once(address, "/spin").count(500) == CALLS
    });
    for _ in 0..5 {
        let report = all_at_once(address, "/spin");
        assert_eq!(report.count(500), CALLS, "{report}");
    }
}

/// How many calls of the component `id` have ended as overloaded, on all hosts that tell.
fn overloaded(told_at: &[SocketAddr], id: &str) -> f64 {
    let line = format!("calls_total{{component=\"{id}\",outcome=\"overloaded\"}}");
    let one = |address: &SocketAddr| value(&metrics(*address), &line).unwrap_or_default();
    told_at.iter().map(one).sum()
}

#[test]
fn what_began_elsewhere_is_not_begun_again_because_what_it_called_had_no_room() {
    let mut site = Site::of(1);
    for zone in ['b', 'c'] {
        let command = site.host_command(zone);
        site.hosts
            .push(command.args(["--metrics", "127.0.0.1:0"]).up());
    }
    let told_at = [1, 2].map(|it: usize| metrics_of(&site.hosts[it]));
    let narrow = json!({ "instances": 1, "queue": 0, "cpuTime": "25s" });
    start_limited(&mut site, 'd', "callee", narrow);
    let [first, second, third] = [0, 1, 2].map(|it: usize| site.hosts[it].host_id());
    for host in [&second, &third] {
        site.start("relay", "relay", &["--host", host]);
        site.start("caller", "far", &["--host", host]);
    }
    for id in ["near", "direct"] {
        site.start("caller", id, &["--instances", "8", "--host", &first]);
    }
    for (source, target, interfaces) in [
        ("near", "relay", "bench"),
        ("relay", "shop-web", "bench"),
        ("far", "shop-web", "bench"),
        ("direct", "shop-web", "bench,deeds"),
    ] {
        let link = ["link", "put", source, target, "trellis-test", "types"];
        site.ask(&[&link[..], &["--interface", interfaces]].concat());
    }
    let [near, far, direct] = ["near", "far", "direct"].map(|id| site.serve(0, id));
    for address in [near, far, direct] {
        wait_until("the links are bound", || is_answered(address, "/nop"));
    }
    // Takes the only room there is until the hosts end, however often another call is there first.
    std::thread::spawn(move || {
        while Client::connect(direct, "any").is_ok_and(|mut client| client.get("/spin").is_ok()) {}
    });
    let is_full = || get(direct, "/nop").header("x-trellis-error") == Some("overloaded");
    wait_until("the callee is full", is_full);
    for (id, address) in [("relay", near), ("far", far)] {
        let before = overloaded(&told_at, id);
        for done in 1..=5 {
            let answer = post(address, "/nop", b"once");
            let text = String::from_utf8_lossy(&answer);
            assert!(text.contains("x-trellis-error: overloaded"), "{text}");
            // The answer comes when all are asked who are asked at all.
            let begun = overloaded(&told_at, id) - before;
            assert_eq!(begun, f64::from(done), "of {id}");
        }
    }
    assert!(is_full(), "its time was over too early");
}
