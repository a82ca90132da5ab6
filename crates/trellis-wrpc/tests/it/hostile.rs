//! Messages that make no sense must cost nothing but themselves.

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use trellis_tests::NatsServer;

use crate::support::{Host, connect, echo, round_trip, soon, target, within};

const NOTES: [&str; 12] = [
    "1 accept",
    "1 accept host=x window=0",
    "1 cancel",
    "1 end at=18446744073709551615",
    "1 size=18446744073709551615",
    "1 credit=18446744073709551615 path=0",
    "1 credit=1 path=x",
    "1 stop",
    "1 error=nonsense end",
    "1 deadline=18446744073709551615 end",
    "1 deadline=0 end",
    "9 end",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_sent_rubbish_goes_on() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    host.serve("echo", echo).await;
    // Learn the inbox of the host from a call of its own.
    let raw = connect(&nats).await;
    let mut spy = raw.subscribe("lat.>").await.unwrap();
    round_trip(&raw).await;
    host.call("echo", "x").await.unwrap();
    let reply = within(spy.next()).await.unwrap().reply.unwrap();
    let inbox = reply.rsplit_once('.').unwrap().0;
    let numbers = [
        "0",
        "1",
        "none",
        "beat",
        "gone",
        "gone.",
        "ffffffffffffffff",
        "fffffffffffffffff",
        "+1",
        "-",
    ];
    let channels = [
        "",
        ".params",
        ".results",
        ".params.0",
        ".results.0.1",
        ".results.x",
        ".x",
    ];
    for note in NOTES {
        let mut headers = HeaderMap::new();
        headers.insert("trellis-wrpc", note);
        for number in numbers {
            for channel in channels {
                let to = format!("{inbox}.{number}{channel}");
                let payload = Bytes::from_static(b"\xff\xff\xff");
                raw.publish_with_reply_and_headers(to, "nowhere", headers.clone(), payload)
                    .await
                    .unwrap();
            }
        }
        let to = target("echo").subject().to_owned();
        raw.publish_with_reply_and_headers(to.clone(), "nowhere", headers.clone(), Bytes::new())
            .await
            .unwrap();
        raw.publish_with_headers(to, headers, Bytes::new())
            .await
            .unwrap();
    }
    round_trip(&raw).await;
    assert_eq!(host.call("echo", "still here").await.unwrap(), "still here");
}

#[tokio::test]
async fn nobody_makes_a_host_write_where_it_chooses() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    host.serve("echo", echo).await;
    let raw = connect(&nats).await;
    let key = "$KV.LATTICEDATA_lat.COMPONENT_web";
    let mut state = raw.subscribe("$KV.>").await.unwrap();
    let evil = target("evil").subject().to_owned();
    let mut calls = raw.subscribe(evil).await.unwrap();

    // As a caller: the answer would be written.
    let (called, answer) = (target("echo").subject().to_owned(), raw.new_inbox());
    let mut answers = raw.subscribe(format!("{answer}.>")).await.unwrap();
    for reply in [key, &answer] {
        let call = raw.publish_with_reply(called.clone(), reply.to_owned(), "{}".into());
        call.await.unwrap();
    }
    within(answers.next()).await.unwrap(); // so that the one before it was handled, too

    // As who is called: what the caller says to it would be.
    round_trip(&raw).await;
    let evil = target("evil");
    let call = host.client.call(&evil, "{}".into(), soon());
    let misuse = async {
        let invocation = within(calls.next()).await.unwrap();
        let control = invocation.reply.unwrap();
        for (reply, note) in [(key, "1 accept"), (&*answer, "1 credit=1"), (key, "")] {
            let mut headers = HeaderMap::new();
            if !note.is_empty() {
                headers.insert("trellis-wrpc", note);
            }
            let accept = raw.publish_with_reply_and_headers(
                control.clone(),
                reply.to_owned(),
                headers,
                Bytes::new(),
            );
            accept.await.unwrap();
        }
        let results = format!("{control}.results");
        let mut end = HeaderMap::new();
        end.insert("trellis-wrpc", "1 end");
        raw.publish_with_headers(results, end, "done".into())
            .await
            .unwrap();
        control
    };
    let (done, control) = within(async { tokio::join!(call, misuse) }).await;
    assert_eq!(done.unwrap(), "done");
    // A call that came after its end is told so, and where.
    let mut late = HeaderMap::new();
    late.insert("trellis-wrpc", "1 accept");
    raw.publish_with_reply_and_headers(control, key, late, Bytes::new())
        .await
        .unwrap();
    host.transport.settle().await.unwrap();
    host.transport.settle().await.unwrap();
    round_trip(&raw).await;
    let written = state.next().now_or_never().flatten();
    assert!(written.is_none(), "{written:?}");
}
