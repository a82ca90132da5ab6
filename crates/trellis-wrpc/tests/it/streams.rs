//! Streams between our own hosts: order, flow control, honest ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};
use trellis_core::ErrorClass;
use trellis_tests::NatsServer;
use trellis_wrpc::{
    Call, CallError, CallOptions, ChannelReader, IndexPath, Invocation, Offer, ParamStreams, Reply,
};

use crate::support::{Host, MIB, class, soon, target, within};

fn path() -> IndexPath {
    IndexPath::new(&[0, 1])
}

async fn read_all(mut reader: ChannelReader) -> Result<Vec<u8>, CallError> {
    let mut all = Vec::new();
    while let Some(bytes) = reader.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

/// Sends the stream of the parameters back as the stream of the result.
async fn pipe(invocation: Invocation) -> Result<Reply, CallError> {
    let mut from = invocation.param_reader(path());
    let mut to = invocation.result_writer(path())?;
    Ok(Reply::with_rest("ok", async move {
        while let Some(bytes) = from.next().await? {
            to.write(bytes).await?;
        }
        to.finish().await
    }))
}

fn streaming(offer: Offer) -> CallOptions {
    CallOptions {
        params: ParamStreams::Follow,
        offer,
        ..soon()
    }
}

async fn start(host: &Host, function: &str, offer: Offer) -> Call {
    host.client
        .invoke(&target(function), "p".into(), streaming(offer))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_both_ways_in_both_dialects() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server.serve("pipe", pipe).await;
    let data = Bytes::from((0..5 * MIB).map(|i| (i % 253) as u8).collect::<Vec<_>>());
    for offer in [Offer::Extended, Offer::Legacy] {
        let call = start(&client, "pipe", offer).await;
        let mut writer = call.param_writer(path()).unwrap();
        let reader = call.result_reader(path());
        let sent = data.clone();
        let write = tokio::spawn(async move {
            for at in (0..sent.len()).step_by(100_000) {
                writer
                    .write(sent.slice(at..sent.len().min(at + 100_000)))
                    .await?;
            }
            writer.finish().await
        });
        let received = within(read_all(reader)).await.unwrap();
        assert!(received == data, "{offer:?}: {} bytes", received.len());
        within(write).await.unwrap().unwrap();
        assert_eq!(
            call.result_until(|value| value == b"ok").await.unwrap(),
            "ok"
        );
        drop(call);
        client.is_idle().await;
        server.is_idle().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_its_sender() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    let sent = Arc::new(Semaphore::new(0));
    let sent2 = sent.clone();
    server
        .serve("flood", move |invocation: Invocation| {
            let sent = sent2.clone();
            async move {
                let mut to = invocation.result_writer(path())?;
                Ok(Reply::with_rest("ok", async move {
                    loop {
                        to.write(Bytes::from_static(&[7; 64 << 10])).await?;
                        sent.add_permits(1);
                    }
                }))
            }
        })
        .await;
    let call = start(&client, "flood", Offer::Extended).await;
    // A window of 256 KiB, and not a byte more, until something is read.
    within(sent.acquire_many(4)).await.unwrap().forget();
    for _ in 0..3 {
        client.transport.settle().await.unwrap();
        server.transport.settle().await.unwrap();
    }
    assert_eq!(sent.available_permits(), 0);
    let mut reader = call.result_reader(path());
    let mut read = 0;
    while read < 128 << 10 {
        read += reader.next().await.unwrap().unwrap().len();
    }
    within(sent.acquire_many(2)).await.unwrap().forget();
    // A reader that goes away ends the sender, though the call is still there.
    drop(reader);
    server.is_idle().await;
    drop(call);
    client.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_breaks_off_is_an_error_and_never_a_short_stream() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server
        .serve("short", |invocation: Invocation| async move {
            let how = invocation.params().await?;
            let mut to = invocation.result_writer(path())?;
            Ok(Reply::with_rest("ok", async move {
                to.write("half".into()).await?;
                if how == "fail" {
                    to.fail(&CallError::new(ErrorClass::Trap, "out of fuel"));
                }
                Ok(())
            }))
        })
        .await;
    for (how, expected) in [
        ("fail", ErrorClass::Trap),
        ("drop", ErrorClass::Unavailable),
    ] {
        let call = client
            .client
            .invoke(&target("short"), how.into(), soon())
            .await
            .unwrap();
        assert_eq!(call.result().await.unwrap(), "ok");
        let error = within(read_all(call.result_reader(path())))
            .await
            .unwrap_err();
        assert_eq!(error.class(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_breaks_off_ends_the_reading_handler() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    let seen = Arc::new(Notify::new());
    let seen2 = seen.clone();
    server
        .serve("read", move |invocation: Invocation| {
            let seen = seen2.clone();
            async move {
                let mut reader = invocation.param_reader(path());
                assert_eq!(reader.next().await?.unwrap(), "half");
                seen.notify_one();
                let rest = read_all(reader).await?;
                Ok(Reply::value(rest))
            }
        })
        .await;
    // The writer alone goes away: the handler gets an error and answers it.
    let call = start(&client, "read", Offer::Extended).await;
    let mut writer = call.param_writer(path()).unwrap();
    writer.write("half".into()).await.unwrap();
    within(seen.notified()).await;
    drop(writer);
    assert_eq!(class(call.result().await), ErrorClass::Unavailable);
    drop(call);
    // The call goes away: the handler is dropped.
    let call = start(&client, "read", Offer::Extended).await;
    let mut writer = call.param_writer(path()).unwrap();
    writer.write("half".into()).await.unwrap();
    within(seen.notified()).await;
    drop((writer, call));
    server.is_idle().await;
    client.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_does_not_read_its_stream_stops_the_writer() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server
        .serve("ignore", |_: Invocation| async { Ok(Reply::value("ok")) })
        .await;
    let call = start(&client, "ignore", Offer::Extended).await;
    let mut writer = call.param_writer(path()).unwrap();
    let write = async {
        loop {
            if let Err(error) = writer.write(Bytes::from_static(&[7; 64 << 10])).await {
                break error;
            }
        }
    };
    assert_eq!(within(write).await.class(), ErrorClass::Cancelled);
    assert_eq!(
        within(writer.stopped()).await.class(),
        ErrorClass::Cancelled
    );
    assert_eq!(call.result().await.unwrap(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_with_nothing_to_send_hears_that_its_reader_went_away() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server
        .serve("wait", |invocation: Invocation| async move {
            let mut writer = invocation.result_writer(path())?;
            let rest = async move { Err(writer.stopped().await) };
            Ok(Reply::with_rest("ok", rest))
        })
        .await;
    let call = start(&client, "wait", Offer::Extended).await;
    assert_eq!(call.result().await.unwrap(), "ok");
    let reader = call.result_reader(path());
    drop(reader);
    server.is_idle().await;
    drop(call);
    client.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_of_a_call_is_that_of_its_streams() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server.serve("pipe", pipe).await;
    let options = CallOptions {
        deadline: Duration::from_millis(300),
        ..streaming(Offer::Extended)
    };
    let call = client
        .client
        .invoke(&target("pipe"), "p".into(), options)
        .await
        .unwrap();
    let _writer = call.param_writer(path()).unwrap();
    let error = read_all(call.result_reader(path())).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Deadline);
    server.is_idle().await;
}
