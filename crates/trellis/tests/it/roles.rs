//! A host with the credentials of its role, and no more, on a real NATS server.

use serde_json::Value;
use trellis_core::LatticeName;
use trellis_identity::{Authority, Role};
use trellis_tests::{NatsServer, Trellis, wait_until};

fn mode_of(desk: &Trellis) -> Value {
    let told = desk.json();
    told["hosts"][0]["mode"].clone()
}

#[test]
fn a_host_joins_with_the_credentials_of_its_role() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials"); // its lock lies beside it
    let authority = Authority::open_or_create(&credentials, &LatticeName::default()).unwrap();
    let server = NatsServer::with(&format!(
        "jetstream: {{ store_dir: \"STORE\" }}\n{}",
        authority.server_config()
    ));
    let run_as = |role: Role| {
        Trellis::new()
            .arg("--creds")
            .arg(authority.credentials_path(&role).unwrap())
            .env("NATS_URL", &server.url())
    };
    let mut host = run_as(Role::Host).up();
    let desk = run_as(Role::Operator).args(["get", "hosts"]);
    // It has no mode of its own before it holds a lease.
    wait_until("the host has joined", || mode_of(&desk) == "joined");
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn a_host_that_may_not_keep_a_lease_says_which_permission_it_lacks() {
    let missing = "$JS.API.STREAM.MSG.GET.KV_TRELLISLEASES_default";
    let server = NatsServer::with(&format!(
        "jetstream: {{ store_dir: \"STORE\" }}\nauthorization {{ users: [ {{ user: host, password: p, \
         permissions: {{ publish: {{ deny: [\"{missing}\"] }} }} }} ] }}"
    ));
    let url = server.url().replace("nats://", "nats://host:p@");
    let host = Trellis::new().env("NATS_URL", &url).begin();
    let line = host.log().wait_for("keep a lease").unwrap();
    assert!(line.contains(missing) && line.contains("WARN"), "{line}");
}
