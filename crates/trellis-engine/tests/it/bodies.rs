//! Bodies of WASI 0.3: what a guest writes and reads, and what the other side sees of it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc;
use trellis_core::{Limits, Reuse};
use trellis_engine::{ComponentHandle, ResponseBody, WasiBody};

use crate::support::{deploy, engine, get, pieces};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What waits between a guest and its reader at most: what the host holds, and what the guest has in
/// its hands, in pieces of 64 KiB.
const ON_THE_WAY_BYTES_MAX: usize = (256 + 2 * 64) << 10;

/// One instance serves everything, so that what it keeps in mind can be asked for.
async fn misbehaver() -> Arc<ComponentHandle> {
    let limits = Limits {
        instances_max: 1,
        ..Limits::default()
    };
    deploy(&engine(), "misbehaver_p3", limits, Some(Reuse::CONCURRENT)).await
}

async fn send(guest: &ComponentHandle, path: &str, body: WasiBody) -> http::Response<ResponseBody> {
    let request = http::Request::post(format!("http://test{path}")).body(body);
    guest.handle_http(request.unwrap()).await.unwrap()
}

fn whole(bytes: &'static [u8]) -> WasiBody {
    WasiBody::new(Full::new(Bytes::from_static(bytes)).map_err(|never| match never {}))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_guest_that_does_not_wait_is_known_whole() {
    let guest = misbehaver().await;
    let response = send(&guest, "/", WasiBody::default()).await;
    let Ok(data) = response.into_body().into_whole() else {
        panic!("it came as a stream")
    };
    assert_eq!(data, "ok\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_follow_the_body() {
    let guest = misbehaver().await;
    let response = send(&guest, "/trailers", WasiBody::default()).await;
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    assert_eq!(trailers["x-after"], "all of it");
    assert_eq!(body.to_bytes(), "a line\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_a_request_come_back_with_its_body() {
    let guest = misbehaver().await;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    trailers.insert("connection", "close".parse().unwrap());
    let frames = [
        Frame::data(Bytes::from_static(b"some")),
        Frame::trailers(trailers),
    ];
    let stream = futures_util::stream::iter(frames.map(Ok));
    let response = send(&guest, "/echo", WasiBody::new(StreamBody::new(stream))).await;
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    assert_eq!(trailers.get("x-sum").unwrap(), "7");
    assert!(!trailers.contains_key("connection"), "{trailers:?}");
    assert_eq!(body.to_bytes(), "some");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_another_length_than_declared_is_broken_and_never_short_or_long() {
    let guest = misbehaver().await;
    for (length, write, fits) in [(5, 5, true), (0, 0, true), (10, 5, false), (5, 10, false)] {
        let path = format!("/declare?length={length}&write={write}");
        let response = send(&guest, &path, WasiBody::default()).await;
        assert_eq!(response.headers()["content-length"], length.to_string());
        let body = response.into_body().collect().await;
        match body {
            Ok(body) => assert_eq!((fits, body.to_bytes().len()), (true, length), "{path}"),
            Err(error) => assert!(!fits, "{path}: {error}"),
        }
    }
    assert_eq!(get(&guest, "/").await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_a_trap_cuts_off_is_broken() {
    let guest = misbehaver().await;
    let mut body = send(&guest, "/halt", WasiBody::default()).await.into_body();
    let first = body.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "the beginning\n");
    assert!(
        body.frame().await.unwrap().is_err(),
        "a cut body looks whole"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_goes_through_a_guest_and_comes_back_while_more_is_sent() {
    let guest = misbehaver().await;
    for path in ["/relay", "/echo"] {
        let (sender, body) = pieces();
        sender.send(Bytes::from_static(b"first")).unwrap();
        let mut back = send(&guest, path, body).await.into_body();
        for piece in ["first", "second", "third"] {
            let frame = back.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece, "{path}");
            sender.send(Bytes::from_static(b"second")).unwrap();
            if piece == "second" {
                break;
            }
        }
        drop(sender);
        let rest = back.collect().await.unwrap().to_bytes();
        assert_eq!(rest, "second", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_stops_the_guest_and_what_it_reads() {
    const PIECE_BYTES: usize = 64 << 10;
    let guest = misbehaver().await;
    // Endless, and counts what was taken.
    let (taken, mut count) = mpsc::unbounded_channel();
    let stream = futures_util::stream::repeat_with(move || {
        taken.send(PIECE_BYTES).unwrap();
        Ok(Frame::data(Bytes::from_static(&[b'x'; PIECE_BYTES])))
    });
    let response = send(&guest, "/relay", WasiBody::new(StreamBody::new(stream))).await;
    let mut body = response.into_body();
    let mut received = 0;
    let mut total = 0;
    for _ in 0..64 {
        let frame = body.frame().await.unwrap().unwrap();
        received += frame.into_data().unwrap().len();
        // Everybody who can go on does, until nobody can.
        get(&guest, "/").await.unwrap();
        while let Ok(bytes) = count.try_recv() {
            total += bytes;
        }
        let on_the_way = total - received;
        assert!(on_the_way <= ON_THE_WAY_BYTES_MAX, "{on_the_way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_learns_how_sending_its_body_ended() {
    let guest = misbehaver().await;
    let body = send(&guest, "/sent?mib=2", WasiBody::default())
        .await
        .into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes().len(), 2 << 20);
    expect_outcome(&guest, "Ok(())").await;

    // A client that goes away in the middle.
    let mut body = send(&guest, "/sent?mib=2", WasiBody::default())
        .await
        .into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    expect_outcome(&guest, "ConnectionTerminated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_all_declared_bytes_need_not_wait_for_the_end() {
    let guest = misbehaver().await;
    let mut body = send(&guest, "/handed?length=300000", WasiBody::default())
        .await
        .into_body();
    let mut left = 300_000;
    while left > 0 {
        left -= body
            .frame()
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap()
            .len();
    }
    // As a server does that counts them; the guest has not ended the body yet.
    drop(body);
    expect_outcome(&guest, "Ok(())").await;

    let mut body = send(&guest, "/handed?length=300000", WasiBody::default())
        .await
        .into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    expect_outcome(&guest, "ConnectionTerminated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_body_that_a_guest_forgets_ends_with_its_request() {
    let guest = misbehaver().await;
    for path in ["/forget-body", "/forget-head"] {
        let (sender, body) = pieces();
        sender.send(Bytes::from_static(b"never read")).unwrap();
        let response = send(&guest, path, body).await;
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "forgotten\n", "{path}");
        let closed = tokio::time::timeout(PATIENCE, sender.closed()).await;
        closed.unwrap_or_else(|_| panic!("{path}: the body stays open"));
    }
    // One that is read, or refused properly, costs no instance.
    let before = get(&guest, "/state").await.unwrap();
    let (sender, body) = pieces();
    let response = send(&guest, "/", body).await;
    response.into_body().collect().await.unwrap();
    sender.closed().await;
    assert_ne!(get(&guest, "/state").await.unwrap(), before);
}

async fn expect_outcome(guest: &ComponentHandle, outcome: &str) {
    let said = async {
        loop {
            let (_, text) = get(guest, "/outcome").await.unwrap();
            if text.contains(outcome) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, said).await;
    in_time.unwrap_or_else(|_| panic!("the guest was not told of {outcome}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_passed_on_outlives_the_guest() {
    let guest = misbehaver().await;
    let (sender, body) = pieces();
    let mut back = pin!(send(&guest, "/echo", body).await.into_body());
    // The guest has returned: its instance is free for others, and has nothing to do with the body.
    let generation = guest.generation().unwrap();
    guest.withdraw();
    drop(generation);
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(
        http_body::Body::poll_frame(back.as_mut(), &mut context),
        Poll::Pending
    ));
    sender.send(Bytes::from_static(b"late")).unwrap();
    drop(sender);
    assert_eq!(back.collect().await.unwrap().to_bytes(), "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_and_without_bodies_take_turns_in_one_instance() {
    let guest = misbehaver().await;
    for turn in 0..50 {
        let (status, text) = get(&guest, "/").await.unwrap();
        assert_eq!((status, text.as_str()), (200, "ok\n"), "{turn}");
        for path in ["/relay", "/echo"] {
            let response = send(&guest, path, whole(b"there and back")).await;
            let body = response.into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), "there and back", "{path} {turn}");
        }
    }
}
