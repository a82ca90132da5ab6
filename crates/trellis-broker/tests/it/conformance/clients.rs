//! The client library that Trellis uses, on both servers.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, HeaderMap, RequestErrorKind};
use futures_util::{StreamExt, future};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::lattice::Lattice;
use crate::raw_client::{ANSWER_MAX, RawClient};
use crate::servers::{Server, Settings};

/// Waits until the server has done all that `client` asked for: the library's flush waits only until
/// it was sent.
async fn settle(client: &Client) {
    let refused = client.request("nobody", "".into()).await.unwrap_err();
    assert_eq!(refused.kind(), RequestErrorKind::NoResponders);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_with_headers_arrive() {
    for server in Server::both(&Settings::default()).await {
        let client = async_nats::connect(server.url()).await.unwrap();
        let mut messages = client.subscribe("a.>").await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", "00-1-2-03");
        client
            .publish_with_headers("a.b", headers, "hi".into())
            .await
            .unwrap();
        let message = timeout(ANSWER_MAX, messages.next()).await.unwrap().unwrap();
        assert_eq!(
            message
                .headers
                .unwrap()
                .get("traceparent")
                .unwrap()
                .as_str(),
            "00-1-2-03"
        );
        assert_eq!(&message.payload[..], b"hi", "{}", server.name);
        settle(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_exchange_ten_thousand_requests() {
    const REQUESTS: usize = 10_000;
    let lattice = Lattice::new();
    let creds = lattice.anybody().to_text().expose().to_owned();
    for server in Server::both(&Settings::trusting(&lattice)).await {
        let connect = || {
            ConnectOptions::with_credentials(&creds)
                .unwrap()
                .connect(server.url())
        };
        let (service, asker) = (connect().await.unwrap(), connect().await.unwrap());
        let mut requests = service
            .queue_subscribe("svc.*", "svc".into())
            .await
            .unwrap();
        settle(&service).await;
        let serving = tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                service
                    .publish(request.reply.unwrap(), request.payload)
                    .await
                    .unwrap();
            }
        });
        for start in (0..REQUESTS).step_by(100) {
            let batch = (start..start + 100).map(|number| {
                let asker = &asker;
                async move {
                    let text = number.to_string();
                    let answer = asker
                        .request(format!("svc.{}", number % 7), text.clone().into())
                        .await;
                    assert_eq!(answer.unwrap().payload, text);
                }
            });
            timeout(ANSWER_MAX, future::join_all(batch)).await.unwrap();
        }
        serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_comes_back_and_subscribes_again() {
    // Ours only: a restart on the same port needs the port to be known.
    let settings = Settings::default();
    let server = Server::ours(&settings).await;
    let (events, mut happened) = mpsc::unbounded_channel();
    let client = ConnectOptions::new()
        .event_callback(move |event| {
            let _ = events.send(event.to_string()); // The test may have ended.
            future::ready(())
        })
        .retry_on_initial_connect()
        .connect(server.url())
        .await
        .unwrap();
    let mut messages = client.subscribe("a").await.unwrap();
    settle(&client).await;
    let address = server.address;
    server.stop().await;
    let config = trellis_broker::Config::new(address);
    let broker = config.bind(trellis_broker::AllowAll).await.unwrap();
    let running = tokio::spawn(broker.run(future::pending()));
    let connected = async { while happened.recv().await.unwrap() != "connected" {} };
    timeout(ANSWER_MAX, async {
        connected.await;
    })
    .await
    .unwrap();
    let arrives = async {
        loop {
            client.publish("a", "again".into()).await.unwrap();
            if let Ok(Some(message)) = timeout(Duration::from_millis(100), messages.next()).await {
                return message.payload;
            }
        }
    };
    assert_eq!(timeout(ANSWER_MAX, arrives).await.unwrap(), "again");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_off_and_nobody_waits() {
    let mut settings = Settings::default();
    settings.limits.pending_bytes_max = 4 * 1_024 * 1_024;
    settings.limits.write_deadline = Duration::from_secs(1);
    let payload = "x".repeat(64 * 1_024);
    for server in Server::both(&settings).await {
        let mut deaf = RawClient::connect(&server, None).await;
        deaf.talk("SUB big 1\r\n").await;
        let client = async_nats::connect(server.url()).await.unwrap();
        let mut others = client.subscribe("big").await.unwrap();
        settle(&client).await;
        // More than the sockets of loopback hold, and than may be pending.
        for _ in 0..800 {
            client.publish("big", payload.clone().into()).await.unwrap();
            let got = timeout(ANSWER_MAX, others.next()).await.unwrap().unwrap();
            assert_eq!(got.payload.len(), payload.len());
        }
        let end = deaf.rest().await;
        assert!(
            end.ends_with("<closed>") && end.len() < 800 * payload.len(),
            "{}",
            server.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_more_slowly_than_others_publish_keeps_its_place() {
    let mut settings = Settings::default();
    settings.limits.pending_bytes_max = 8 * 1_024 * 1_024;
    let payload = "x".repeat(64 * 1_024);
    for server in Server::both(&settings).await {
        let mut slow = RawClient::connect(&server, None).await;
        slow.talk("SUB big 1\r\n").await;
        let mut publisher = RawClient::connect(&server, None).await;
        let message = format!("PUB big {}\r\n{payload}\r\n", payload.len());
        let publishing = tokio::spawn(async move {
            for _ in 0..800 {
                publisher.send(&message).await;
            }
            publisher.send("PUB big 4\r\nlast\r\n").await;
            publisher
        });
        // Reading in small pieces and looking for the end in each is slow enough.
        let received = slow.count_until("MSG big 1 4\r\nlast\r\n").await;
        assert!(
            received > 800 * payload.len(),
            "{}: {received}",
            server.name
        );
        publishing.await.unwrap();
    }
}
