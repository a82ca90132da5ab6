//! What commands ask hosts, and what they make of the answers.

use std::io::{BufRead, BufReader};

use serde_json::json;
use trellis_control::{
    Answer, CallResult, ComponentAuctionAck, ComponentDescription, ComponentScaleFailed,
    ComponentScaled, ComponentStatus, CtlResponse, ErrorCode, Event, Host, HostId, HostInventory,
    HostMode, HostStarted, HostStatus, Link, LinkStatus, LinkTier, LogLevel, LogLine, LogTail,
    Request, TextMap, encode,
};
use trellis_lattice::store::{BucketDefaults, BucketName, Expected, JetStreamStore, Key, Store};

use crate::environment::Environment;
use crate::responder::{Responder, Said, publish};

/// Three hosts in three zones.
const HOSTS: [&str; 3] = ["NAAAAAAAAAAAAAA1", "NAAAAAAAAAAAAAA2", "NBBBBBBBBBBBBBB3"];

fn labels(id: &str) -> TextMap {
    let zone = id.chars().last().unwrap().to_string();
    [
        ("zone".to_owned(), zone),
        ("hostcore.os".to_owned(), "linux".to_owned()),
    ]
    .into()
}

fn name(id: &str) -> String {
    format!("host-{}", id.chars().last().unwrap())
}

fn runs_cart(id: &str) -> bool {
    id == HOSTS[0]
}

fn time() -> jiff::Timestamp {
    "2026-01-05T10:11:12Z".parse().unwrap()
}

fn status(id: &str) -> HostStatus {
    let cart = ComponentStatus {
        id: "cart".to_owned(),
        image_ref: "reg/cart:1".to_owned(),
        max_instances: 2,
        ready: true,
        ..ComponentStatus::default()
    };
    let link = LinkStatus {
        source_id: "cart".to_owned(),
        target: "kv".to_owned(),
        name: "default".to_owned(),
        interface: "wasi:keyvalue/store".to_owned(),
        tier: LinkTier::BuiltIn,
        why: "kv is built in".to_owned(),
    };
    HostStatus {
        host_id: id.to_owned(),
        friendly_name: name(id),
        // Of which it is not known here what its hosts can run.
        version: "0.9.9".to_owned(),
        labels: labels(id),
        mode: HostMode::Joined,
        since: time(),
        why: "all is well".to_owned(),
        uptime_seconds: 61,
        components: runs_cart(id).then_some(cart).into_iter().collect(),
        providers: Vec::new(),
        links: runs_cart(id).then_some(link).into_iter().collect(),
    }
}

fn inventory(id: &str) -> HostInventory {
    let cart = ComponentDescription {
        id: "cart".to_owned(),
        image_ref: "reg/cart:1".to_owned(),
        max_instances: 2,
        annotations: [("trellis.dev/config".to_owned(), "cart".to_owned())].into(),
        ..ComponentDescription::default()
    };
    HostInventory {
        host_id: id.to_owned(),
        friendly_name: name(id),
        labels: labels(id),
        version: "0.1.0".to_owned(),
        uptime_seconds: 61,
        components: runs_cart(id).then_some(cart).into_iter().collect(),
        ..HostInventory::default()
    }
}

fn link() -> Link {
    Link {
        source_id: "cart".to_owned(),
        target: "kv".to_owned(),
        wit_namespace: "wasi".to_owned(),
        wit_package: "keyvalue".to_owned(),
        interfaces: vec!["store".to_owned()],
        target_config: vec!["kv-settings".to_owned()],
        ..Link::default()
    }
}

/// Answers as a host does that works; what scaling leads to, its id decides.
fn answer(id: &str, request: &Request) -> Said {
    let accepted = || Said::reply(&CtlResponse::done(""));
    match request {
        Request::HostPing => Said::reply(&CtlResponse::data(Host {
            id: id.to_owned(),
            friendly_name: name(id),
            labels: labels(id),
            lattice: "shop".to_owned(),
            uptime_seconds: 61,
            version: Some("0.1.0".to_owned()),
            ..Host::default()
        })),
        Request::HostGet => Said::reply(&CtlResponse::data(inventory(id))),
        Request::Status => Said::reply(&Answer::Ok(status(id))),
        Request::LinkGet => Said::reply(&CtlResponse::data(vec![link()])),
        Request::ComponentAuction(it) if !runs_cart(id) || it.component_id != "cart" => {
            Said::reply(&CtlResponse::data(ComponentAuctionAck {
                host_id: id.to_owned(),
                ..ComponentAuctionAck::default()
            }))
        }
        Request::ComponentScale(it) if it.component_id == "broken" => {
            accepted().and(Event::ComponentScaleFailed(ComponentScaleFailed {
                component_id: it.component_id.clone(),
                error: "no such image".to_owned(),
                ..ComponentScaleFailed::default()
            }))
        }
        Request::ComponentScale(it) if it.component_id == "silent" => Said::silence(),
        Request::ComponentScale(it) => accepted().and(Event::ComponentScaled(ComponentScaled {
            component_id: it.component_id.clone(),
            max_instances: it.count,
            ..ComponentScaled::default()
        })),
        Request::Call(it) if it.function == "burst" => Said::reply(&Answer::<CallResult>::failure(
            ErrorCode::Trap,
            "unreachable executed",
        )),
        Request::Call(it) => Said::reply(&Answer::Ok(CallResult {
            result: it.arguments.first().cloned(),
            duration_us: 7,
        })),
        Request::Tail(_) => Said::reply(&Answer::Ok(LogTail {
            lines: vec![log_line(id, 4, "kept")],
        })),
        Request::ConfigGet(_) => Said::reply(&CtlResponse::<()>::done("Configuration not found")),
        _ => accepted(),
    }
}

fn log_line(id: &str, sequence: u64, message: &str) -> LogLine {
    LogLine {
        time: time(),
        host_id: id.to_owned(),
        component_id: Some("cart".to_owned()),
        level: LogLevel::Info,
        sequence,
        message: message.to_owned(),
    }
}

fn shop() -> (Responder, Environment) {
    let responder = Responder::start(&HOSTS, answer);
    let environment = Environment::new()
        .variable("NATS_URL", &responder.server.url())
        .variable("TRELLIS_LATTICE", "shop");
    (responder, environment)
}

#[test]
fn hosts_components_and_links_are_listed() {
    let (_responder, environment) = shop();
    insta::assert_snapshot!(environment.run(&["get", "hosts"]).stdout, @r"
    HOST              NAME    MODE    UPTIME  VERSION  LABELS
    NAAAAAAAAAAAAAA1  host-1  joined  1m 1s   0.1.0    zone=1
    NAAAAAAAAAAAAAA2  host-2  joined  1m 1s   0.1.0    zone=2
    NBBBBBBBBBBBBBB3  host-3  joined  1m 1s   0.1.0    zone=3
    ");
    insta::assert_snapshot!(environment.run(&["get", "components"]).stdout, @r"
    COMPONENT  HOST               INSTANCES  READY  IMAGE
    cart       host-1 (NAAAAAAA)  2          yes    reg/cart:1
    ");
    insta::assert_snapshot!(environment.run(&["get", "links"]).stdout, @r"
    SOURCE  TARGET  INTERFACES           NAME     TIER
    cart    kv      wasi:keyvalue/store  default  built-in
    ");
    insta::assert_snapshot!(environment.run(&["get", "inventory", "host-1"]).stdout, @r"
    host-1 (NAAAAAAA), up 1m 1s, version 0.1.0
    labels: hostcore.os=linux zone=1
    KIND       ID    INSTANCES  IMAGE
    component  cart  2          reg/cart:1
    ");
    let hosts = environment
        .run(&["get", "hosts", "--output", "json"])
        .json();
    assert_eq!(hosts["hosts"][2]["id"], HOSTS[2]);
    assert_eq!(hosts["hosts"][2]["mode"], "joined");
}

#[test]
fn a_host_that_is_not_there_is_suggested() {
    let (_responder, environment) = shop();
    for (host, words) in [
        (
            "hots-1",
            "no host hots-1 is in lattice shop; did you mean host-1?",
        ),
        (
            "NAAA",
            "NAAA names 2 hosts: host-1 (NAAAAAAAAAAAAAA1), host-2 (NAAAAAAAAAAAAAA2)",
        ),
    ] {
        let ended = environment.run(&["get", "inventory", host]);
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    let ended = environment.run(&["scale", "crat", "2"]);
    assert!(
        ended.stderr.contains("; did you mean cart?"),
        "{}",
        ended.stderr
    );
}

#[test]
fn instances_are_spread_over_the_values_of_a_label() {
    let (responder, environment) = shop();
    let started = environment.run(&[
        "start",
        "component",
        "reg/web:1",
        "--instances",
        "3",
        "--spread",
        "zone",
        "--config",
        "web",
        "--no-wait",
        "--output",
        "json",
    ]);
    let placements = &started.json()["placements"];
    let expected: Vec<_> = HOSTS
        .map(|it| json!({"host_id": it, "instances": 1}))
        .into();
    assert_eq!(placements, &json!(expected));
    let scaled = responder
        .asked()
        .into_iter()
        .filter_map(|(host, request)| match request {
            Request::ComponentScale(it) => Some((host, it)),
            _ => None,
        });
    for (host, command) in scaled {
        assert_eq!(command.host_id, host);
        assert_eq!((command.component_id.as_str(), command.count), ("web", 1));
        assert_eq!(command.config, ["web"]);
        assert_eq!(command.annotations["trellis.dev/config"], "web");
    }
}

#[test]
fn labels_that_no_host_has_are_named_with_those_there_are() {
    let (_responder, environment) = shop();
    let start = ["start", "component", "reg/web:1", "--label"];
    for (label, words) in [
        (
            "zone=9",
            "none of the 3 hosts of lattice shop has zone=9; zone is 1, 2, 3 there",
        ),
        ("zoen=1", "has zoen=1; did you mean zone?"),
    ] {
        let ended = environment.run(&[&start[..], &[label]].concat());
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    let ended = environment.run(&["start", "component", "reg/cart:1", "--host", "host-1"]);
    assert!(
        ended.stderr.contains("component cart runs on host host-1"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_start_waits_until_it_is_ready_or_says_why_it_is_not() {
    let (_responder, environment) = shop();
    let scaled = environment.run(&["scale", "cart", "2"]);
    assert_eq!(
        scaled.stdout, "cart has 2 instances on host-1 (NAAAAAAA)\n",
        "{}",
        scaled.stderr
    );
    let failed = environment.run(&["start", "component", "reg/x:1", "--id", "broken"]);
    assert_eq!(failed.code, Some(1));
    assert!(
        failed
            .stderr
            .contains("component broken does not run on host"),
        "{}",
        failed.stderr
    );
    assert!(
        failed.stderr.contains(": no such image\n"),
        "{}",
        failed.stderr
    );
    // It never becomes ready: the wait ends.
    let start = [
        "start",
        "component",
        "reg/x:1",
        "--id",
        "slow",
        "--wait",
        "500ms",
    ];
    let late = environment.run(&start);
    assert!(
        late.stderr.contains("is not ready on host"),
        "{}",
        late.stderr
    );
    assert!(late.stderr.contains("after 500ms"), "{}", late.stderr);
    let start = [
        "start",
        "component",
        "reg/x:1",
        "--id",
        "silent",
        "--timeout",
        "1s",
    ];
    let silent = environment.run(&start);
    assert!(
        silent.stderr.contains("no answer from host"),
        "{}",
        silent.stderr
    );
    assert!(
        silent.stderr.contains("it may still have been done"),
        "{}",
        silent.stderr
    );
}

#[test]
fn a_scale_keeps_the_config() {
    let (responder, environment) = shop();
    assert_eq!(
        environment.run(&["scale", "cart", "5", "--no-wait"]).code,
        Some(0)
    );
    let asked = responder.asked();
    let command = asked.iter().find_map(|(_, request)| match request {
        Request::ComponentScale(it) => Some(it),
        _ => None,
    });
    let command = command.unwrap();
    assert_eq!((command.count, &*command.component_ref), (5, "reg/cart:1"));
    assert_eq!(command.config, ["cart"]);
}

#[test]
fn a_call_returns_the_value_or_the_class_of_its_failure() {
    let (_responder, environment) = shop();
    let called = environment.run(&["call", "cart", "acme:shop/cart@1.0.0.add", "-3"]);
    assert_eq!(
        (called.code, called.stdout.as_str()),
        (Some(0), "-3\n"),
        "{}",
        called.stderr
    );
    let called = environment.run(&[
        "call",
        "cart",
        "acme:shop/cart.add",
        "1",
        "--output",
        "json",
    ]);
    insta::assert_snapshot!(
        called.stdout.trim_end(),
        @r#"{"component_id":"cart","host_id":"NAAAAAAAAAAAAAA1","result":"1","duration_us":7}"#
    );
    let trapped = environment.run(&["call", "cart", "burst"]);
    assert_eq!(trapped.code, Some(1));
    let words = "cannot call burst of cart: unreachable executed (trap)";
    assert!(trapped.stderr.contains(words), "{}", trapped.stderr);
}

#[test]
fn links_and_config_that_are_not_there_are_errors() {
    let (responder, environment) = shop();
    let ended = environment.run(&["link", "del", "crat", "wasi", "keyvalue"]);
    let words = "crat has no link default for wasi:keyvalue; did you mean cart?";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    let ended = environment.run(&["link", "del", "cart", "wasi", "keyvalue"]);
    assert_eq!(ended.stdout, "deleted cart -> kv wasi:keyvalue (default)\n");
    let put = [
        "link",
        "put",
        "cart",
        "kw",
        "wasi",
        "keyvalue",
        "--interface",
        "store,atomics",
    ];
    let ended = environment.run(&put);
    assert_eq!(
        ended.stdout,
        "cart -> kw wasi:keyvalue/store,atomics (default)\n"
    );
    assert!(
        ended.stderr.contains("kw does not run yet"),
        "{}",
        ended.stderr
    );
    // What a host has of itself is not let go by a slip.
    let ended = environment.run(&["label", "del", "host-1", "hostcore.os"]);
    assert_eq!(ended.code, Some(2));
    let words = "the label hostcore.os is the host's own and cannot be deleted";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    // What somebody typed is not suggested, nor a list that is not complete.
    let ended = environment.run(&["config", "get", "kv-settings"]);
    assert!(!ended.stderr.contains("did you mean"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("config list"), "{}", ended.stderr);
    // Names are known from links where no store is to be read.
    let ended = environment.run(&["config", "get", "kv-setings"]);
    let words = "no config is named kv-setings in lattice shop; did you mean kv-settings?";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    let listed = environment
        .run(&["config", "list", "--output", "json"])
        .json();
    assert_eq!(listed["complete"], false);
    assert_eq!(listed["names"], json!(["cart", "kv-settings"]));
    // And from the store where it can be.
    let lattice = responder.connect();
    responder.runtime.block_on(async {
        let store = JetStreamStore::new(lattice, BucketDefaults::default());
        let name = BucketName::new("CONFIGDATA_shop").unwrap();
        let bucket = store.bucket(&name).await.unwrap();
        for key in ["web", "SECRET_x"] {
            let key = Key::new(key).unwrap();
            bucket
                .put(&key, "{}".into(), Expected::Absent)
                .await
                .unwrap();
        }
    });
    assert_eq!(environment.run(&["get", "config"]).stdout, "web\n");
}

#[test]
fn ids_of_the_live_lattice_are_completed() {
    let (_responder, environment) = shop();
    let environment = environment
        .variable("TRELLIS_COMPLETE", "bash")
        .variable("_CLAP_IFS", "\n")
        .variable("_CLAP_COMPLETE_INDEX", "2");
    let offered = environment.run(&["--", "trellis", "scale", "c"]);
    // A machine that is too busy to answer in time offers nothing, which is right, too.
    assert!(
        ["cart", ""].contains(&offered.stdout.as_str()),
        "{}",
        offered.stdout
    );
}

#[test]
fn events_are_shown_until_they_are_interrupted() {
    let (responder, environment) = shop();
    let mut child = environment.spawn(&["events", "--type", "host_started"]);
    let mut talk = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = talk.next().unwrap().unwrap();
    assert!(first.starts_with("listening to lattice shop"), "{first}");
    let lattice = responder.connect();
    let host = HostId::new(HOSTS[0]).unwrap();
    let started = HostStarted {
        friendly_name: "host-1".to_owned(),
        version: "0.1.0".to_owned(),
        ..HostStarted::default()
    };
    responder
        .runtime
        .block_on(publish(&lattice, &host, Event::HostStarted(started)));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(
        line.ends_with("Z NAAAAAAA host_started host-1 version 0.1.0"),
        "{line}"
    );
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn logs_are_merged_and_followed_without_repeating_a_line() {
    let (responder, environment) = shop();
    let kept = environment.run(&["logs", "cart"]);
    assert_eq!(
        kept.stdout,
        "2026-01-05T10:11:12.000Z NAAAAAAA INFO  cart: kept\n"
    );
    let mut child = environment.spawn(&["logs", "cart", "--follow"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().ends_with("cart: kept"));
    let lattice = responder.connect();
    responder.runtime.block_on(async {
        let subject = format!("trellis.v1.shop.logs.{}.cart", HOSTS[0]);
        for (sequence, text) in [(4, "kept"), (5, "new")] {
            let line = encode(&log_line(HOSTS[0], sequence, text));
            lattice.publish(&subject, None, line).await.unwrap();
        }
        lattice.flush().await.unwrap();
    });
    assert!(lines.next().unwrap().unwrap().ends_with("cart: new"));
    child.kill().unwrap();
    child.wait().unwrap();
}
