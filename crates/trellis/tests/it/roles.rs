//! A host with the credentials of its role, and no more, on a real NATS server.

use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use trellis_core::LatticeName;
use trellis_identity::{Authority, Role};
use trellis_lattice::store::{BucketDefaults, BucketName, Expected, JetStreamStore, Key, Store};
use trellis_lattice::{Credentials, Lattice, Settings, connect};
use trellis_tests::{Host, NatsServer, Trellis, wait_until};

/// A server that knows the roles of a lattice, and one host.
struct Guarded {
    authority: Authority,
    server: NatsServer,
    _folder: TempDir,
}

impl Guarded {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let credentials = folder.path().join("credentials"); // its lock lies beside it
        let authority = Authority::open_or_create(&credentials, &LatticeName::default()).unwrap();
        let server = NatsServer::with(&format!(
            "jetstream: {{ store_dir: \"STORE\" }}\n{}",
            authority.server_config()
        ));
        Self {
            authority,
            server,
            _folder: folder,
        }
    }

    fn run_as(&self, role: &Role) -> Trellis {
        let credentials = self.authority.credentials_path(role).unwrap();
        let command = Trellis::new().env("NATS_URL", &self.server.url());
        command.env("NATS_CREDS", &credentials.display().to_string())
    }

    fn host(&self) -> Host {
        let host = self.run_as(&Role::Host).up();
        let desk = self.run_as(&Role::Operator).args(["get", "hosts"]);
        // It has no mode of its own before it holds a lease.
        wait_until("the host has joined", || mode_of(&desk) == "joined");
        host
    }

    async fn connect_as(&self, role: &Role) -> Lattice {
        let mut settings = Settings::new(LatticeName::default(), [self.server.url()]);
        settings.inbox_prefix = role.inbox_prefix();
        let path = self.authority.credentials_path(role).unwrap();
        settings.credentials = Credentials::CredsFile(path);
        connect(settings).await.unwrap()
    }
}

fn mode_of(desk: &Trellis) -> Value {
    let told = desk.json();
    told["hosts"][0]["mode"].clone()
}

#[test]
fn a_host_joins_with_the_credentials_of_its_role() {
    let guarded = Guarded::start();
    assert_eq!(guarded.host().stop(), Some(0));
}

#[tokio::test]
async fn a_viewer_makes_no_host_write_into_the_state() {
    let guarded = Guarded::start();
    let _host = guarded.host();
    let viewer = guarded.connect_as(&Role::Viewer).await;
    let ping = "wasmbus.ctl.v1.default.host.ping";
    let reply = "$KV.LATTICEDATA_default.COMPONENT_web";
    let sent = viewer.publish_with_reply(ping, reply, None, Bytes::new());
    sent.await.unwrap();
    // What comes after it is answered after it.
    let asked = viewer.request(ping, None, Bytes::new(), std::time::Duration::from_secs(20));
    asked.await.unwrap();

    let host = guarded.connect_as(&Role::Host).await;
    let store = JetStreamStore::new(host, BucketDefaults::default());
    let bucket = BucketName::new("LATTICEDATA_default").unwrap();
    let bucket = store.bucket(&bucket).await.unwrap();
    let after = Key::new("after").unwrap();
    let put = bucket.put(&after, "x".into(), Expected::Any);
    put.await.unwrap(); // and so is what is written
    let written = bucket.get(&Key::new("COMPONENT_web").unwrap()).await;
    assert_eq!(written.unwrap(), None);
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
