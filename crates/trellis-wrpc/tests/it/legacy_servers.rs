//! Our client against hand-made servers of 1.x, which know nothing of the extension.

use async_nats::{Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use trellis_core::ErrorClass;
use trellis_tests::NatsServer;
use trellis_wrpc::{AcceptedBy, CallOptions, IndexPath, ParamStreams, Returns};

use crate::support::{Host, Listener, MIB, class, connect, soon, target, within};

/// One function, served by hand.
struct Raw {
    nats: async_nats::Client,
    calls: Subscriber,
}

/// One call that was taken: the inboxes of both ends, and what comes to ours.
struct Taken {
    nats: async_nats::Client,
    first: Message,
    client: Subject,
    server: String,
    inbox: Subscriber,
}

impl Raw {
    async fn serve(nats: &NatsServer, function: &str) -> Self {
        let nats = connect(nats).await;
        let subject = target(function).subject().to_owned();
        let calls = nats
            .queue_subscribe(subject, "lat.comp".to_owned())
            .await
            .unwrap();
        let mut raw = Self { nats, calls };
        raw.settle().await;
        raw
    }

    async fn settle(&mut self) {
        let subject = self.nats.new_inbox().replace("_INBOX", "ping");
        let mut pong = self.nats.subscribe(subject.clone()).await.unwrap();
        self.nats.publish(subject, Bytes::new()).await.unwrap();
        pong.next().await.unwrap();
    }

    /// M1, without the answer.
    async fn first(&mut self) -> Taken {
        let first = self.calls.next().await.unwrap();
        let server = self.nats.new_inbox();
        Taken {
            inbox: self.nats.subscribe(format!("{server}.>")).await.unwrap(),
            nats: self.nats.clone(),
            client: first.reply.clone().unwrap(),
            first,
            server,
        }
    }

    /// M1 and M2.
    async fn take(&mut self) -> Taken {
        let taken = self.first().await;
        taken.accept().await;
        taken
    }
}

impl Taken {
    async fn accept(&self) {
        let to = self.client.clone();
        self.nats
            .publish_with_reply(to, self.server.clone(), Bytes::new())
            .await
            .unwrap();
    }

    async fn send(&self, channel: &str, payload: impl Into<Bytes>) {
        let to = format!("{}.{channel}", self.client);
        self.nats.publish(to, payload.into()).await.unwrap();
    }

    /// Reads one channel to its empty message.
    async fn read(&mut self, channel: &str) -> Vec<u8> {
        let subject = format!("{}.{channel}", self.server);
        let mut all = Vec::new();
        loop {
            let message = within(self.inbox.next()).await.unwrap();
            assert!(message.headers.is_none(), "a header on a data message");
            assert_eq!(message.subject.as_str(), subject);
            if message.payload.is_empty() {
                return all;
            }
            all.extend_from_slice(&message.payload);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unary_call_takes_four_messages() {
    let nats = NatsServer::start();
    let (mut raw, host) = (
        Raw::serve(&nats, "echo").await,
        Host::start(&nats, "a").await,
    );
    let listener = Listener::start(&nats).await;
    let serve = async {
        let taken = raw.take().await;
        taken.send("results", taken.first.payload.clone()).await;
        taken.send("results", "").await;
        raw.settle().await;
    };
    let (result, ()) = within(async { tokio::join!(host.call("echo", "\x02hi"), serve) }).await;
    assert_eq!(result.unwrap(), "\x02hi");
    assert_eq!(listener.heard(&[&host]).await.len(), 4);
    host.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_without_parameters_is_told_their_end() {
    let nats = NatsServer::start();
    let (mut raw, host) = (
        Raw::serve(&nats, "unit").await,
        Host::start(&nats, "a").await,
    );
    let serve = async {
        let mut taken = raw.take().await;
        assert!(taken.first.payload.is_empty());
        assert!(taken.read("params").await.is_empty());
        taken.send("results", "").await;
        taken.send("results", "").await; // old peers say it twice
    };
    let (result, ()) = within(async { tokio::join!(host.call("unit", ""), serve) }).await;
    assert_eq!(result.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_may_come_before_the_acceptance_or_without_one() {
    let nats = NatsServer::start();
    let (mut raw, host) = (
        Raw::serve(&nats, "early").await,
        Host::start(&nats, "a").await,
    );
    for is_accepted_late in [true, false] {
        let serve = async {
            let taken = raw.first().await;
            taken.send("results", "re").await;
            taken.send("results", "sult").await;
            if is_accepted_late {
                taken.accept().await;
            }
            taken.send("results", "").await;
        };
        let (result, ()) = within(async { tokio::join!(host.call("early", "x"), serve) }).await;
        assert_eq!(result.unwrap(), "result");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_parameters_follow_the_acceptance_and_large_results_come_in_pieces() {
    let nats = NatsServer::start();
    let (mut raw, host) = (
        Raw::serve(&nats, "echo").await,
        Host::start(&nats, "a").await,
    );
    let big = Bytes::from(
        (0..5 * MIB / 2)
            .map(|i| (i % 251) as u8)
            .collect::<Vec<_>>(),
    );
    let serve = async {
        let mut taken = raw.take().await;
        let mut all = taken.first.payload.to_vec();
        assert!(all.len() > MIB - 1_024 && all.len() < MIB);
        all.extend(taken.read("params").await);
        for piece in all.chunks(MIB) {
            taken.send("results", piece.to_vec()).await;
        }
        taken.send("results", "").await;
    };
    let target = target("echo");
    let call = host.client.call(&target, big.clone(), soon());
    let (result, ()) = within(async { tokio::join!(call, serve) }).await;
    assert!(result.unwrap() == big);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_nothing_is_a_trap_where_a_result_was_due() {
    let nats = NatsServer::start();
    let (mut raw, host) = (
        Raw::serve(&nats, "fail").await,
        Host::start(&nats, "a").await,
    );
    let serve = async { raw.take().await.send("results", "").await };
    let target = target("fail").returning(Returns::Value);
    let call = host.client.call(&target, "x".into(), soon());
    let (result, ()) = within(async { tokio::join!(call, serve) }).await;
    assert_eq!(class(result), ErrorClass::Trap);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_go_both_ways() {
    let nats = NatsServer::start();
    let (mut raw, host) = (
        Raw::serve(&nats, "pipe").await,
        Host::start(&nats, "a").await,
    );
    let options = CallOptions {
        params: ParamStreams::Follow,
        ..soon()
    };
    let call = host
        .client
        .invoke(&target("pipe"), "\x09\x00".into(), options)
        .await
        .unwrap();
    let mut taken = raw.take().await;
    assert_eq!(call.accepted_by().await.unwrap(), AcceptedBy::Legacy);
    // M3, although all parameters were there: with streams a static server waits for it.
    assert!(taken.read("params").await.is_empty());
    let mut writer = call.param_writer(IndexPath::new(&[1])).unwrap();
    writer.write("\x03aaa".into()).await.unwrap();
    writer.write(Bytes::new()).await.unwrap(); // would be the end
    writer.write("\x03bbb\x00".into()).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(taken.read("params.1").await, b"\x03aaa\x03bbb\x00");
    // Data before its reader, an intermediate path that nobody reads, the value's end at last.
    taken.send("results.0", "\x02XY").await;
    taken.send("results.0", "\x00").await;
    taken.send("results.0", "").await;
    taken.send("results.0", "").await;
    taken.send("results.7", "").await;
    taken.send("results", "\x00").await;
    assert_eq!(
        call.result_until(|value| value == b"\0").await.unwrap(),
        "\x00"
    );
    taken.send("results", "").await;
    assert_eq!(call.result().await.unwrap(), "\x00");
    let mut reader = call.result_reader(IndexPath::new(&[0]));
    assert_eq!(reader.next().await.unwrap().unwrap(), "\x02XY");
    assert_eq!(reader.next().await.unwrap().unwrap(), "\x00");
    assert_eq!(reader.next().await.unwrap(), None);
    drop((call, reader));
    host.is_idle().await;
}
