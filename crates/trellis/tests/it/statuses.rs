//! `trellis get components` and `trellis get providers`: what runs where, and what is wrong with what takes no calls.

use trellis_control::{
    Answer, ComponentStatus, CtlResponse, Host, HostMode, HostStatus, ProviderStatus, Request,
};

use crate::environment::Environment;
use crate::responder::{Responder, Said};

const HOSTS: [&str; 2] = ["NBBBBBBBBBBBBBB2", "NAAAAAAAAAAAAAA1"];

/// Each host runs a component and a provider, which are ready on the first alone.
fn status(id: &str) -> HostStatus {
    let ready = id == HOSTS[0];
    let component = ComponentStatus {
        id: "cart".to_owned(),
        image_ref: "reg/cart:1".to_owned(),
        digest: "sha256:aa".to_owned(),
        max_instances: 2,
        ready,
        why: (!ready).then(|| "its image\nis missing".to_owned()),
        ..ComponentStatus::default()
    };
    let provider = ProviderStatus {
        id: "kv".to_owned(),
        image_ref: "builtin:keyvalue".to_owned(),
        ready,
        why: (!ready).then(|| "the port is taken".to_owned()),
        restarts: 3,
        ..ProviderStatus::default()
    };
    let other = ComponentStatus {
        id: "bill".to_owned(),
        ready: true,
        ..ComponentStatus::default()
    };
    HostStatus {
        host_id: id.to_owned(),
        friendly_name: format!("host-{}", id.chars().last().unwrap()),
        version: "0.1.0".to_owned(),
        labels: [].into(),
        mode: HostMode::Joined,
        since: "2026-01-05T10:11:12Z".parse().unwrap(),
        why: "all is well".to_owned(),
        uptime_seconds: 61,
        components: [Some(component), ready.then_some(other)]
            .into_iter()
            .flatten()
            .collect(),
        providers: vec![provider],
        links: Vec::new(),
    }
}

fn answer(id: &str, request: &Request) -> Said {
    match request {
        Request::HostPing => Said::reply(&CtlResponse::data(Host {
            id: id.to_owned(),
            ..Host::default()
        })),
        Request::Status => Said::reply(&Answer::Ok(status(id))),
        _ => Said::silence(),
    }
}

/// Asks for `what`; returns what is said to people.
fn told(what: &str, more: &[&str]) -> String {
    let responder = Responder::start(&HOSTS, answer);
    let environment = Environment::new()
        .variable("NATS_URL", &responder.server.url())
        .variable("TRELLIS_LATTICE", "shop");
    let ended = environment.run(&[&["get", what], more].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout + &ended.stderr
}

#[test]
fn components_are_listed_with_what_keeps_them_from_taking_calls() {
    insta::assert_snapshot!(told("components", &[]), @r"
    COMPONENT  HOST               INSTANCES  READY  IMAGE
    bill       host-2 (NBBBBBBB)  0          yes    -
    cart       host-1 (NAAAAAAA)  2          no     reg/cart:1
    cart       host-2 (NBBBBBBB)  2          yes    reg/cart:1
    cart on host-1 (NAAAAAAA) is not ready: its image is missing
    ");
    insta::assert_snapshot!(told("components", &["--output", "json"]), @r#"
    {"lattice":"shop","components":[{"host_id":"NBBBBBBBBBBBBBB2","host_name":"host-2","id":"bill","image_ref":"","digest":"","max_instances":0,"ready":true,"annotations":{}},{"host_id":"NAAAAAAAAAAAAAA1","host_name":"host-1","id":"cart","image_ref":"reg/cart:1","digest":"sha256:aa","max_instances":2,"ready":false,"why":"its image\nis missing","annotations":{}},{"host_id":"NBBBBBBBBBBBBBB2","host_name":"host-2","id":"cart","image_ref":"reg/cart:1","digest":"sha256:aa","max_instances":2,"ready":true,"annotations":{}}]}
    "#);
}

#[test]
fn providers_are_listed_with_what_keeps_them_from_serving() {
    insta::assert_snapshot!(told("providers", &[]), @r"
    PROVIDER  HOST               READY  RESTARTS  IMAGE
    kv        host-1 (NAAAAAAA)  no     3         builtin:keyvalue
    kv        host-2 (NBBBBBBB)  yes    3         builtin:keyvalue
    kv on host-1 (NAAAAAAA) does not serve: the port is taken
    ");
    insta::assert_snapshot!(told("providers", &["--output", "json"]), @r#"
    {"lattice":"shop","providers":[{"host_id":"NAAAAAAAAAAAAAA1","host_name":"host-1","id":"kv","image_ref":"builtin:keyvalue","ready":false,"why":"the port is taken","restarts":3,"annotations":{}},{"host_id":"NBBBBBBBBBBBBBB2","host_name":"host-2","id":"kv","image_ref":"builtin:keyvalue","ready":true,"restarts":3,"annotations":{}}]}
    "#);
}
