//! A host of a lattice, as its providers meet other hosts: who is served is what the links say.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use trellis_capabilities::keyvalue::{Bucket, BucketName, KeyValueBackend, KeyValueError};
use trellis_control::{
    Client, CloudEvent, ComponentDescription, Config, ConfigName, DeleteLink, Event, EventKind,
    HostId, HostInventory, Link, LinkTier, StartProviderCommand, Subjects, TextMap,
};
use trellis_core::{ComponentId, LatticeName};
use trellis_engine::CallError;
use trellis_gateway::{DrainReport, GatewayLimits, ShutdownTrigger, shutdown_channel};
use trellis_host::twins::{ChannelBody, HttpAnswerer, HttpService, RemoteKeyValue};
use trellis_host::{Host, HostConfig, LogBook, Metrics, Node, NodeConfig};
use trellis_lattice::Lattice;
use trellis_lattice::store::{EmbeddedStore, OpenOptions};
use trellis_node::{Identity, LeasePolicy, Options};
use trellis_tests::NatsServer;

use crate::support::{Peer, connect, ends, eventually, id, within};

/// A host that runs in a lattice, controlled by `client`; and another that only has a transport.
struct Lab {
    host_id: HostId,
    http: SocketAddr,
    metrics: SocketAddr,
    client: Client,
    peer: Peer,
    trigger: ShutdownTrigger,
    running: JoinHandle<DrainReport>,
    _folder: tempfile::TempDir,
    nats: NatsServer,
}

impl Lab {
    async fn start() -> Self {
        let nats = NatsServer::start();
        let folder = tempfile::tempdir().unwrap();
        let http = free_address().await;
        let config = HostConfig {
            data_folder: folder.path().to_owned(),
            cache_folder: None,
            default_http: http,
            gateway_limits: GatewayLimits::default(),
            trusted_peers: Vec::new(),
            guest_memory_bytes_max: None,
        };
        let host = Host::start(config, Vec::new(), &()).await.unwrap();
        let lattice = LatticeName::default();
        let host_id = HostId::new("NHOST").unwrap();
        let (log_book, followed) = LogBook::new(host_id.as_str());
        let metrics = Metrics::serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let metrics = metrics.await.unwrap();
        let url = metrics.url();
        let metrics_address = url
            .trim_start_matches("http://")
            .trim_end_matches("/metrics");
        let metrics_address = metrics_address.parse().unwrap();
        let store = OpenOptions::new(folder.path().join("state.redb"));
        let node = Node::join(
            host,
            NodeConfig {
                identity: Identity {
                    host_id: host_id.clone(),
                    friendly_name: "host".to_owned(),
                    labels: TextMap::new(),
                    version: "0.0.0".to_owned(),
                    lattice: lattice.clone(),
                    ctl_host: None,
                    rpc_host: None,
                    js_domain: None,
                },
                options: Options {
                    lease: LeasePolicy::NotUsed,
                    ..Options::default()
                },
                lattice: connect(&nats).await,
                recollection: None,
                metrics: Some(metrics),
                store: Arc::new(EmbeddedStore::open(store).unwrap()),
                subjects: Subjects::new(&lattice),
                log_book,
                followed,
            },
        )
        .await
        .unwrap();
        let (trigger, shutdown) = shutdown_channel();
        let peer = Peer::start(&nats, "peer").await;
        Self {
            host_id,
            http,
            metrics: metrics_address,
            client: Client::new(peer.lattice.clone()),
            peer,
            trigger,
            running: tokio::spawn(node.run(shutdown, |_| ())),
            _folder: folder,
            nats,
        }
    }

    async fn start_provider(&self, provider: &str, image: &str) {
        let command = StartProviderCommand {
            provider_id: provider.to_owned(),
            provider_ref: image.to_owned(),
            ..StartProviderCommand::default()
        };
        // The host refuses until it has joined.
        eventually(async || {
            let started = self.client.start_provider(&self.host_id, command.clone());
            started.await.ok()
        })
        .await;
    }

    /// Opens the bucket of a link at the provider `kv`, as a component elsewhere does.
    fn bucket_of(&self, source: &str) -> Arc<dyn Bucket> {
        let remote = RemoteKeyValue::new(self.peer.client.clone(), ends(source, "kv")).unwrap();
        let name = BucketName::new(&id("kv"), "default").unwrap();
        remote.bucket(&name).unwrap()
    }

    async fn stop(self) {
        self.trigger.drain();
        within(self.running).await.unwrap();
    }
}

/// Finds an address that nobody listens on at the moment.
async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

fn link(source: &str, target: &str, (package, interface): (&str, &str)) -> Link {
    Link {
        source_id: source.to_owned(),
        target: target.to_owned(),
        wit_namespace: "wasi".to_owned(),
        wit_package: package.to_owned(),
        interfaces: vec![interface.to_owned()],
        ..Link::default()
    }
}

/// Returns what is answered at `path`.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Posts a body and returns status and body of the answer; none where nobody listens yet.
async fn post(address: SocketAddr, body: &str) -> Option<(u16, String)> {
    let mut connection = TcpStream::connect(address).await.ok()?;
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    Some((status.parse().unwrap(), body.to_owned()))
}

/// A component elsewhere.
struct Shop;

impl HttpAnswerer for Shop {
    type Body = Full<Bytes>;

    async fn answer(
        &self,
        request: Request<ChannelBody>,
    ) -> Result<Response<Full<Bytes>>, CallError> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Ok(Response::new(Full::from(text.to_uppercase())))
    }
}

/// Publishes heartbeats of another host, more than anybody can read.
async fn flood(lattice: Lattice) {
    let component = |number| ComponentDescription {
        id: format!("component-{number}"),
        ..ComponentDescription::default()
    };
    let inventory = HostInventory {
        host_id: "NFLOOD".to_owned(),
        components: (0..100).map(component).collect(),
        ..HostInventory::default()
    };
    let source = HostId::new("NFLOOD").unwrap();
    let event = CloudEvent::now(&source, Event::HostHeartbeat(inventory)).encode();
    let subject = Subjects::new(&LatticeName::default()).event(EventKind::HostHeartbeat);
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    loop {
        pace.tick().await;
        for _ in 0..32 {
            let published = lattice.publish(&subject, None, event.clone());
            published.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_flood_of_news_does_not_keep_a_host_from_its_clock() {
    let lab = Lab::start().await;
    let flooding = tokio::spawn(flood(connect(&lab.nats).await));
    // What is told is of the last tick; to ask the host itself would wake it.
    let age = async || {
        let text = get(lab.metrics, "/metrics").await;
        let line = text
            .lines()
            .find_map(|it| it.strip_prefix("trellis_host_mode_age_seconds "));
        line.unwrap().parse::<f64>().unwrap()
    };
    let begin = age().await;
    eventually(async || (age().await > begin + 2.0).then_some(())).await;
    flooding.abort();
    lab.stop().await;
}

#[tokio::test]
async fn an_http_server_reaches_a_component_elsewhere() {
    let lab = Lab::start().await;
    lab.start_provider("web", "builtin:http-server").await;
    let link = link("web", "shop", ("http", "incoming-handler"));
    lab.client.put_link(&link).await.unwrap();
    // The target runs nowhere: an answer at once, and a status that says so.
    let (status, _) = eventually(async || post(lab.http, "apples").await).await;
    assert_eq!(status, 503);
    let links = lab.client.status(&lab.host_id).await.unwrap().links;
    let found = links.iter().find(|it| it.target == "shop").unwrap();
    assert_eq!((&*found.source_id, found.tier), ("web", LinkTier::Remote));

    let (lattice, shop) = (LatticeName::default(), id("shop"));
    let service = HttpService::open(&lab.peer.server, &lattice, &shop, Shop).await;
    lab.peer.transport.settle().await.unwrap();
    let answer = within(post(lab.http, "apples")).await;
    assert_eq!(answer, Some((200, "APPLES".to_owned())));
    service.unwrap().unwrap().leave().await;
    let (status, _) = within(post(lab.http, "apples")).await.unwrap();
    assert_eq!(status, 503);
    lab.stop().await;
}

#[tokio::test]
async fn an_http_server_whose_port_is_taken_serves_once_it_is_free() {
    let lab = Lab::start().await;
    let taken = TcpListener::bind(lab.http).await.unwrap();
    lab.start_provider("web", "builtin:http-server").await;
    let link = link("web", "shop", ("http", "incoming-handler"));
    lab.client.put_link(&link).await.unwrap();
    let why = async || {
        let providers = lab.client.status(&lab.host_id).await.unwrap().providers;
        let web = providers.into_iter().find(|it| it.id == "web")?;
        Some(web.why)
    };
    let why_not = eventually(async || why().await.flatten()).await;
    assert!(why_not.contains("is in use"), "{why_not}");
    drop(taken);
    // Nothing runs behind it, which is an answer all the same.
    let (status, _) = eventually(async || post(lab.http, "apples").await).await;
    assert_eq!(status, 503);
    eventually(async || why().await.filter(Option::is_none)).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_key_value_provider_answers_whom_a_link_admits() {
    let lab = Lab::start().await;
    lab.start_provider("kv", "builtin:keyvalue-memory").await;
    let (shop, thief) = (lab.bucket_of("shop"), lab.bucket_of("thief"));
    let denied = Some(KeyValueError::AccessDenied);
    // Nobody is admitted before there is a link.
    let first = eventually(async || match shop.exists("n").await.err() {
        Some(KeyValueError::Provider { .. }) => None, // not served yet
        other => Some(other),
    })
    .await;
    assert_eq!(first, denied);

    let name = ConfigName::new("carts").unwrap();
    let carts = Config::from([("bucket".to_owned(), "carts".to_owned())]);
    lab.client.put_config(&name, &carts).await.unwrap();
    let link = Link {
        target_config: vec!["carts".to_owned()],
        ..link("shop", "kv", ("keyvalue", "store"))
    };
    lab.client.put_link(&link).await.unwrap();
    eventually(async || shop.set("n".to_owned(), Bytes::from("1")).await.ok()).await;
    assert_eq!(shop.get("n").await, Ok(Some(Bytes::from("1"))));
    assert_eq!(thief.get("n").await.err(), denied);
    assert_eq!(shop.increment("n".to_owned(), 1).await.err(), denied);

    let deletion = DeleteLink {
        source_id: "shop".to_owned(),
        name: link.name.clone(),
        wit_namespace: "wasi".to_owned(),
        wit_package: "keyvalue".to_owned(),
        target: None,
    };
    lab.client.delete_link(&deletion).await.unwrap();
    let lost = eventually(async || shop.get("n").await.err()).await;
    assert_eq!(Some(lost), denied);
    let kv: ComponentId = id("kv");
    lab.client.stop_provider(&lab.host_id, &kv).await.unwrap();
    eventually(async || match shop.get("n").await {
        Err(KeyValueError::Provider { message }) => Some(message),
        _ => None,
    })
    .await;
    lab.stop().await;
}
