//! Hosts that are killed, a NATS server that goes away or forgets: what runs goes on.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use trellis_tests::{Client, NatsServer, Site, Trellis, at_once, get, guest, wait_until};

use super::{components, hosts, hosts_of, is_answered, link_web, load, metrics_of, serve_web};

/// A killed host is noticed by callers within this time (R2), and a test machine may be busy.
const TYPED_ANSWER_MAX: Duration = Duration::from_secs(4);
/// What each client calls after it: four seconds of its load.
const CALLS_AFTER_KILL: usize = 50;

#[test]
fn after_a_kill_callers_get_a_typed_answer_and_the_next_call_goes_elsewhere() {
    let mut site = Site::of(3);
    let [first, second, third] = [0, 1, 2].map(|it: usize| site.hosts[it].host_id());
    site.start("to_upper_upper", "upper", &["--host", &second]);
    site.start("to_upper_upper", "upper", &["--host", &third]);
    site.start("to_upper_http", "web", &["--host", &first]);
    let address = serve_web(&site, "upper");

    let running = load(address, "/far", 100, 8).start();
    wait_until("calls are under way", || is_answered(address, "/far"));
    site.hosts[2].signal(Signal::KILL);
    let _ = site.hosts[2].wait();
    // The calls in flight have ended, one way or the other, and so have many after them.
    running.wait_for_each(CALLS_AFTER_KILL);
    let report = running.stop();
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
fn a_kill_fails_no_call_that_may_be_repeated() {
    let mut site = Site::of(3);
    let [first, second, third] = [0, 1, 2].map(|it: usize| site.hosts[it].host_id());
    for host in [&second, &third] {
        site.start("to_upper_upper", "upper", &["--host", host]);
        // Enough that one of them alone keeps up with the load.
        let room = ["--instances", "8", "--host", host];
        site.start("misbehaver", "pages", &room);
    }
    site.start("to_upper_http", "web", &["--host", &first]);
    site.ask(&["config", "put", "may-repeat", "retry=idempotent"]);
    let link = ["link", "put", "web", "upper", "trellis-examples", "text"];
    let more = ["--interface", "upper", "--source-config", "may-repeat"];
    site.ask(&[&link[..], &more[..]].concat());
    let calls = site.serve(0, "web");
    wait_until("the link is bound", || is_answered(calls, "/bound"));
    // What only reads may be repeated without being marked.
    let pages = site.serve(0, "pages");
    wait_until("the other hosts answer", || is_answered(pages, "/"));

    let running = [
        load(calls, "/far", 100, 8).start(),
        load(pages, "/sleep?ms=20", 100, 8).start(),
    ];
    wait_until("calls are under way", || is_answered(calls, "/far"));
    site.hosts[2].signal(Signal::KILL);
    let _ = site.hosts[2].wait();
    for it in &running {
        it.wait_for_each(CALLS_AFTER_KILL);
    }
    for report in running.map(|it| it.stop()) {
        report.assert_all_ok(100);
        let slowest = report.percentile(200, 100);
        assert!(slowest < TYPED_ANSWER_MAX, "{slowest:?}");
    }
}

#[test]
fn a_host_that_hears_nothing_fails_no_call_that_may_be_repeated() {
    let site = Site::of(3);
    let [first, second, third] = [0, 1, 2].map(|it: usize| site.hosts[it].host_id());
    for host in [&second, &third] {
        site.start("to_upper_upper", "upper", &["--host", host]);
    }
    site.start(
        "to_upper_http",
        "web",
        &["--instances", "16", "--host", &first],
    );
    site.ask(&["config", "put", "may-repeat", "retry=idempotent"]);
    let link = ["link", "put", "web", "upper", "trellis-examples", "text"];
    let more = ["--interface", "upper", "--source-config", "may-repeat"];
    site.ask(&[&link[..], &more[..]].concat());
    let address = site.serve(0, "web");
    wait_until("the link is bound", || is_answered(address, "/bound"));
    // NATS gives it calls all the same.
    site.hosts[2].signal(Signal::STOP);
    let report = at_once(address, "any", 16, 64, |_| "/far".to_owned());
    site.hosts[2].signal(Signal::CONT);
    report.assert_all_ok(64);
    let slowest = report.percentile(200, 100);
    assert!(
        slowest > Duration::from_secs(1),
        "none was lost: {slowest:?}"
    );
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
fn changes_are_made_by_another_host_while_one_hears_nothing() {
    let site = Site::of(2);
    wait_until("both hosts have joined", || {
        hosts(&site)
            .iter()
            .filter(|it| it["mode"] == "joined")
            .count()
            == 2
    });
    site.hosts[1].signal(Signal::STOP);
    // Each goes to the deaf host first with a chance of a half.
    for round in 0..4 {
        let setting = format!("round={round}");
        site.ask(&["config", "put", "carts", &setting, "--timeout", "20s"]);
        let link = [
            "web",
            "cart",
            "acme",
            "shop",
            "--interface",
            "cart",
            "--timeout",
            "20s",
        ];
        site.ask(&[&["link", "put"], &link[..]].concat());
        site.ask(&["link", "del", "web", "acme", "shop", "--timeout", "20s"]);
    }
    let found = site.ask(&["config", "get", "carts", "--timeout", "20s"]);
    assert_eq!(found["values"]["round"], "3", "{found}");
    site.hosts[1].signal(Signal::CONT);
}

#[test]
fn a_host_that_wakes_up_with_an_old_change_undoes_nothing() {
    let site = Site::of(2);
    let both_joined = || {
        let hosts = hosts(&site);
        hosts.iter().filter(|it| it["mode"] == "joined").count() == 2
    };
    wait_until("both hosts have joined", both_joined);
    // The first change goes to the deaf host first with a chance of a half.
    for round in 0..4 {
        site.hosts[1].signal(Signal::STOP);
        for half in ["first", "second"] {
            let setting = format!("round={round}-{half}");
            site.ask(&["config", "put", "carts", &setting, "--timeout", "20s"]);
        }
        site.hosts[1].signal(Signal::CONT);
        wait_until("it hears again", both_joined);
        let found = site.ask(&["config", "get", "carts", "--timeout", "20s"]);
        assert_eq!(
            found["values"]["round"],
            format!("{round}-second"),
            "{found}"
        );
    }
}

#[test]
fn without_nats_what_runs_goes_on_and_the_hosts_come_back() {
    let mut site = Site::of(2);
    let first = site.hosts[0].host_id();
    site.start("to_upper_http", "web", &["--host", &first]);
    site.start("to_upper_upper", "upper", &["--host", &first]);
    let address = serve_web(&site, "upper");

    let running = load(address, "/near", 50, 4).start();
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
fn a_host_without_nats_writes_no_lines_about_the_lines_that_it_cannot_send() {
    let mut site = Site::of(1);
    let id = site.hosts[0].host_id();
    let follower = site.desk().args(["logs", "--follow"]).follow();
    site.ask(&["drain", &id]);
    let drained = follower.data().wait_for("draining");
    assert!(drained.is_some(), "it is shown what was said before");
    site.ask(&["resume", &id]);
    follower.data().wait_for_count("draining", 2); // from joined, and back

    site.server.kill();
    let told = site.hosts[0].log().wait_for("detached");
    assert!(told.is_some(), "it says that it is on its own");
    site.server.start_again();
    wait_until("it has joined again", || {
        let found = site.desk().args(["get", "hosts"]).try_json().ok();
        found.is_some_and(|it| it["hosts"][0]["mode"] == "joined")
    });
    let log = site.hosts[0].log().so_far();
    assert!(log.lines().count() < 200, "{}", log.lines().count());
}

#[test]
fn a_host_starts_without_nats_from_what_it_remembers() {
    let mut site = Site::of(0);
    let command = site.host_command('a');
    let mut host = command.up();
    let id = host.host_id();
    site.start("to_upper_http", "web", &[]);
    site.start("to_upper_upper", "upper", &[]);
    link_web(&site, "upper");
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
    let address = serve_web(&site, "upper");
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
