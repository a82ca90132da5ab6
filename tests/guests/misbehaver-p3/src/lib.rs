//! A WASI 0.3 component that does wrong on request. The path names the deed.
//!
//! | Path | Deed |
//! |---|---|
//! | `/` | answers `ok` |
//! | `/loop` | spins for ever |
//! | `/trap` | executes `unreachable` |
//! | `/panic` | panics |
//! | `/exit` | ends the process with code 3 |
//! | `/grow-ok?mib=N` | takes N MiB and says whether it got them |
//! | `/wait` | waits for ever |
//! | `/sleep?ms=N` | sleeps, then answers; other requests go on meanwhile |
//! | `/drip?n=N&ms=M` | streams N lines, one every M ms |
//! | `/echo` | streams the body back; method, path and header count in `x-` headers |
//! | `/state` | counts the requests that this instance has seen |
//! | `/big?mib=N` | streams N MiB |
//! | `/error` | answers with an error instead of a response |
//! | `/log` | writes one line each to stdout and stderr |

use std::sync::atomic::{AtomicU64, Ordering};

use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response};
use wasip3::wit_bindgen::StreamWriter;
use wasip3::{spawn_local, wit_future, wit_stream};

/// One piece of a streamed body.
const CHUNK_BYTES: usize = 64 * 1024;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// A year: for ever, as far as any test is concerned.
const FOR_EVER_MILLISECONDS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// Requests seen by this instance.
static SEEN: AtomicU64 = AtomicU64::new(0);

struct Misbehaver;

impl wasip3::exports::http::handler::Guest for Misbehaver {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/" => text("ok\n".into()),
            "/loop" => spin(),
            "/trap" => core::arch::wasm32::unreachable(),
            "/panic" => panic!("asked to panic"),
            "/exit" => std::process::exit(3),
            "/grow-ok" => grow(number(query, "mib")),
            "/wait" => sleep(FOR_EVER_MILLISECONDS).await,
            "/sleep" => sleep(number(query, "ms")).await,
            "/drip" => drip(number(query, "n"), number(query, "ms")),
            "/echo" => echo(request, &target),
            "/state" => text(format!("{}\n", SEEN.fetch_add(1, Ordering::Relaxed) + 1)),
            "/big" => big(number(query, "mib")),
            "/error" => Err(ErrorCode::InternalError(Some("asked to fail".into()))),
            "/log" => log(),
            other => not_found(other),
        }
    }
}

wasip3::http::service::export!(Misbehaver);

/// The query parameter called `name`; a missing one is zero.
fn number(query: &str, name: &str) -> u64 {
    let values = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = values.into_iter().find(|(candidate, _)| *candidate == name);
    found
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or_default()
}

/// Answers 200 with the body that `write` writes.
fn answer<W, F>(write: W) -> Result<Response, ErrorCode>
where
    W: FnOnce(StreamWriter<u8>) -> F,
    F: Future<Output = ()> + 'static,
{
    let (body, body_reader) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(body_reader), trailers);
    spawn_local(write(body));
    Ok(response)
}

fn text(text: String) -> Result<Response, ErrorCode> {
    answer(|mut body| async move {
        let _unread = body.write_all(text.into_bytes()).await;
    })
}

fn not_found(path: &str) -> Result<Response, ErrorCode> {
    let response = text(format!("no such deed: {path}\n"))?;
    // Refused only for codes outside 100 to 599.
    let _ = response.set_status_code(404);
    Ok(response)
}

fn spin() -> ! {
    loop {
        // Keeps the loop from being optimised into nothing.
        std::hint::black_box(());
    }
}

fn grow(mib: u64) -> Result<Response, ErrorCode> {
    let mut memory: Vec<u8> = Vec::new();
    let bytes = usize::try_from(mib.saturating_mul(1024 * 1024)).unwrap_or(usize::MAX);
    let granted = memory.try_reserve_exact(bytes).is_ok();
    if granted {
        memory.resize(bytes, 1);
        std::hint::black_box(&memory);
    }
    text(format!(
        "{mib} MiB: {}\n",
        if granted { "granted" } else { "refused" }
    ))
}

async fn pause(milliseconds: u64) {
    monotonic_clock::wait_for(milliseconds.saturating_mul(NANOSECONDS_PER_MILLISECOND)).await;
}

async fn sleep(milliseconds: u64) -> Result<Response, ErrorCode> {
    pause(milliseconds).await;
    text("slept\n".into())
}

fn drip(lines: u64, pause_ms: u64) -> Result<Response, ErrorCode> {
    answer(move |mut body| async move {
        for line in 0..lines {
            pause(pause_ms).await;
            let unread = body.write_all(format!("line {line}\n").into_bytes()).await;
            if !unread.is_empty() {
                return;
            }
        }
    })
}

fn big(mib: u64) -> Result<Response, ErrorCode> {
    answer(move |mut body| async move {
        for _ in 0..mib * (1024 * 1024 / CHUNK_BYTES as u64) {
            let unread = body.write_all(vec![b'x'; CHUNK_BYTES]).await;
            if !unread.is_empty() {
                return;
            }
        }
    })
}

fn echo(request: Request, target: &str) -> Result<Response, ErrorCode> {
    let headers = Fields::new();
    let count = request.get_headers().copy_all().len();
    for (name, value) in [
        ("x-method", method(&request.get_method())),
        ("x-path", target.to_owned()),
        ("x-header-count", count.to_string()),
    ] {
        let appended = headers.append(name, value.as_bytes());
        appended.map_err(|error| ErrorCode::InternalError(Some(format!("{error:?}"))))?;
    }
    let (_, received) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, received);
    let (response, _sent) = Response::new(headers, Some(body), trailers);
    Ok(response)
}

fn method(method: &Method) -> String {
    match method {
        Method::Other(name) => name.clone(),
        known => format!("{known:?}")
            .trim_start_matches("Method::")
            .to_uppercase(),
    }
}

fn log() -> Result<Response, ErrorCode> {
    println!("a line to stdout");
    eprintln!("a line to stderr");
    text("logged\n".into())
}
