//! Answers as hosts do, with the types of the control interface, where a test is about what a command
//! asks and says. It runs nothing; what a host does is tested with a real one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::select_all;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use trellis_control::{
    Auctions, CloudEvent, CtlResponse, Event, HostId, Request, Subjects, encode,
};
use trellis_core::LatticeName;
use trellis_lattice::{Lattice, Settings};
use trellis_tests::NatsServer;

/// What a host says to a request.
#[derive(Default)]
pub(crate) struct Said {
    reply: Option<Bytes>,
    event: Option<Event>,
}

impl Said {
    /// Nothing.
    pub(crate) fn silence() -> Self {
        Self::default()
    }

    /// A reply.
    pub(crate) fn reply<T: serde::Serialize>(reply: &T) -> Self {
        Self {
            reply: Some(encode(reply)),
            event: None,
        }
    }

    /// And then an event.
    pub(crate) fn and(self, event: Event) -> Self {
        Self {
            event: Some(event),
            ..self
        }
    }
}

/// What the host with this id says to a request.
pub(crate) type Answer = fn(&str, &Request) -> Said;

/// A server, and hosts that answer on it.
pub(crate) struct Responder {
    pub(crate) server: NatsServer,
    pub(crate) runtime: Runtime,
    asked: watch::Receiver<Vec<(String, Request)>>,
}

type Remembered = Arc<watch::Sender<Vec<(String, Request)>>>;

impl Responder {
    /// Lets hosts with these ids answer in the lattice `shop`.
    pub(crate) fn start(ids: &[&str], answer: Answer) -> Self {
        let server = NatsServer::start();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (remembered, asked) = watch::channel(Vec::new());
        let remembered = Arc::new(remembered);
        for id in ids {
            let remembered = Arc::clone(&remembered);
            runtime.block_on(answer_as(&server, id, answer, remembered));
        }
        Self {
            server,
            runtime,
            asked,
        }
    }

    /// Returns what hosts were asked, with the host.
    pub(crate) fn asked(&self) -> Vec<(String, Request)> {
        self.asked.borrow().clone()
    }

    /// Connects as somebody else does.
    pub(crate) fn connect(&self) -> Lattice {
        self.runtime.block_on(connect(&self.server))
    }
}

/// Connects to the lattice `shop` on `server`.
async fn connect(server: &NatsServer) -> Lattice {
    let lattice = LatticeName::new("shop").unwrap();
    let settings = Settings::new(lattice, [server.url()]);
    trellis_lattice::connect(settings).await.unwrap()
}

async fn answer_as(server: &NatsServer, id: &str, answer: Answer, remembered: Remembered) {
    let lattice = connect(server).await;
    let id = HostId::new(id).unwrap();
    let subjects = Subjects::new(lattice.name());
    let auctions = Auctions {
        component: true,
        provider: true,
    };
    let mut subscriptions = Vec::new();
    for it in subjects.host_subscriptions(&id, auctions) {
        subscriptions.push(match it.queue_group {
            Some(group) => lattice.queue_subscribe(&it.subject, &group).await.unwrap(),
            None => lattice.subscribe(&it.subject).await.unwrap(),
        });
    }
    lattice.flush().await.unwrap();
    tokio::spawn(async move {
        let mut messages = select_all(subscriptions);
        while let Some(message) = messages.next().await {
            let request = Request::decode(&subjects, &message.subject, &message.payload);
            let said = match &request {
                Ok(request) => answer(id.as_str(), request),
                Err(error) => Said::reply(&CtlResponse::<()>::failure(error.message())),
            };
            if let Ok(request) = request {
                remembered.send_modify(|it| it.push((id.to_string(), request)));
            }
            if let (Some(subject), Some(reply)) = (message.reply, said.reply) {
                lattice.publish(&subject, None, reply).await.unwrap();
            }
            if let Some(event) = said.event {
                publish(&lattice, &id, event).await;
            }
        }
    });
}

/// Publishes an event of the host `id`.
pub(crate) async fn publish(lattice: &Lattice, id: &HostId, event: Event) {
    let subject = Subjects::new(lattice.name()).event(event.kind().unwrap());
    let event = CloudEvent::now(id, event);
    lattice
        .publish(&subject, None, event.encode())
        .await
        .unwrap();
    lattice.flush().await.unwrap();
}
