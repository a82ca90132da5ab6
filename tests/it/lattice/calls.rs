//! Instances shared out over hosts, and calls from one to another.

use serde_json::json;
use trellis_tests::{Application, Entry, Site, at_once, get, guest, wait_until};

use super::{hosts_of, is_answered, link_web, load, serve_web};

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

#[test]
fn http_that_a_host_has_no_room_for_may_be_taken_by_another() {
    const CALLS: usize = 8;
    /// One that runs and one that waits.
    const HERE: usize = 2;
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
        // NATS may choose the full host again; what is more than its own room was taken elsewhere.
        let taken = report.answers.iter().filter(|it| it.0.status == 200);
        taken.count() > HERE
    });
}
