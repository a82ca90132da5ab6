//! A lattice under test: a server, hosts, and a control client of 1.x.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, kv::Store};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use wasmcloud_control_interface::{Client, ClientBuilder, CtlResponse, HostInventory, Link};

use crate::events::Events;
use crate::nats_server::NatsServer;
use crate::trellis::{self, Host};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long answers of several hosts are collected: the client always waits for all of it.
const COLLECT: Duration = Duration::from_millis(1_500);
/// How often is looked whether something has come about that nobody announces.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A server, and a client in one lattice on it.
pub(crate) struct Lab {
    pub(crate) nats: NatsServer,
    pub(crate) lattice: &'static str,
    pub(crate) connection: async_nats::Client,
    pub(crate) client: Client,
}

impl Lab {
    /// Starts a server, and no host.
    pub(crate) async fn open(lattice: &'static str) -> Self {
        Self::on(NatsServer::start(), lattice).await
    }

    /// Makes a lattice on a server that runs.
    pub(crate) async fn on(nats: NatsServer, lattice: &'static str) -> Self {
        let connection = async_nats::connect(&nats.url).await.unwrap();
        let client = ClientBuilder::new(connection.clone())
            .lattice(lattice)
            .timeout(PATIENCE)
            .auction_timeout(COLLECT)
            .build();
        Self {
            nats,
            lattice,
            connection,
            client,
        }
    }

    /// Starts a server and one host.
    pub(crate) async fn with_host(lattice: &'static str) -> (Self, Host) {
        let lab = Self::open(lattice).await;
        let host = lab.host(&[]).await;
        (lab, host)
    }

    /// Starts a host, and returns when it has told the lattice that it is there.
    pub(crate) async fn host(&self, labels: &[&str]) -> Host {
        let mut events = self.events().await;
        let host = Host::start(&self.nats.url, self.lattice, labels).await;
        loop {
            if events.next("host_started").await["source"] == host.id.as_str() {
                return host;
            }
        }
    }

    /// Follows all events from now on.
    pub(crate) async fn events(&self) -> Events {
        Events::follow(self).await
    }

    /// Runs a command of ours in the lattice.
    pub(crate) async fn trellis(&self, arguments: &[&str]) -> Value {
        trellis::run(&self.nats.url, self.lattice, arguments).await
    }

    /// Asks on a subject below that of the control interface, with any payload.
    pub(crate) async fn ask(&self, verb: &str, payload: impl Into<Vec<u8>>) -> Value {
        let subject = format!("wasmbus.ctl.v1.{}.{verb}", self.lattice);
        let mut headers = HeaderMap::new();
        headers.insert(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
        let asked = self
            .connection
            .request_with_headers(subject, headers, payload.into().into());
        let answer = timeout(PATIENCE, asked).await.unwrap().unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Opens a bucket as hosts of 1.x name it: `LATTICEDATA` or `CONFIGDATA`.
    pub(crate) async fn bucket(&self, kind: &str) -> Store {
        let jetstream = jetstream::new(self.connection.clone());
        let name = format!("{kind}_{}", self.lattice);
        jetstream.get_key_value(name).await.unwrap()
    }

    /// Returns the text of a key, where it exists.
    pub(crate) async fn stored(&self, kind: &str, key: &str) -> Option<String> {
        let value = self.bucket(kind).await.get(key).await.unwrap();
        value.map(|it| String::from_utf8(it.to_vec()).unwrap())
    }

    pub(crate) async fn inventory(&self, host: &Host) -> HostInventory {
        let answer = self.client.get_host_inventory(&host.id).await.unwrap();
        data(answer)
    }

    pub(crate) async fn links(&self) -> Vec<Link> {
        data(self.client.get_links().await.unwrap())
    }

    /// Starts a component, and returns when a host told that it runs.
    pub(crate) async fn start_component(&self, host: &Host, id: &str, guest_name: &str) {
        let mut events = self.events().await;
        let image = image(guest_name);
        let started = self
            .client
            .scale_component(&host.id, &image, id, 10, None, Vec::new(), false)
            .await;
        succeeds(started, "");
        let scaled = events
            .next_about("component_scaled", "component_id", id)
            .await;
        assert_eq!(scaled["data"]["max_instances"], 10);
    }

    /// Starts an HTTP server, and leads an address to a component.
    pub(crate) async fn serve_http(&self, host: &Host, id: &str) -> String {
        let address = free_address();
        let name = format!("address-of-{id}");
        let entry = std::collections::HashMap::from([("address".to_owned(), address.clone())]);
        succeeds(
            self.client.put_config(&name, entry).await,
            "successfully put config",
        );
        let provider = format!("http-of-{id}");
        let image = "wasmcloud+builtin://http-server";
        let started = self
            .client
            .start_provider(&host.id, image, &provider, None, Vec::new())
            .await;
        succeeds(started, "successfully started provider");
        let link = Link::builder()
            .source_id(&provider)
            .target(id)
            .name("default")
            .wit_namespace("wasi")
            .wit_package("http")
            .interfaces(vec!["incoming-handler".to_owned()])
            .source_config(vec![name])
            .build()
            .unwrap();
        succeeds(self.client.put_link(link).await, "successfully set link");
        address
    }
}

/// Returns the image by which a host finds a component of `examples/`.
pub(crate) fn image(guest_name: &str) -> String {
    format!("file://{}", trellis::guest(guest_name).display())
}

/// Returns a loopback address on which nothing listens. Nothing else of this machine takes it in the moment until a
/// host does, as far as one can tell.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

pub(crate) type Answer<T> = Result<CtlResponse<T>, Box<dyn std::error::Error + Send + Sync>>;

/// Checks a success without data.
#[track_caller]
pub(crate) fn succeeds(answer: Answer<()>, message: &str) {
    let answer = answer.unwrap();
    assert!(answer.succeeded(), "{}", answer.message());
    assert_eq!(answer.message(), message);
    assert!(answer.data().is_none());
}

/// Checks a refusal, and returns its words.
#[track_caller]
pub(crate) fn fails(answer: Answer<()>) -> String {
    let answer = answer.unwrap();
    assert!(!answer.succeeded(), "{}", answer.message());
    assert!(answer.data().is_none());
    answer.message().to_owned()
}

/// Checks a success without words, and returns its data.
#[track_caller]
pub(crate) fn data<T>(answer: CtlResponse<T>) -> T {
    assert!(answer.succeeded(), "{}", answer.message());
    assert_eq!(answer.message(), "");
    answer.into_data().unwrap()
}

pub(crate) fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// Looks until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        sleep(LOOK_INTERVAL).await;
    }
}
