//! A component that does wrong, on request, whatever a component can do wrong. The path names the deed.
//!
//! | Path | Deed |
//! |---|---|
//! | `/` | answers `ok` |
//! | `/loop` | spins for ever |
//! | `/trap` | executes `unreachable` |
//! | `/panic` | panics |
//! | `/exit` | ends the process with code 3 |
//! | `/recurse` | overflows its stack |
//! | `/grow` | takes memory page by page, touching it, until refused; then traps |
//! | `/grow-ok?mib=N` | takes N MiB and says whether it got them |
//! | `/wait` | waits for ever |
//! | `/sleep?ms=N` | sleeps, then answers |
//! | `/drip?n=N&ms=M` | streams N lines, one every M ms |
//! | `/echo` | streams the body back; method, path and header count in `x-` headers |
//! | `/headers?n=N` | answers with N headers |
//! | `/log` | writes one line each to stdout and stderr |
//! | `/outgoing?url=U` | sends a GET to U and passes the answer on |
//! | `/state` | counts the requests that this instance has seen |
//! | `/big?mib=N` | streams N MiB |
//! | `/error` | fails before there is a response |
//! | `/halt` | begins a body, then traps |

mod memory;
mod query;

use std::sync::atomic::{AtomicU64, Ordering};

use futures_lite::stream;
use query::Query;
use wstd::http::{Body, Client, Error, Request, Response, StatusCode};
use wstd::time::Duration;

/// One piece of a streamed body.
const CHUNK_BYTES: usize = 64 * 1024;

/// A year: for ever, as far as any test is concerned.
const FOR_EVER_SECONDS: u64 = 365 * 24 * 60 * 60;

/// Requests seen by this instance.
static SEEN: AtomicU64 = AtomicU64::new(0);

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let query = Query::of(request.uri());
    match request.uri().path() {
        "/" => text("ok\n"),
        "/loop" => spin(),
        "/trap" => core::arch::wasm32::unreachable(),
        "/panic" => panic!("asked to panic"),
        "/exit" => std::process::exit(3),
        "/recurse" => text(&format!("{}\n", recurse(std::hint::black_box(u64::MAX)))),
        "/grow" => memory::grow_until_refused(),
        "/grow-ok" => grow(query.number("mib")),
        "/wait" => sleep(Duration::from_secs(FOR_EVER_SECONDS)).await,
        "/sleep" => sleep(Duration::from_millis(query.number("ms"))).await,
        "/drip" => Ok(drip(query.number("n"), query.number("ms"))),
        "/echo" => echo(request),
        "/headers" => headers(query.number("n")),
        "/log" => log(),
        "/outgoing" => outgoing(&query.text("url")).await,
        "/state" => text(&format!("{}\n", SEEN.fetch_add(1, Ordering::Relaxed) + 1)),
        "/big" => Ok(big(query.number("mib"))),
        "/error" => {
            Err(wstd::http::error::ErrorCode::InternalError(Some("asked to fail".into())).into())
        }
        "/halt" => Ok(halt()),
        other => Ok(Response::builder()
            .status(StatusCode::NOT_FOUND)
            .body(format!("no such deed: {other}\n").into())?),
    }
}

fn text(text: &str) -> Result<Response<Body>, Error> {
    Ok(Response::new(text.to_owned().into()))
}

fn spin() -> ! {
    loop {
        // Keeps the loop from being optimised into nothing.
        std::hint::black_box(());
    }
}

/// Recurses far deeper than any stack.
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == 0 {
        0
    } else {
        recurse(depth - 1).wrapping_add(frame[(depth % 64) as usize])
    }
}

fn grow(mib: u64) -> Result<Response<Body>, Error> {
    let granted = memory::grow_mib(mib);
    text(&format!(
        "{mib} MiB: {}\n",
        if granted { "granted" } else { "refused" }
    ))
}

async fn sleep(duration: Duration) -> Result<Response<Body>, Error> {
    wstd::task::sleep(duration).await;
    text("slept\n")
}

fn drip(lines: u64, pause_ms: u64) -> Response<Body> {
    Response::new(Body::from_stream(stream::unfold(
        0,
        move |line| async move {
            if line == lines {
                return None;
            }
            wstd::task::sleep(Duration::from_millis(pause_ms)).await;
            Some((format!("line {line}\n"), line + 1))
        },
    )))
}

fn echo(request: Request<Body>) -> Result<Response<Body>, Error> {
    let (parts, body) = request.into_parts();
    Ok(Response::builder()
        .header("x-method", parts.method.as_str())
        .header(
            "x-path",
            parts.uri.path_and_query().map_or("", |it| it.as_str()),
        )
        .header("x-header-count", parts.headers.len())
        .body(body)?)
}

fn headers(count: u64) -> Result<Response<Body>, Error> {
    let mut response = Response::builder();
    for index in 0..count {
        response = response.header(format!("x-header-{index}"), format!("value {index}"));
    }
    Ok(response.body("ok\n".into())?)
}

fn log() -> Result<Response<Body>, Error> {
    println!("a line to stdout");
    eprintln!("a line to stderr");
    text("logged\n")
}

async fn outgoing(url: &str) -> Result<Response<Body>, Error> {
    let request = Request::get(url).body(Body::empty())?;
    match Client::new().send(request).await {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            Ok(Response::builder().status(parts.status).body(body)?)
        }
        Err(error) => Ok(Response::builder()
            .status(StatusCode::BAD_GATEWAY)
            .body(format!("{error:?}\n").into())?),
    }
}

fn big(mib: u64) -> Response<Body> {
    let chunks = mib * (1024 * 1024 / CHUNK_BYTES as u64);
    Response::new(Body::from_stream(stream::unfold(
        0,
        move |chunk| async move { (chunk < chunks).then(|| (vec![b'x'; CHUNK_BYTES], chunk + 1)) },
    )))
}

/// Sends one line of a body, then traps in the middle of it.
fn halt() -> Response<Body> {
    Response::new(Body::from_stream(stream::unfold(
        false,
        |sent| async move {
            if sent {
                // The pause lets the first line leave before the trap.
                wstd::task::sleep(Duration::from_millis(20)).await;
                core::arch::wasm32::unreachable();
            }
            Some(("the first line\n", true))
        },
    )))
}
