//! Every method of the client, against a host that listens on a real server.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use trellis_control::{
    Answer, CallCommand, CallResult, Client, ComponentAuctionAck, ComponentAuctionRequest,
    ComponentExports, ConfigName, CtlResponse, DeleteLink, DoctorReport, DrainAction, DrainCommand,
    DrainState, Host, HostInventory, HostMode, HostStatus, Label, LabelKey, LogTail,
    ProviderAuctionAck, ProviderAuctionRequest, RegistryCredential, Request, ScaleComponentCommand,
    StartProviderCommand, StopHostCommand, StopProviderCommand, TailCommand, TextMap, Timing,
    UpdateComponentCommand, encode, success,
};
use trellis_core::ComponentId;
use trellis_tests::NatsServer;

use crate::fake_host::FakeHost;
use crate::support::{connect, host, link, text, text_map};

fn status() -> HostStatus {
    HostStatus {
        host_id: text("NCEX"),
        friendly_name: text("quiet-lake-1234"),
        version: text("0.1.0"),
        labels: TextMap::new(),
        mode: HostMode::Joined,
        since: "2026-01-05T10:11:12Z".parse().unwrap(),
        why: text("started"),
        uptime_seconds: 3,
        components: Vec::new(),
        providers: Vec::new(),
        links: Vec::new(),
    }
}

fn inventory() -> HostInventory {
    HostInventory {
        host_id: text("NCEX"),
        ..HostInventory::default()
    }
}

/// A host that does all it is told.
fn willing(request: &Request) -> Option<Bytes> {
    let done = |words: &str| Some(encode(&CtlResponse::done(words)));
    match request {
        Request::HostPing => Some(encode(&CtlResponse::data(Host {
            id: text("NCEX"),
            ..Host::default()
        }))),
        Request::HostGet => Some(encode(&CtlResponse::data(inventory()))),
        Request::ComponentAuction(it) => Some(encode(&CtlResponse::data(ComponentAuctionAck {
            component_id: it.component_id.clone(),
            host_id: text("NCEX"),
            ..ComponentAuctionAck::default()
        }))),
        Request::ProviderAuction(it) => Some(encode(&CtlResponse::data(ProviderAuctionAck {
            provider_id: it.provider_id.clone(),
            host_id: text("NCEX"),
            ..ProviderAuctionAck::default()
        }))),
        Request::LinkGet => Some(encode(&CtlResponse::data(vec![link()]))),
        Request::ClaimsGet => Some(encode(&CtlResponse::data(vec![text_map([("sub", "M")])]))),
        Request::ConfigGet(name) if name.as_str() == "none" => done(success::CONFIG_ABSENT),
        Request::ConfigGet(_) => Some(encode(&CtlResponse::data(text_map([("a", "1")])))),
        Request::Status => Some(encode(&Answer::Ok(status()))),
        Request::Drain(_) => Some(encode(&Answer::Ok(DrainState {
            mode: HostMode::Draining,
            calls_in_flight: 2,
        }))),
        Request::Doctor => Some(encode(&Answer::Ok(DoctorReport::default()))),
        Request::Call(_) => Some(encode(&Answer::Ok(CallResult::default()))),
        Request::Describe(_) => Some(encode(&Answer::Ok(ComponentExports::default()))),
        Request::Tail(_) => Some(encode(&Answer::Ok(LogTail::default()))),
        Request::RegistryPut(_) => None,
        _ => done("done"),
    }
}

#[tokio::test]
async fn commands_to_a_host_arrive_with_its_id() {
    let server = NatsServer::start();
    let fake = FakeHost::start(connect(&server).await, "NCEX", willing).await;
    let client = Client::new(connect(&server).await);
    let scale = ScaleComponentCommand {
        component_id: text("cart"),
        component_ref: text("reg.local/cart:1"),
        count: 3,
        ..ScaleComponentCommand::default()
    };
    let update = UpdateComponentCommand {
        component_id: text("cart"),
        new_component_ref: text("reg.local/cart:2"),
        ..UpdateComponentCommand::default()
    };
    let start = StartProviderCommand {
        provider_id: text("kv"),
        provider_ref: text("reg.local/kv:1"),
        ..StartProviderCommand::default()
    };
    let label = Label {
        key: text("zone"),
        value: text("a"),
    };
    let key = LabelKey { key: text("zone") };
    let kv = ComponentId::new("kv").unwrap();
    let patience = Some(Duration::from_millis(1_500));
    let answers = [
        client.scale_component(&host(), scale.clone()).await,
        client.update_component(&host(), update.clone()).await,
        client.start_provider(&host(), start.clone()).await,
        client.stop_provider(&host(), &kv).await,
        client.put_label(&host(), &label).await,
        client.delete_label(&host(), &key).await,
        client.stop_host(&host(), patience).await,
    ];
    for answer in answers {
        assert_eq!(answer, Ok(text("done")));
    }
    let host_id = text("NCEX");
    assert_eq!(
        fake.asked(),
        [
            Request::ComponentScale(ScaleComponentCommand {
                host_id: host_id.clone(),
                ..scale
            }),
            Request::ComponentUpdate(UpdateComponentCommand {
                host_id: host_id.clone(),
                ..update
            }),
            Request::ProviderStart(StartProviderCommand {
                host_id: host_id.clone(),
                ..start
            }),
            Request::ProviderStop(StopProviderCommand {
                host_id: host_id.clone(),
                provider_id: text("kv"),
            }),
            Request::LabelPut(label),
            Request::LabelDelete(key),
            Request::HostStop(StopHostCommand {
                host_id,
                timeout: Some(1_500),
            }),
        ]
    );
    assert_eq!(client.host_inventory(&host()).await, Ok(inventory()));
}

#[tokio::test]
async fn the_state_of_the_lattice_is_asked_of_one_host_only() {
    let server = NatsServer::start();
    let fakes = [
        FakeHost::start(connect(&server).await, "NCEX", willing).await,
        FakeHost::start(connect(&server).await, "NTWO", willing).await,
    ];
    let client = Client::new(connect(&server).await);
    let deletion = DeleteLink {
        source_id: text("cart"),
        name: text("default"),
        wit_namespace: text("wasi"),
        wit_package: text("keyvalue"),
        target: Some(text("kv")),
    };
    let (name, none) = (
        ConfigName::new("kv-settings").unwrap(),
        ConfigName::new("none").unwrap(),
    );
    let values = text_map([("a", "1")]);
    assert_eq!(client.put_link(&link()).await, Ok(text("done")));
    assert_eq!(client.delete_link(&deletion).await, Ok(text("done")));
    assert_eq!(client.links().await, Ok(vec![link()]));
    assert_eq!(client.claims().await, Ok(vec![text_map([("sub", "M")])]));
    assert_eq!(client.put_config(&name, &values).await, Ok(text("done")));
    assert_eq!(client.config(&name).await, Ok(Some(values.clone())));
    assert_eq!(client.config(&none).await, Ok(None));
    assert_eq!(client.delete_config(&name).await, Ok(text("done")));
    let asked: Vec<Request> = fakes.iter().flat_map(FakeHost::asked).collect();
    assert_eq!(asked.len(), 8, "{asked:?}");
    assert!(asked.contains(&Request::LinkPut(link())));
    assert!(asked.contains(&Request::LinkDelete(deletion)));
    assert!(asked.contains(&Request::ConfigPut {
        name,
        bytes: encode(&values),
        values,
    }));
}

#[tokio::test]
async fn what_only_we_have() {
    let server = NatsServer::start();
    let _fake = FakeHost::start(connect(&server).await, "NCEX", willing).await;
    let client = Client::new(connect(&server).await);
    let host = host();
    let drain = DrainCommand {
        action: DrainAction::Drain,
        timeout_ms: None,
    };
    let call = CallCommand {
        component_id: text("cart"),
        function: text("run"),
        ..CallCommand::default()
    };
    let cart = ComponentId::new("cart").unwrap();
    let drained = client
        .drain(&host, &drain)
        .await
        .map(|it| it.calls_in_flight);
    assert_eq!(client.status(&host).await, Ok(status()));
    assert_eq!(drained, Ok(2));
    assert_eq!(client.doctor(&host).await, Ok(DoctorReport::default()));
    assert_eq!(client.call(&host, &call).await, Ok(CallResult::default()));
    assert_eq!(
        client.describe(&host, &cart).await,
        Ok(ComponentExports::default())
    );
    assert_eq!(
        client.tail(&host, &TailCommand::default()).await,
        Ok(LogTail::default())
    );
}

/// A host that is there but does not bid, and whose inventory nobody can read.
fn unwilling(request: &Request) -> Option<Bytes> {
    match request {
        Request::HostPing => Some(encode(&CtlResponse::data(Host {
            id: text("NTWO"),
            ..Host::default()
        }))),
        Request::HostGet => Some(Bytes::from_static(b"[]")),
        _ => None,
    }
}

#[tokio::test]
async fn all_hosts_answer_a_ping_and_give_their_inventories() {
    let server = NatsServer::start();
    let _willing = FakeHost::start(connect(&server).await, "NCEX", willing).await;
    let _unwilling = FakeHost::start(connect(&server).await, "NTWO", unwilling).await;
    let client = Client::new(connect(&server).await);
    let hosts = client.hosts().await.unwrap();
    let mut ids: Vec<_> = hosts.answers.iter().map(|it| it.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["NCEX", "NTWO"]);
    let inventories = client.inventories().await.unwrap();
    assert_eq!(inventories.answers, [inventory()]);
    assert_eq!(inventories.failures.len(), 1);
    let failure = inventories.failures[0].to_string();
    assert!(failure.contains("host NTWO in lattice shop"), "{failure}");
}

#[tokio::test]
async fn an_auction_ends_when_as_many_bid_as_there_are() {
    let server = NatsServer::start();
    let _willing = FakeHost::start(connect(&server).await, "NCEX", willing).await;
    let _unwilling = FakeHost::start(connect(&server).await, "NTWO", unwilling).await;
    let component = ComponentAuctionRequest {
        component_id: text("cart"),
        ..ComponentAuctionRequest::default()
    };
    let provider = ProviderAuctionRequest {
        provider_id: text("kv"),
        constraints: BTreeMap::new(),
        ..ProviderAuctionRequest::default()
    };
    let endless = Timing {
        auction: Duration::from_secs(3_600),
        ..Timing::default()
    };
    let client = Client::new(connect(&server).await).with_timing(endless);
    let bids = client.auction_component(&component, Some(1)).await.unwrap();
    assert_eq!(bids.answers[0].component_id, "cart");
    let bids = client.auction_provider(&provider, Some(1)).await.unwrap();
    assert_eq!(bids.answers[0].provider_id, "kv");
    // One of two stays silent, so the window has to pass.
    let short = Timing {
        auction: Duration::from_millis(200),
        ..Timing::default()
    };
    let client = client.with_timing(short);
    let bids = client.auction_component(&component, Some(2)).await.unwrap();
    assert_eq!((bids.answers.len(), bids.failures.len()), (1, 0));
}

#[tokio::test]
async fn registry_credentials_reach_every_host() {
    let server = NatsServer::start();
    let fakes = [
        FakeHost::start(connect(&server).await, "NCEX", willing).await,
        FakeHost::start(connect(&server).await, "NTWO", willing).await,
    ];
    let client = Client::new(connect(&server).await);
    let credential = RegistryCredential {
        password: Some(text("pw")),
        token: None,
        username: Some(text("bob")),
        registry_type: text("oci"),
    };
    let registries = BTreeMap::from([(text("reg.local:5000"), credential)]);
    client.put_registries(&registries).await.unwrap();
    for fake in fakes {
        fake.heard(&Request::RegistryPut(registries.clone())).await;
    }
}

#[tokio::test]
async fn another_prefix_is_another_control_interface() {
    let server = NatsServer::start();
    let _fake = FakeHost::start(connect(&server).await, "NCEX", willing).await;
    let client = Client::new(connect(&server).await);
    let other = client.clone().with_prefix("my.own").unwrap();
    assert!(client.links().await.is_ok());
    assert!(other.links().await.is_err());
    assert!(client.with_prefix("my own").is_err());
}
