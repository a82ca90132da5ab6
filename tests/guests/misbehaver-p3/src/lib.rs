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
//! | `/relay` | reads the body and writes it back piece by piece |
//! | `/trailers` | answers one line, and a trailer after it |
//! | `/declare?length=N&write=M` | declares N bytes and writes M |
//! | `/sent?mib=N` | streams N MiB and keeps in mind how sending them ended |
//! | `/handed?length=N` | writes the N bytes that it declares, and ends the body when it knows how sending it ended |
//! | `/forget-body`, `/forget-head` | forgets the body of its request, or the request itself, and answers |
//! | `/outcome` | says how the last sending ended that is kept in mind |
//! | `/halt` | traps in the middle of its answer |
//! | `/state` | counts the requests that this instance has seen |
//! | `/big?mib=N` | streams N MiB |
//! | `/outgoing?url=U` | sends a GET to U and passes the answer on; 502 and the error code where there is none |
//! | `/error` | answers with an error instead of a response |
//! | `/log` | writes one line each to stdout and stderr |

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use wasip3::clocks::monotonic_clock;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::wit_bindgen::{FutureReader, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

/// One piece of a streamed body.
const CHUNK_BYTES: usize = 64 * 1024;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// A year: for ever, as far as any test is concerned.
const FOR_EVER_MILLISECONDS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// Requests seen by this instance.
static SEEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// How the last sending ended that `/sent` or `/handed` began.
    static OUTCOME: RefCell<String> = const { RefCell::new(String::new()) };
}

type Sent = FutureReader<Result<(), ErrorCode>>;

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
            "/relay" => relay(request),
            "/trailers" => trailers(),
            "/declare" => declare(number(query, "length"), number(query, "write")),
            "/sent" => sent(number(query, "mib")),
            "/handed" => handed(number(query, "length")),
            "/forget-body" => {
                let (_, received) = wit_future::new(|| Ok(()));
                core::mem::forget(Request::consume_body(request, received));
                text("forgotten\n".into())
            }
            "/forget-head" => {
                core::mem::forget(request);
                text("forgotten\n".into())
            }
            "/outcome" => text(OUTCOME.with_borrow(Clone::clone)),
            "/halt" => halt(),
            "/state" => text(format!("{}\n", SEEN.fetch_add(1, Ordering::Relaxed) + 1)),
            "/big" => big(number(query, "mib")),
            "/outgoing" => outgoing(query.strip_prefix("url=").unwrap_or_default()).await,
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
    answer_with(Fields::new(), write).map(|(response, _sent)| response)
}

/// Answers 200 with `headers` and the body that `write` writes. What comes back too says how sending it
/// ended.
fn answer_with<W, F>(headers: Fields, write: W) -> Result<(Response, Sent), ErrorCode>
where
    W: FnOnce(StreamWriter<u8>) -> F,
    F: Future<Output = ()> + 'static,
{
    let (body, body_reader) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, sent) = Response::new(headers, Some(body_reader), trailers);
    spawn_local(write(body));
    Ok((response, sent))
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
    answer(move |body| write_big(body, mib))
}

async fn write_big(mut body: StreamWriter<u8>, mib: u64) {
    for _ in 0..mib * (1024 * 1024 / CHUNK_BYTES as u64) {
        let unread = body.write_all(vec![b'x'; CHUNK_BYTES]).await;
        if !unread.is_empty() {
            return;
        }
    }
}

fn sent(mib: u64) -> Result<Response, ErrorCode> {
    let (response, sent) = answer_with(Fields::new(), move |body| write_big(body, mib))?;
    spawn_local(async move {
        let outcome = sent.await;
        OUTCOME.set(format!("{outcome:?}"));
    });
    Ok(response)
}

fn declare(length: u64, write: u64) -> Result<Response, ErrorCode> {
    let headers = fields("content-length", &length.to_string())?;
    let bytes = vec![b'x'; usize::try_from(write).unwrap_or_default()];
    let (response, _sent) = answer_with(headers, move |mut body| async move {
        let _unread = body.write_all(bytes).await;
    })?;
    Ok(response)
}

fn handed(length: u64) -> Result<Response, ErrorCode> {
    let headers = fields("content-length", &length.to_string())?;
    let bytes = vec![b'x'; usize::try_from(length).unwrap_or_default()];
    let (mut body, body_reader) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, sent) = Response::new(headers, Some(body_reader), trailers);
    spawn_local(async move {
        let _unread = body.write_all(bytes).await;
        let outcome = sent.await;
        OUTCOME.set(format!("{outcome:?}"));
        drop(body);
    });
    Ok(response)
}

fn fields(name: &str, value: &str) -> Result<Fields, ErrorCode> {
    let fields = Fields::new();
    let appended = fields.append(name, value.as_bytes());
    appended.map_err(|error| ErrorCode::InternalError(Some(format!("{error:?}"))))?;
    Ok(fields)
}

fn trailers() -> Result<Response, ErrorCode> {
    let after = fields("x-after", "all of it")?;
    let (mut body, body_reader) = wit_stream::new();
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(body_reader), trailers_reader);
    spawn_local(async move {
        let _unread = body.write_all(b"a line\n".to_vec()).await;
        drop(body);
        // Fails only where nobody reads them.
        let _ = trailers.write(Ok(Some(after))).await;
    });
    Ok(response)
}

fn halt() -> Result<Response, ErrorCode> {
    answer(|mut body| async move {
        let _unread = body.write_all(b"the beginning\n".to_vec()).await;
        // The beginning is on its way before the rest goes wrong.
        pause(1).await;
        core::arch::wasm32::unreachable()
    })
}

fn relay(request: Request) -> Result<Response, ErrorCode> {
    let (_, received) = wit_future::new(|| Ok(()));
    let (mut source, _trailers) = Request::consume_body(request, received);
    answer(move |mut body| async move {
        loop {
            let (_, piece) = source.read(Vec::with_capacity(CHUNK_BYTES)).await;
            if piece.is_empty() || !body.write_all(piece).await.is_empty() {
                return;
            }
        }
    })
}

fn echo(request: Request, target: &str) -> Result<Response, ErrorCode> {
    let count = request.get_headers().copy_all().len();
    let headers = fields("x-method", &method(&request.get_method()))?;
    for (name, value) in [
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

async fn outgoing(url: &str) -> Result<Response, ErrorCode> {
    let address = url.strip_prefix("http://").unwrap_or(url);
    let (authority, path) = address.split_once('/').unwrap_or((address, ""));
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_scheme(Some(&Scheme::Http)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    let path = format!("/{path}");
    request.set_path_with_query(Some(&path)).map_err(invalid)?;
    match client::send(request).await {
        Ok(response) => {
            let (_, received) = wit_future::new(|| Ok(()));
            let (body, trailers) = Response::consume_body(response, received);
            let (response, _sent) = Response::new(Fields::new(), Some(body), trailers);
            Ok(response)
        }
        Err(code) => {
            let response = text(format!("{code:?}\n"))?;
            // Refused only for codes outside 100 to 599.
            let _ = response.set_status_code(502);
            Ok(response)
        }
    }
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
