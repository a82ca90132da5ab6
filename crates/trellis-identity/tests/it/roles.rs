//! Users of an authority on a nats-server: they come in, do their work, and no more.

use async_nats::jetstream;
use futures_util::StreamExt;
use tokio::time::timeout;
use trellis_core::{ComponentId, LatticeName};
use trellis_identity::{Authority, Role, permissions};
use trellis_tests::NatsServer;

use crate::clients::{self, ANSWER_MAX, Complaints};

struct Lattice {
    _folder: tempfile::TempDir,
    authority: Authority,
    server: NatsServer,
}

fn lattice() -> Lattice {
    let folder = tempfile::tempdir().unwrap();
    let name = LatticeName::new("shop").unwrap();
    let authority = Authority::open_or_create(&folder.path().join("lattice"), &name).unwrap();
    let config = authority.server_config();
    let server = NatsServer::with(&format!(
        "{config}\njetstream: {{ store_dir: \"STORE\" }}\n"
    ));
    Lattice {
        _folder: folder,
        authority,
        server,
    }
}

impl Lattice {
    async fn connect(&self, role: &Role) -> (async_nats::Client, Complaints) {
        let credentials = self.authority.credentials(role);
        clients::connect(&self.server, &credentials, &role.inbox_prefix()).await
    }
}

fn provider() -> Role {
    Role::Provider {
        id: ComponentId::new("shop-kv").unwrap(),
        link_key: None,
    }
}

#[tokio::test]
async fn a_viewer_asks_a_host_and_cannot_stop_it() {
    let lattice = lattice();
    let (host, _) = lattice.connect(&Role::Host).await;
    let mut commands = host.subscribe("wasmbus.ctl.v1.shop.>").await.unwrap();
    host.flush().await.unwrap();
    let answer = tokio::spawn(async move {
        while let Some(command) = commands.next().await {
            assert_eq!(command.subject.as_str(), "wasmbus.ctl.v1.shop.host.ping");
            host.publish(command.reply.unwrap(), "here".into())
                .await
                .unwrap();
        }
    });
    let (viewer, mut errors) = lattice.connect(&Role::Viewer).await;
    viewer
        .publish("wasmbus.ctl.v1.shop.host.stop.N", "".into())
        .await
        .unwrap();
    let error = timeout(ANSWER_MAX, async {
        loop {
            let error = errors.recv().await.unwrap();
            if error.to_lowercase().contains("permissions violation") {
                return error;
            }
        }
    });
    assert!(
        error
            .await
            .unwrap()
            .contains("wasmbus.ctl.v1.shop.host.stop.N")
    );
    let asked = timeout(
        ANSWER_MAX,
        viewer.request("wasmbus.ctl.v1.shop.host.ping", "".into()),
    );
    assert_eq!(asked.await.unwrap().unwrap().payload.as_ref(), b"here");
    answer.abort();
}

#[tokio::test]
async fn a_host_keeps_the_state_in_jetstream_and_a_provider_cannot() {
    let lattice = lattice();
    let (host, _) = lattice.connect(&Role::Host).await;
    let context = jetstream::new(host);
    for bucket in ["LATTICEDATA_shop", "CONFIGDATA_shop"] {
        let config = jetstream::kv::Config {
            bucket: bucket.into(),
            ..Default::default()
        };
        let store = context.create_key_value(config).await.unwrap();
        let mut watch = store.watch_with_history(">").await.unwrap();
        let revision = store.create("a", "1".into()).await.unwrap();
        store.update("a", "2".into(), revision).await.unwrap();
        assert_eq!(store.get("a").await.unwrap().unwrap().as_ref(), b"2");
        let seen = timeout(ANSWER_MAX, watch.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(seen.key, "a");
        store.delete("a").await.unwrap();
        store.purge("a").await.unwrap();
        let mut keys = store.keys().await.unwrap();
        assert!(timeout(ANSWER_MAX, keys.next()).await.unwrap().is_none());
        assert!(context.get_key_value(bucket).await.is_ok());
    }
    let (provider, mut errors) = lattice.connect(&provider()).await;
    provider
        .publish("$KV.LATTICEDATA_shop.COMPONENT_x", "{}".into())
        .await
        .unwrap();
    provider.flush().await.unwrap();
    let refused = timeout(ANSWER_MAX, async {
        while !errors
            .recv()
            .await
            .unwrap()
            .contains("$KV.LATTICEDATA_shop.COMPONENT_x")
        {}
    });
    refused.await.unwrap();
}

#[tokio::test]
async fn the_server_judges_every_role_as_we_do() {
    let lattice = lattice();
    let subjects = [
        "wasmbus.ctl.v1.shop.host.ping",
        "wasmbus.ctl.v1.shop.link.put",
        "wasmbus.evt.shop.host_started",
        "wasmbus.rpc.shop.shop-kv.health",
        "shop.shop-kv.wrpc.0.0.1.get",
        "shop.shop-cart.wrpc.0.0.1.get",
        "trellis.v1.shop.drain.N",
        "trellis.v1.shop.logs.N.c",
        "$JS.API.INFO",
        "$KV.CONFIGDATA_shop.a",
        "_INBOX.x",
        "_INBOX_TRELLIS.host.x",
        "_INBOX_TRELLIS.viewer.x",
        "wadm.api.shop.model.list",
        "wasmbus.ctl.v1.other.host.ping",
        "wasmbus.ctl.v1.shop.>",
        "wasmbus.ctl.>",
        "wasmbus.evt.shop.>",
        "_INBOX.>",
        "_INBOX.x.>",
        "_INBOX_TRELLIS.host.>",
        "_INBOX_TRELLIS.>",
        "shop.>",
        "shop.*.wrpc.>",
        ">",
        "*",
    ];
    for role in [
        Role::Host,
        Role::Operator,
        Role::Viewer,
        Role::Dashboard,
        provider(),
    ] {
        let ours = permissions(&role, lattice.authority.lattice());
        crate::rules::compare(
            &lattice.server,
            &lattice.authority.credentials(&role),
            &ours,
            &subjects,
        );
    }
}
