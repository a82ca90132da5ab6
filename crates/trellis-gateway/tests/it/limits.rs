//! Sizes: too long heads, targets and bodies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::AsyncWriteExt;
use trellis_gateway::{GatewayLimits, MinimumRate, ResponseBody};

use crate::support::{
    Echo, GET, Running, everywhere, handler, header, read_to_end, short, start, statuses,
};

async fn check(gateway: &Running, request: String, expected: u16) {
    let shown = request.chars().take(60).collect::<String>();
    let answer = gateway.exchange(request).await;
    assert_eq!(statuses(&answer), [expected], "{shown:?}: {answer}");
}

#[tokio::test]
async fn heads_are_bounded() {
    let gateway = start(short(), everywhere(Arc::new(Echo::default()))).await;
    let get = |target: &str, lines: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n")
    };
    let line = |bytes: usize| format!("x: {}\r\n", "v".repeat(bytes));
    let lines = |count: usize| {
        (0..count)
            .map(|n| format!("x-{n}: 1\r\n"))
            .collect::<String>()
    };
    let target = |bytes: usize| format!("/{}", "p".repeat(bytes - 1));

    check(&gateway, get("/", &line(32_000)), 200).await;
    check(&gateway, get("/", &line(33_000)), 431).await;
    check(&gateway, get("/", &line(300_000)), 431).await;
    check(&gateway, get("/", &lines(98)), 200).await;
    check(&gateway, get("/", &lines(99)), 431).await;
    check(&gateway, get("/", &lines(5_000)), 431).await;
    check(&gateway, get(&target(8_192), ""), 200).await;
    check(&gateway, get(&target(8_193), ""), 414).await;
    check(&gateway, get(&target(20_000), &line(30_000)), 414).await;
    check(&gateway, get(&target(3_000_000), ""), 414).await;
}

#[tokio::test]
async fn a_body_too_large_is_refused_when_announced_and_when_crossed() {
    let limits = GatewayLimits {
        request_body_bytes_max: 100_000,
        ..short()
    };
    let gateway = start(limits, everywhere(Arc::new(Echo::default()))).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
    let chunked = |bytes: usize| {
        let chunk = format!("3e8\r\n{}\r\n", "b".repeat(1_000));
        format!(
            "{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
            chunk.repeat(bytes / 1_000)
        )
    };
    check(
        &gateway,
        format!(
            "{head}content-length: 100000\r\n\r\n{}",
            "b".repeat(100_000)
        ),
        200,
    )
    .await;
    check(
        &gateway,
        format!("{head}content-length: 100001\r\n\r\n"),
        413,
    )
    .await;
    check(
        &gateway,
        format!(
            "{head}content-length: 5000000\r\n\r\n{}",
            "b".repeat(5_000_000)
        ),
        413,
    )
    .await;
    check(&gateway, chunked(100_000), 200).await;
    check(&gateway, chunked(101_000), 413).await;
    check(&gateway, chunked(5_000_000), 413).await;
}

#[tokio::test]
async fn a_handler_that_swallows_the_error_of_a_body_does_not_hide_it() {
    let limits = GatewayLimits {
        request_body_bytes_max: 10,
        ..short()
    };
    let careless = handler(|request| async move {
        let _ = request.into_body().collect().await;
        Ok(Response::new(ResponseBody::from("fine")))
    });
    let gateway = start(limits, everywhere(careless)).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    check(
        &gateway,
        format!("{head}14\r\naaaaaaaaaaaaaaaaaaaa\r\n0\r\n\r\n"),
        413,
    )
    .await;
    check(&gateway, format!("{head}zz\r\n"), 400).await;
}

#[tokio::test]
async fn a_trickled_body_ends_with_408() {
    let rate = MinimumRate {
        bytes_per_second: 1_000,
        window: Duration::from_millis(300),
    };
    let limits = GatewayLimits {
        request_body_rate: rate,
        ..short()
    };
    let gateway = start(limits, everywhere(Arc::new(Echo::default()))).await;
    let stream = gateway.connect().await;
    let (mut reading, mut writing) = stream.into_split();
    let trickle = tokio::spawn(async move {
        let _ = writing
            .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n")
            .await;
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            if writing.write_all(b"b").await.is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut answer);
    let _ = tokio::time::timeout(crate::support::PATIENCE, read)
        .await
        .expect("hangs");
    trickle.abort();
    let answer = String::from_utf8_lossy(&answer);
    assert_eq!(statuses(&answer), [408], "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let rate = MinimumRate {
        bytes_per_second: 1_000,
        window: Duration::from_millis(300),
    };
    let limits = GatewayLimits {
        response_rate: rate,
        ..short()
    };
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let endless = handler(move |_| {
        let guard = crate::support::Tells(told.clone());
        async move {
            let frames = futures_util::stream::repeat_with(move || {
                std::hint::black_box(&guard);
                Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[b'x'; 65_536])))
            });
            Ok(Response::new(ResponseBody::boxed(StreamBody::new(frames))))
        }
    });
    let gateway = start(limits, everywhere(endless)).await;
    let mut stream = gateway.connect().await;
    stream.write_all(GET).await.unwrap();
    let cut_off = tokio::time::timeout(crate::support::PATIENCE, hears.recv()).await;
    assert_eq!(cut_off.expect("the body is still held"), Some("dropped"));
    let answer = read_to_end(&mut stream).await;
    assert_eq!(header(&answer, "transfer-encoding"), Some("chunked"));
}
