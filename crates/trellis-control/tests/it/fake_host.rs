//! A host that runs nothing: it listens where hosts listen, decodes as hosts decode, answers what the
//! test says, and remembers what it was asked.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::select_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trellis_control::{Auctions, CtlResponse, DecodeError, HostId, Request, Subjects, encode};
use trellis_lattice::Lattice;

/// What to answer; `None` is silence.
pub(crate) type Answer = fn(&Request) -> Option<Bytes>;

pub(crate) struct FakeHost {
    asked: watch::Receiver<Vec<Result<Request, DecodeError>>>,
    task: JoinHandle<()>,
}

impl FakeHost {
    pub(crate) async fn start(lattice: Lattice, id: &str, answer: Answer) -> Self {
        let subjects = Subjects::new(lattice.name());
        let auctions = Auctions {
            component: true,
            provider: true,
        };
        let mut subscriptions = Vec::new();
        for it in subjects.host_subscriptions(&HostId::new(id).unwrap(), auctions) {
            subscriptions.push(match it.queue_group {
                Some(group) => lattice.queue_subscribe(&it.subject, &group).await.unwrap(),
                None => lattice.subscribe(&it.subject).await.unwrap(),
            });
        }
        lattice.flush().await.unwrap();
        let (remembered, asked) = watch::channel(Vec::new());
        let mut messages = select_all(subscriptions);
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let request = Request::decode(&subjects, &message.subject, &message.payload);
                let reply = match &request {
                    Ok(request) => answer(request),
                    Err(error) => Some(encode(&CtlResponse::<()>::failure(error.message()))),
                };
                remembered.send_modify(|it| it.push(request));
                if let (Some(subject), Some(reply)) = (message.reply, reply) {
                    lattice.publish(&subject, None, reply).await.unwrap();
                }
            }
        });
        Self { asked, task }
    }

    /// What it was asked up to now.
    pub(crate) fn asked(&self) -> Vec<Request> {
        let asked = self.asked.borrow();
        asked.iter().map(|it| it.clone().unwrap()).collect()
    }

    /// Waits until it was asked this.
    pub(crate) async fn heard(&self, request: &Request) {
        let mut asked = self.asked.clone();
        let heard = |it: &Result<Request, DecodeError>| it.as_ref() == Ok(request);
        asked.wait_for(|all| all.iter().any(heard)).await.unwrap();
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}
