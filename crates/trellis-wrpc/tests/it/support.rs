//! What the tests share: hosts, functions, and a listener that counts messages.

use std::time::Duration;

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use trellis_core::ErrorClass;
use trellis_tests::NatsServer;
use trellis_wrpc::{
    CallError, CallOptions, Client, Config, Export, Handler, Invocation, Reply, Served, Server,
    ServerConfig, Target, Transport,
};

pub(crate) const INSTANCE: &str = "acme:demo/iface@0.1.0";
pub(crate) const MIB: usize = 1 << 20;

/// Connects to `nats`.
pub(crate) async fn connect(nats: &NatsServer) -> async_nats::Client {
    async_nats::connect(nats.url()).await.unwrap()
}

/// One host: a connection with a client and a server.
pub(crate) struct Host {
    pub(crate) transport: Transport,
    pub(crate) client: Client,
    pub(crate) server: Server,
    served: Vec<Served>,
}

impl Host {
    pub(crate) async fn start(nats: &NatsServer, id: &str) -> Self {
        Self::with(nats, Config::new(id), ServerConfig::default()).await
    }

    pub(crate) async fn with(nats: &NatsServer, config: Config, server: ServerConfig) -> Self {
        let transport = Transport::open(connect(nats).await, config).await.unwrap();
        Self {
            client: Client::new(&transport),
            server: Server::new(&transport, server),
            transport,
            served: Vec::new(),
        }
    }

    pub(crate) async fn serve(&mut self, function: &str, handler: impl Handler) {
        let export = Export::new("lat", "comp", INSTANCE, function).unwrap();
        let served = self.server.serve(&export, handler).await.unwrap();
        self.served.push(served);
        self.transport.settle().await.unwrap();
    }

    /// Serves every function to those who mean the host of this id and no other.
    pub(crate) async fn serve_at(&mut self, id: &str, handler: impl Handler) {
        let export = Export::all_at("lat", "comp", id).unwrap();
        let served = self.server.serve(&export, handler).await.unwrap();
        self.served.push(served);
        self.transport.settle().await.unwrap();
    }

    pub(crate) async fn call(
        &self,
        function: &str,
        params: &'static str,
    ) -> Result<Bytes, CallError> {
        let params = Bytes::from_static(params.as_bytes());
        self.client.call(&target(function), params, soon()).await
    }

    /// Waits until no call is open, as it must be when all is done.
    pub(crate) async fn is_idle(&self) {
        within(async {
            while self.transport.calls_open() > 0 || self.server.calls() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

pub(crate) fn target(function: &str) -> Target {
    Target::new("lat", "comp", INSTANCE, function).unwrap()
}

/// Options of a call that must be done in time for a test.
pub(crate) fn soon() -> CallOptions {
    CallOptions::new(Duration::from_secs(20))
}

/// A test that waits for ever is a failed one.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(40), work)
        .await
        .expect("it takes too long")
}

pub(crate) async fn echo(invocation: Invocation) -> Result<Reply, CallError> {
    Ok(Reply::value(invocation.params().await?))
}

pub(crate) fn class(result: Result<Bytes, CallError>) -> ErrorClass {
    result.expect_err("the call succeeded").class()
}

/// Hears everything that calls send. It counts as someone who serves: not for calls to nobody.
pub(crate) struct Listener {
    nats: async_nats::Client,
    calls: Subscriber,
    inboxes: Subscriber,
}

impl Listener {
    pub(crate) async fn start(nats: &NatsServer) -> Self {
        let nats = connect(nats).await;
        let calls = nats.subscribe("lat.>").await.unwrap();
        let inboxes = nats.subscribe("_INBOX.>").await.unwrap();
        let listener = Self {
            nats,
            calls,
            inboxes,
        };
        round_trip(&listener.nats).await;
        listener
    }

    /// Returns what was heard, without the hosts' signs of life.
    pub(crate) async fn heard(mut self, hosts: &[&Host]) -> Vec<Message> {
        for host in hosts {
            host.transport.settle().await.unwrap();
        }
        round_trip(&self.nats).await;
        self.calls.unsubscribe().await.unwrap();
        self.inboxes.unsubscribe().await.unwrap();
        let mut all: Vec<Message> = self.calls.collect().await;
        all.extend(self.inboxes.collect::<Vec<_>>().await);
        all.retain(|message| !is_sign_of_life(message));
        all
    }
}

/// A round trip: the server has seen everything that this connection sent, subscriptions included, and
/// has sent it everything before. A flush is less: it fills the socket.
pub(crate) async fn round_trip(nats: &async_nats::Client) {
    let inbox = nats.new_inbox().replace("_INBOX", "ping");
    let mut pong = nats.subscribe(inbox.clone()).await.unwrap();
    nats.publish(inbox, Bytes::new()).await.unwrap();
    pong.next().await.unwrap();
}

fn is_sign_of_life(message: &Message) -> bool {
    let settles = message.subject.ends_with(".params")
        && message.payload.is_empty()
        && message.headers.as_ref().is_some_and(|headers| {
            headers
                .get("trellis-wrpc")
                .is_some_and(|note| note.as_str() == "1 end")
        });
    message.subject.ends_with(".beat") || settles
}
