//! What `wasi:http@0.2` promises to guests that use it by hand, and to their clients.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use trellis_core::{ErrorClass, Limits, Reuse};
use trellis_engine::{CallError, ComponentHandle, Engine, ResponseBody, WasiBody};

use crate::support::{deploy, engine, get};

const MIB: usize = 1 << 20;

/// Bytes of one piece of a streamed body, and how many there are: far more than any buffer holds.
const PIECE_BYTES: usize = 64 << 10;
const PIECES: usize = 400;

async fn raw() -> (Engine, Arc<ComponentHandle>) {
    let engine = engine();
    let handle = deploy(&engine, "http_raw", Limits::default(), None).await;
    (engine, handle)
}

async fn send(
    handle: &ComponentHandle,
    request: Request<WasiBody>,
) -> Result<Response<ResponseBody>, CallError> {
    handle.handle_http(request).await
}

fn post(path: &str, body: WasiBody) -> Request<WasiBody> {
    Request::post(format!("http://test{path}"))
        .body(body)
        .unwrap()
}

/// A body of `pieces` that counts how many were taken.
fn pieces(
    pieces: usize,
    taken: Arc<std::sync::atomic::AtomicUsize>,
    trailers: Option<HeaderMap>,
) -> WasiBody {
    let data = stream::iter(0..pieces).map(move |number| {
        taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Frame::data(Bytes::from(vec![
            (number % 251) as u8;
            PIECE_BYTES
        ])))
    });
    let trailers = stream::iter(trailers.map(|it| Ok(Frame::trailers(it))));
    WasiBody::new(StreamBody::new(data.chain(trailers)))
}

fn map(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static(name),
        http::HeaderValue::from_static(value),
    )])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_sees_no_forbidden_header_and_still_its_host() {
    let (_engine, handle) = raw().await;
    let mut request = Request::get("/seen").header("host", "a.test:8000");
    for name in ["connection", "upgrade", "transfer-encoding", "keep-alive"] {
        request = request.header(name, "x");
    }
    let request = request.header("x-kept", "1").header("x-kept", "2");
    let response = send(&handle, request.body(WasiBody::default()).unwrap())
        .await
        .unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        body,
        "x-kept: 1\nx-kept: 2\nhost: false 0, authority: a.test:8000\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_headers_can_be_changed_and_shows_no_more() {
    let (_engine, handle) = raw().await;
    let request = Request::get("/clone")
        .header("host", "a.test")
        .header("x-removed", "1")
        .header("x-kept", "1")
        .body(WasiBody::default())
        .unwrap();
    let response = send(&handle, request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let mut lines: Vec<_> = std::str::from_utf8(&body).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["x-added: 1", "x-kept: 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_refuse_what_is_forbidden_malformed_or_fixed() {
    let (_engine, handle) = raw().await;
    let expected = "\
append host: Err(HeaderError::Forbidden)
set upgrade: Err(HeaderError::Forbidden)
delete connection: Err(HeaderError::Forbidden)
append bad name: Err(HeaderError::InvalidSyntax)
append bad value: Err(HeaderError::InvalidSyntax)
from list: Err(HeaderError::Forbidden)
append good: Ok(())
append more: Ok(())
get: 2
delete: Ok(())
has: false
append to request: Err(HeaderError::Immutable)
delete of request: Err(HeaderError::Immutable)
append to response: Err(HeaderError::Immutable)
";
    assert_eq!(get(&handle, "/fields").await.unwrap().1, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_had_once_cannot_be_had_twice() {
    let (_engine, handle) = raw().await;
    assert_eq!(
        get(&handle, "/once").await.unwrap().1,
        "body: false, output stream: false false, consume: false, input stream: false\n"
    );
    assert_eq!(get(&handle, "/status?204").await.unwrap().1, "Ok(()) 204\n");
    assert_eq!(get(&handle, "/status?99").await.unwrap().1, "Err(()) 200\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_another_length_than_announced_is_an_error_at_both_ends() {
    let (_engine, handle) = raw().await;
    let heard = |pair: &'static str| async { get(&handle, pair).await.unwrap().1 };
    assert_eq!(heard("/length?3,3").await, "write: ok\nfinish: Ok(())\n");
    assert!(
        heard("/length?3,2")
            .await
            .starts_with("write: ok\nfinish: Err(ErrorCode::HttpResponseBodySize(Some(2)))")
    );
    let too_long = heard("/length?3,4").await;
    assert!(
        too_long.contains("write: Some(ErrorCode::HttpResponseBodySize(Some(4)))"),
        "{too_long}"
    );
    assert!(too_long.contains("finish: Err"), "{too_long}");
    let body = |pair: &'static str| async {
        let response = send(&handle, post(pair, WasiBody::default()))
            .await
            .unwrap();
        response.into_body().collect().await.map(|it| it.to_bytes())
    };
    assert_eq!(body("/short?3,3").await.unwrap(), "xxx");
    assert!(
        body("/short?3,2").await.is_err(),
        "a short body looks whole"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_travel_both_ways() {
    let (_engine, handle) = raw().await;
    let response = send(&handle, post("/trailers", WasiBody::default()))
        .await
        .unwrap();
    let answer = response.into_body().collect().await.unwrap();
    assert_eq!(answer.trailers(), Some(&map("x-trailer", "at the end")));
    assert_eq!(answer.to_bytes(), "a body\n");

    let taken = Arc::default();
    let body = pieces(2, taken, Some(map("x-mine", "1")));
    let response = send(&handle, post("/echo", body)).await.unwrap();
    let answer = response.into_body().collect().await.unwrap();
    assert_eq!(answer.trailers(), Some(&map("x-mine", "1")));
    assert_eq!(answer.to_bytes().len(), 2 * PIECE_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_holds_no_more_than_its_buffers_and_loses_no_byte() {
    let (_engine, handle) = raw().await;
    let taken = Arc::<std::sync::atomic::AtomicUsize>::default();
    let body = pieces(PIECES, taken.clone(), None);
    let response = send(&handle, post("/echo", body)).await.unwrap();
    let mut body = response.into_body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        for byte in &data {
            assert_eq!(usize::from(*byte), received / PIECE_BYTES % 251);
            received += 1;
        }
        let held = taken.load(std::sync::atomic::Ordering::Relaxed) * PIECE_BYTES - received;
        assert!(held <= 3 * MIB, "{held} bytes are on their way");
    }
    assert_eq!(received, PIECES * PIECE_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_without_a_reader_writes_so_much_and_then_waits() {
    let (_engine, handle) = raw().await;
    let (_, body) = get(&handle, "/full").await.unwrap();
    let (data, written) = body.split_once('\n').unwrap();
    assert_eq!(data.len(), written.parse::<usize>().unwrap());
    assert!((MIB..=2 * MIB).contains(&data.len()), "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_written_one_by_one_arrive_in_order_and_together() {
    const COUNT: usize = 100_000;
    let (_engine, handle) = raw().await;
    let path = format!("/pieces?{COUNT}");
    let response = send(&handle, post(&path, WasiBody::default()))
        .await
        .unwrap();
    let mut body = response.into_body();
    let (mut frames, mut data) = (0, Vec::new());
    while let Some(frame) = body.frame().await {
        frames += 1;
        data.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert_eq!(data.len(), COUNT);
    for (number, byte) in data.iter().enumerate() {
        assert_eq!(*byte, b'a' + (number % 26) as u8);
    }
    assert!(frames < COUNT / 100, "{frames} frames");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_ends_as_its_guest_left_it() {
    let (_engine, handle) = raw().await;
    assert_eq!(
        get(&handle, "/bodiless").await.unwrap(),
        (200, String::new())
    );
    assert_eq!(get(&handle, "/forsake").await.unwrap().1, "forsaken\n");
    let response = send(&handle, post("/cut", WasiBody::default()))
        .await
        .unwrap();
    assert!(
        response.into_body().collect().await.is_err(),
        "a cut body looks whole"
    );
    let error = match send(&handle, post("/in-use", WasiBody::default())).await {
        Err(error) => error.to_string(),
        Ok(response) => response
            .into_body()
            .collect()
            .await
            .unwrap_err()
            .to_string(),
    };
    assert!(error.contains("before its output stream"), "{error}");
    for path in ["/silent", "/error"] {
        let error = get(&handle, path).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Trap, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_body_that_nobody_reads_is_dropped_with_its_request() {
    let (_engine, handle) = raw().await;
    let taken = Arc::<std::sync::atomic::AtomicUsize>::default();
    let body = pieces(PIECES, taken.clone(), None);
    let response = send(&handle, post("/unread", body)).await.unwrap();
    response.into_body().collect().await.unwrap();
    assert_eq!(taken.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(Arc::strong_count(&taken), 1, "the body is still held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_goes_on_after_its_answer_and_a_client_that_leaves_ends_it() {
    let engine = engine();
    let reuse = Reuse {
        calls_max: 1_000,
        concurrency_max: 1,
    };
    let limits = Limits {
        instances_max: 1,
        calls_queued_max: 8,
        deadline: Duration::from_secs(20),
        ..Limits::default()
    };
    let handle = deploy(&engine, "http_raw", limits, Some(reuse)).await;
    assert_eq!(get(&handle, "/after?20").await.unwrap().1, "answered\n");
    // With one instance the next request waits until the guest has gone on to its end.
    assert_eq!(get(&handle, "/count").await.unwrap().1, "1\n");

    let response = send(&handle, post("/after?10000", WasiBody::default()))
        .await
        .unwrap();
    drop(response);
    let next = tokio::time::timeout(Duration::from_secs(5), get(&handle, "/count"));
    let (_, count) = next.await.expect("the guest was ended").unwrap();
    assert_eq!(count, "0\n", "its instance is gone with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_instance_keeps_nothing_of_its_requests() {
    let engine = engine();
    let reuse = Reuse {
        calls_max: 10_000,
        concurrency_max: 1,
    };
    let limits = Limits {
        instances_max: 1,
        ..Limits::default()
    };
    let handle = deploy(&engine, "http_raw", limits, Some(reuse)).await;
    for round in 0..200 {
        for path in [
            "/seen",
            "/clone",
            "/once",
            "/length?3,3",
            "/trailers",
            "/unread",
        ] {
            let (status, body) = get(&handle, path).await.unwrap();
            assert_eq!((status, body.is_empty()), (200, false), "{round} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_cannot_have_its_host_hold_memory_without_end() {
    // It is not to be stopped for what it computes.
    let limits = Limits {
        cpu_time_max: Duration::from_secs(60),
        ..Limits::default()
    };
    let handle = deploy(&engine(), "http_raw", limits, None).await;
    for (path, few, many, what) in [
        ("/hoard-answers", 15, 17, "answers with a body"),
        ("/hoard-requests", 32, 33, "requests of its own"),
        ("/hoard-fields", 100, 164, "16 MiB"),
        ("/hoard-copies", 100, 164, "16 MiB"),
    ] {
        let (_, text) = get(&handle, &format!("{path}?{few}")).await.unwrap();
        assert_eq!(text, "hoarded\n", "{path}");
        let error = get(&handle, &format!("{path}?{many}")).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Trap, "{path}: {error}");
        assert!(error.message().contains(what), "{path}: {error}");
    }
    assert_eq!(get(&handle, "/let-go?100").await.unwrap().1, "let go\n");
}

/// Returns how many calls ended well, and how many failed in the class.
fn ended(handle: &ComponentHandle, class: ErrorClass) -> (u64, u64) {
    let figures = handle.figures().unwrap().read();
    let failed = figures.failed.iter().find(|(it, _)| *it == class);
    (figures.ok, failed.unwrap().1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_holds_while_nobody_reads_the_answer() {
    let limits = Limits {
        deadline: Duration::from_millis(300),
        ..Limits::default()
    };
    let engine = engine();
    let handle = deploy(&engine, "http_raw", limits, None).await;
    let response = send(&handle, post("/after?60000", WasiBody::default()))
        .await
        .unwrap();
    let generation = handle.generation().unwrap();
    let gone = async {
        while generation.calls_running() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the guest is ended at its deadline");
    assert_eq!(ended(&handle, ErrorClass::Deadline), (0, 1));
    assert_eq!(generation.figures().read().instances, 0);
    let error = response.into_body().collect().await.unwrap_err();
    assert!(
        format!("{error:?}").contains("limits.deadline"),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn work_after_an_answer_that_nobody_reads_on_is_not_cut_off() {
    let engine = engine();
    let reuse = Reuse {
        calls_max: 1_000,
        concurrency_max: 1,
    };
    let limits = Limits {
        instances_max: 1,
        calls_queued_max: 8,
        ..Limits::default()
    };
    let handle = deploy(&engine, "http_raw", limits, Some(reuse)).await;
    let head = Request::head("http://test/after?100");
    let bodiless = |status| Request::get(format!("http://test/after-status?100,{status}"));
    let length = Request::get("http://test/after-length?100");
    let requests = [head, bodiless(204), bodiless(304), length];
    for (number, request) in requests.into_iter().enumerate() {
        let request = request.body(WasiBody::default()).unwrap();
        let is_length = request.uri().path() == "/after-length";
        let mut body = send(&handle, request).await.unwrap().into_body();
        if is_length {
            // As a server does that knows how much is to come.
            let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(data.len(), 9);
        }
        drop(body);
        let (_, count) = get(&handle, "/count").await.unwrap();
        assert_eq!(count, format!("{}\n", number + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_its_guest_left_unfinished_counts_as_failed() {
    let (_engine, handle) = raw().await;
    let response = send(&handle, post("/cut", WasiBody::default()))
        .await
        .unwrap();
    response.into_body().collect().await.unwrap_err();
    assert_eq!(ended(&handle, ErrorClass::Trap), (0, 1));
    let response = send(&handle, post("/trailers", WasiBody::default()))
        .await
        .unwrap();
    response.into_body().collect().await.unwrap();
    assert_eq!(ended(&handle, ErrorClass::Trap), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_body_that_a_reused_instance_forgets_is_dropped() {
    let engine = engine();
    let reuse = Reuse {
        calls_max: 1_000,
        concurrency_max: 1,
    };
    let handle = deploy(&engine, "http_raw", Limits::default(), Some(reuse)).await;
    for path in [
        "/forget",
        "/forget-body",
        "/forget-stream",
        "/forget-trailers",
    ] {
        for _ in 0..3 {
            let taken = Arc::<std::sync::atomic::AtomicUsize>::default();
            let body = pieces(PIECES, taken.clone(), None);
            let response = send(&handle, post(path, body)).await.unwrap();
            let answer = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(answer, "ok\n", "{path}");
            assert_eq!(Arc::strong_count(&taken), 1, "{path}: it is still held");
        }
        let before = handle.figures().unwrap().read().instances_made;
        get(&handle, "/unread").await.unwrap();
        get(&handle, "/unread").await.unwrap();
        let made = handle.figures().unwrap().read().instances_made - before;
        assert!(made <= 1, "{path}: {made}");
    }
}
