//! Many calls at once, with a slow one among them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use trellis_core::ErrorClass;
use trellis_tests::NatsServer;
use trellis_wrpc::{CallError, IndexPath, Invocation, Reply};

use crate::support::{Host, MIB, class, connect, echo, soon, target, within};

async fn a_thousand_calls(host: &Host) {
    let target = Arc::new(target("echo"));
    let calls = (0..1_000u32).map(|number| {
        let (client, target) = (host.client.clone(), target.clone());
        tokio::spawn(async move {
            let params = Bytes::from(number.to_le_bytes().repeat(25));
            let result = client.call(&target, params.clone(), soon()).await;
            assert_eq!(result.unwrap(), params);
        })
    });
    for call in within(join_all(calls)).await {
        call.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_get_their_own_answers() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server.serve("echo", echo).await;
    a_thousand_calls(&client).await;
    client.is_idle().await;
    server.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_a_stream_of_ours_stalls_nobody() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server.serve("echo", echo).await;
    server
        .serve("flood", |invocation: Invocation| async move {
            let mut to = invocation.result_writer(IndexPath::new(&[0]))?;
            Ok(Reply::with_rest("ok", async move {
                for _ in 0..64 {
                    to.write(Bytes::from(vec![7; MIB / 2])).await?;
                }
                to.finish().await
            }))
        })
        .await;
    let call = client
        .client
        .invoke(&target("flood"), "x".into(), soon())
        .await
        .unwrap();
    assert_eq!(call.result().await.unwrap(), "ok");
    a_thousand_calls(&client).await;
    // The slow one has lost nothing.
    let mut reader = call.result_reader(IndexPath::new(&[0]));
    let mut total = 0;
    while let Some(bytes) = within(reader.next()).await.unwrap() {
        total += bytes.len();
    }
    assert_eq!(total, 32 * MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_a_stream_of_1_x_loses_its_call_and_stalls_nobody() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server.serve("echo", echo).await;
    let raw = connect(&nats).await;
    let mut calls = raw
        .subscribe(target("raw").subject().to_owned())
        .await
        .unwrap();
    raw.publish("ping", Bytes::new()).await.unwrap();
    raw.flush().await.unwrap();
    let flood = tokio::spawn(async move {
        let first = calls.next().await.unwrap();
        let to = first.reply.unwrap();
        raw.publish_with_reply(to.clone(), raw.new_inbox(), Bytes::new())
            .await
            .unwrap();
        for _ in 0..64 {
            raw.publish(format!("{to}.results.0"), vec![7; MIB / 2].into())
                .await
                .unwrap();
            raw.flush().await.unwrap();
        }
    });
    let call = loop {
        let call = client
            .client
            .invoke(&target("raw"), "x".into(), soon())
            .await
            .unwrap();
        match call.accepted_by().await {
            Ok(_) => break call,
            Err(error) => assert!(!error.may_have_run(), "{error}"),
        }
    };
    a_thousand_calls(&client).await;
    within(flood).await.unwrap();
    client.transport.settle().await.unwrap();
    let lost: Result<Option<Bytes>, CallError> =
        within(call.result_reader(IndexPath::new(&[0])).next()).await;
    assert_eq!(
        class(lost.map(Option::unwrap_or_default)),
        ErrorClass::Overloaded
    );
    assert_eq!(client.call("echo", "x").await.unwrap(), "x");
}
