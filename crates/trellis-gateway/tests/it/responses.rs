//! What a client gets of a handler's answer, sound or not.

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use trellis_core::ErrorClass;
use trellis_gateway::{Refusal, ResponseBody};

use crate::support::{Answer, GET, everywhere, handler, header, short, start, statuses};

fn streamed(parts: &'static [&'static str]) -> ResponseBody {
    let frames = parts
        .iter()
        .map(|part| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(part.as_bytes()))));
    ResponseBody::boxed(StreamBody::new(stream::iter(frames)))
}

async fn answer(make: impl Fn() -> Answer + Copy + Send + Sync + 'static) -> String {
    let gateway = start(short(), everywhere(handler(move |_| async move { make() }))).await;
    // Two requests: what follows a split response would show.
    gateway.exchange("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await
}

async fn check(make: impl Fn() -> Answer + Copy + Send + Sync + 'static, expected: &[u16]) {
    let answer = answer(make).await;
    assert_eq!(statuses(&answer), expected, "{answer}");
}

#[tokio::test]
async fn every_class_of_refusal_has_its_status_header_and_text() {
    for class in ErrorClass::ALL {
        let gateway = start(
            short(),
            everywhere(handler(
                move |_| async move { Err(Refusal::new(class, "why")) },
            )),
        )
        .await;
        let answer = gateway.get("/", "").await;
        assert_eq!(statuses(&answer), [class.http_status()]);
        assert_eq!(header(&answer, "x-trellis-error"), Some(class.name()));
        assert!(
            answer.ends_with(&format!("\r\n\r\n{class}: why\n")),
            "{answer}"
        );
        assert_eq!(
            header(&answer, "retry-after").is_some(),
            class == ErrorClass::Overloaded
        );
    }
}

#[tokio::test]
async fn a_panic_fails_its_request_only() {
    check(|| panic!("on purpose"), &[500, 500]).await;
}

#[tokio::test]
async fn unsound_answers_become_502() {
    for status in [101, 100, 700] {
        let answer = move || {
            let answer = Response::builder().status(status);
            Ok(answer.body(ResponseBody::empty()).unwrap())
        };
        check(answer, &[502, 502]).await;
    }
    check(
        || {
            Ok(Response::builder()
                .header("content-length", "2")
                .body("abc".into())
                .unwrap())
        },
        &[502, 502],
    )
    .await;
    check(
        || {
            let two = Response::builder()
                .header("content-length", "3")
                .header("content-length", "1");
            Ok(two.body("abc".into()).unwrap())
        },
        &[502, 502],
    )
    .await;
}

#[tokio::test]
async fn hop_by_hop_headers_of_a_handler_do_not_split_the_answer() {
    let answer = answer(|| {
        let odd = Response::builder()
            .header("transfer-encoding", "chunked")
            .header("connection", "x-own")
            .header("x-own", "1");
        Ok(odd.body("abc".into()).unwrap())
    })
    .await;
    assert_eq!(statuses(&answer), [200, 200], "{answer}");
    assert_eq!(header(&answer, "content-length"), Some("3"));
    assert_eq!(header(&answer, "transfer-encoding"), None);
    assert_eq!(header(&answer, "x-own"), None);
}

#[tokio::test]
async fn an_announced_length_that_the_stream_breaks_ends_the_connection() {
    fn with_length_4(parts: &'static [&'static str]) -> Answer {
        Ok(Response::builder()
            .header("content-length", "4")
            .body(streamed(parts))
            .unwrap())
    }
    check(|| with_length_4(&["ab", "cd"]), &[200, 200]).await;
    // The head may or may not have left when the fault shows; a second response never follows.
    let short = answer(|| with_length_4(&["ab"])).await;
    let long = answer(|| with_length_4(&["ab", "cdHTTP/1.1 200 OK\r\n\r\n"])).await;
    for answer in [short, long] {
        assert!(matches!(statuses(&answer)[..], [] | [200]), "{answer}");
        assert!(!answer.ends_with("cd"), "{answer}");
    }
}

#[tokio::test]
async fn head_and_bodiless_statuses_have_no_body() {
    let gateway = start(
        short(),
        everywhere(handler(|_| async { Ok(Response::new("abc".into())) })),
    )
    .await;
    let head = "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n";
    let answer = gateway.exchange(head.repeat(2)).await;
    assert_eq!(statuses(&answer), [200, 200]);
    assert_eq!(header(&answer, "content-length"), Some("3"));
    assert!(!answer.contains("abc"), "{answer}");
    check(
        || {
            Ok(Response::builder()
                .status(204)
                .header("content-length", "3")
                .body("abc".into())
                .unwrap())
        },
        &[204, 204],
    )
    .await;
    check(
        || Ok(Response::builder().status(304).body("abc".into()).unwrap()),
        &[304, 304],
    )
    .await;
}

#[tokio::test]
async fn a_stream_arrives_while_it_is_made() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let receiver = std::sync::Mutex::new(Some(receiver));
    let gateway = start(
        short(),
        everywhere(handler(move |_| {
            let receiver = receiver.lock().unwrap().take().unwrap();
            let frames = stream::unfold(receiver, |mut receiver| async {
                let part = receiver.recv().await?;
                Some((
                    Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(part.as_bytes()))),
                    receiver,
                ))
            });
            async { Ok(Response::new(ResponseBody::boxed(StreamBody::new(frames)))) }
        })),
    )
    .await;
    let mut stream = gateway.connect().await;
    stream.write_all(GET).await.unwrap();
    let mut text = Vec::new();
    for part in ["first", "second", "third"] {
        sender.send(part).unwrap();
        while !String::from_utf8_lossy(&text).contains(part) {
            assert!(stream.read_buf(&mut text).await.unwrap() > 0);
        }
    }
}
