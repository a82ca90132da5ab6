//! HTTP/2 by prior knowledge: the same gateway, the same rules.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use trellis_gateway::{GatewayLimits, ResponseBody};

use crate::support::{Echo, PATIENCE, Running, everywhere, handler, route, says, short, start};

async fn client(gateway: &Running) -> SendRequest<Full<Bytes>> {
    let stream = TokioIo::new(gateway.connect().await);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn request(uri: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri(uri)
        .body(Full::new(body.into()))
        .unwrap()
}

#[tokio::test]
async fn requests_are_routed_answered_and_look_like_http1_to_the_handler() {
    let echo = Echo::default();
    let seen = Arc::clone(&echo.seen);
    let routes = vec![
        route("a", Some("a.test"), "/", Arc::new(echo)),
        route("b", Some("b.test"), "/", says("b")),
    ];
    let gateway = start(GatewayLimits::default(), routes).await;
    let mut sender = client(&gateway).await;
    let body = vec![b'z'; 300_000];
    let answer = sender
        .send_request(request("http://a.test/x", body.clone()))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("x-request-id"));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
    let head = seen.lock().unwrap().pop().unwrap();
    assert_eq!(head.headers["host"], "a.test");
    let answer = sender
        .send_request(request("http://b.test/x", ""))
        .await
        .unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "b");
    let answer = sender
        .send_request(request("http://c.test/x", ""))
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
    let mut differs = request("http://a.test/x", "");
    differs
        .headers_mut()
        .insert("host", "b.test".parse().unwrap());
    assert_eq!(sender.send_request(differs).await.unwrap().status(), 400);
}

#[tokio::test]
async fn limits_hold() {
    let limits = GatewayLimits {
        request_body_bytes_max: 1_000,
        ..GatewayLimits::default()
    };
    let gateway = start(limits, everywhere(Arc::new(Echo::default()))).await;
    let mut sender = client(&gateway).await;
    let answer = sender
        .send_request(request("http://a.test/", vec![0; 2_000]))
        .await
        .unwrap();
    assert_eq!(answer.status(), 413);
    let long = format!("http://a.test/{}", "p".repeat(9_000));
    assert_eq!(
        sender
            .send_request(request(&long, ""))
            .await
            .unwrap()
            .status(),
        414
    );
    let mut many = request("http://a.test/", "");
    for n in 0..120 {
        many.headers_mut().insert(
            http::HeaderName::try_from(format!("x-{n}")).unwrap(),
            1.into(),
        );
    }
    assert_eq!(sender.send_request(many).await.unwrap().status(), 431);
    let mut fat = request("http://a.test/", "");
    fat.headers_mut()
        .insert("x-fat", "f".repeat(40_000).parse().unwrap());
    assert_eq!(sender.send_request(fat).await.unwrap().status(), 431);
}

#[tokio::test]
async fn a_drain_finishes_streams_and_refuses_new_ones() {
    let (called, go) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    let inner = (Arc::clone(&called), Arc::clone(&go));
    let gateway = start(
        GatewayLimits::default(),
        everywhere(handler(move |_| {
            let (called, go) = (Arc::clone(&inner.0), Arc::clone(&inner.1));
            async move {
                called.notify_one();
                go.notified().await;
                Ok(Response::new("done".into()))
            }
        })),
    )
    .await;
    let mut sender = client(&gateway).await;
    let answer = tokio::spawn(sender.send_request(request("http://a.test/", "")));
    called.notified().await;
    gateway.trigger.drain();
    go.notify_one();
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "done"
    );
    let report = tokio::time::timeout(PATIENCE, gateway.task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((report.drained, report.aborted), (1, 0));
    assert!(
        sender
            .send_request(request("http://a.test/", ""))
            .await
            .is_err()
    );
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The head of `GET / HTTP/2` for `a`, without compression state: method, scheme, path, authority.
const GET_HEAD: &[u8] = &[0x82, 0x86, 0x84, 0x01, 1, b'a'];

#[tokio::test]
async fn a_stream_that_takes_nothing_does_not_hold_its_request_for_ever() {
    let limits = GatewayLimits {
        response_stall_timeout: Duration::from_millis(300),
        ..GatewayLimits::default()
    };
    let big = handler(|_| async { Ok(Response::new(ResponseBody::from(vec![b'x'; 1 << 20]))) });
    let gateway = start(limits, everywhere(big)).await;
    let mut stream = gateway.connect().await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE = 0: not one byte of a body may be sent.
    bytes.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    bytes.extend(frame(1, 5, 1, GET_HEAD));
    stream.write_all(&bytes).await.unwrap();
    crate::support::read_to_end(&mut stream).await;
}

#[tokio::test]
async fn rapid_reset_closes_the_connection() {
    let gateway = start(short(), everywhere(says("hi"))).await;
    let mut stream = gateway.connect().await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    for n in 0..5_000_u32 {
        bytes.extend(frame(1, 5, 2 * n + 1, GET_HEAD));
        bytes.extend(frame(3, 0, 2 * n + 1, &[0, 0, 0, 8]));
    }
    let _ = stream.write_all(&bytes).await;
    crate::support::read_to_end(&mut stream).await;
    let mut sender = client(&gateway).await;
    assert_eq!(
        sender
            .send_request(request("http://a.test/", ""))
            .await
            .unwrap()
            .status(),
        200
    );
}
