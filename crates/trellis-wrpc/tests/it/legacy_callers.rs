//! Hand-made callers of 1.x against our server.

use std::sync::Arc;

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::Notify;
use trellis_core::ErrorClass;
use trellis_tests::NatsServer;
use trellis_wrpc::{CallError, IndexPath, Invocation, Reply};

use crate::support::{Host, Listener, MIB, connect, echo, target, within};

/// One call, made by hand: M1 and whatever comes to its inbox.
struct Raw {
    nats: async_nats::Client,
    subject: String,
    inbox: Subscriber,
}

impl Raw {
    /// Sends M1.
    async fn call(nats: &NatsServer, function: &str, params: impl Into<Bytes>) -> Self {
        let nats = connect(nats).await;
        let base = nats.new_inbox();
        let inbox = nats.subscribe(format!("{base}.>")).await.unwrap();
        let subject = format!("{base}.call");
        let to = target(function).subject().to_owned();
        nats.publish_with_reply(to, subject.clone(), params.into())
            .await
            .unwrap();
        Self {
            nats,
            subject,
            inbox,
        }
    }

    async fn next(&mut self) -> Message {
        let message = within(self.inbox.next()).await.unwrap();
        assert!(message.headers.is_none(), "a header for a peer of 1.x");
        message
    }

    /// Receives M2. Returns where to send to.
    async fn accepted(&mut self) -> String {
        let message = self.next().await;
        assert_eq!(message.subject.as_str(), self.subject);
        assert!(message.payload.is_empty());
        message.reply.unwrap().into_string()
    }

    async fn send(&self, to: String, payload: impl Into<Bytes>) {
        self.nats.publish(to, payload.into()).await.unwrap();
    }

    /// Receives one message of a channel.
    async fn receive(&mut self, channel: &str) -> Bytes {
        let message = self.next().await;
        assert_eq!(
            message.subject.as_str(),
            format!("{}.{channel}", self.subject)
        );
        message.payload
    }

    async fn settle(&mut self) {
        let subject = self.nats.new_inbox().replace("_INBOX", "ping");
        let mut pong = self.nats.subscribe(subject.clone()).await.unwrap();
        self.nats.publish(subject, Bytes::new()).await.unwrap();
        pong.next().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unary_call_takes_four_messages() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    // A decoder that sees that nothing is missing, as the host has one for each function.
    host.serve("echo", |invocation: Invocation| async move {
        let is_string = |bytes: &[u8]| bytes.first().is_some_and(|n| bytes.len() > *n as usize);
        Ok(Reply::value(invocation.params_until(is_string).await?))
    })
    .await;
    let listener = Listener::start(&nats).await;
    let mut raw = Raw::call(&nats, "echo", "\x02hi").await;
    let server = raw.accepted().await;
    raw.send(format!("{server}.params"), "").await;
    assert_eq!(raw.receive("results").await, "\x02hi");
    raw.settle().await;
    assert_eq!(listener.heard(&[&host]).await.len(), 4);
    host.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_wants_the_end_of_the_parameters_gets_it() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    host.serve("echo", echo).await;
    for params in ["x", ""] {
        let mut raw = Raw::call(&nats, "echo", params).await;
        let server = raw.accepted().await;
        raw.send(format!("{server}.params"), "").await;
        assert_eq!(raw.receive("results").await, params); // an empty result is M5 alone
        raw.settle().await;
    }
    host.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_without_parameters_runs_before_their_end() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    host.serve("now", |_: Invocation| async { Ok(Reply::value("\x07")) })
        .await;
    let mut raw = Raw::call(&nats, "now", "").await;
    raw.accepted().await;
    assert_eq!(raw.receive("results").await, "\x07");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_values_are_cut() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    host.serve("echo", echo).await;
    let big = (0..5 * MIB / 2)
        .map(|i| (i % 251) as u8)
        .collect::<Vec<_>>();
    let mut raw = Raw::call(&nats, "echo", big[..MIB - 100].to_vec()).await;
    let server = raw.accepted().await;
    for piece in big[MIB - 100..].chunks(MIB) {
        raw.send(format!("{server}.params"), piece.to_vec()).await;
    }
    raw.send(format!("{server}.params"), "").await;
    raw.send(format!("{server}.params"), "").await;
    let mut all = Vec::new();
    loop {
        let piece = raw.receive("results").await;
        if piece.is_empty() {
            break;
        }
        all.extend_from_slice(&piece);
    }
    assert!(all == big);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_closes_the_channel() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    host.serve("fail", |_: Invocation| async {
        Err(CallError::new(ErrorClass::Trap, "unreachable executed"))
    })
    .await;
    let mut raw = Raw::call(&nats, "fail", "x").await;
    raw.accepted().await;
    assert_eq!(raw.receive("results").await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_call_is_accepted_before_its_answer() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    let go = Arc::new(Notify::new());
    let go2 = go.clone();
    host.serve("long", move |_: Invocation| {
        let go = go2.clone();
        async move {
            go.notified().await;
            Ok(Reply::value("done"))
        }
    })
    .await;
    let mut raw = Raw::call(&nats, "long", "x").await;
    raw.accepted().await;
    go.notify_one();
    assert_eq!(raw.receive("results").await, "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_go_both_ways() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    host.serve("pipe", |invocation: Invocation| async move {
        let mut from = invocation.param_reader(IndexPath::new(&[1]));
        let mut to = invocation.result_writer(IndexPath::new(&[0]))?;
        Ok(Reply::with_rest("\x00", async move {
            while let Some(bytes) = from.next().await? {
                to.write(bytes).await?;
            }
            to.finish().await
        }))
    })
    .await;
    let mut raw = Raw::call(&nats, "pipe", "\x09\x00").await;
    let server = raw.accepted().await;
    assert_eq!(raw.receive("results").await, "\x00");
    for piece in ["\x03aaa", "\x03bbb\x00", ""] {
        raw.send(format!("{server}.params.1"), piece).await;
        assert_eq!(raw.receive("results.0").await, piece);
    }
    raw.send(format!("{server}.params"), "").await;
    raw.settle().await;
    host.is_idle().await;
}
