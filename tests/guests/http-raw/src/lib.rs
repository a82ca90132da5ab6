//! Uses `wasi:http@0.2` by hand, in ways that no library does. The path names the deed.
//!
//! | Path | Deed |
//! |---|---|
//! | `/seen` | the headers that it sees of its request, then what it learns of `host` by name |
//! | `/fields` | what headers refuse: forbidden names, bad syntax, changes of what is fixed |
//! | `/clone` | the headers of a changed copy of those of its request |
//! | `/once` | which of the things that can be had once can be had twice |
//! | `/status?N` | whether N can be a status |
//! | `/length?ANNOUNCED,WRITTEN` | what it hears when it writes another length than it announced |
//! | `/short?ANNOUNCED,WRITTEN` | answers with that body |
//! | `/trailers` | a body with trailers |
//! | `/echo` | the body of its request piece by piece, with its trailers |
//! | `/unread` | answers without looking at the body of its request |
//! | `/pieces?N` | N bytes, one at a time |
//! | `/full` | as much as it may write without a reader, a line with how much that was after it |
//! | `/bodiless` | a response whose body it never asks for |
//! | `/forsake` | writes a body and forgets to finish it |
//! | `/cut` | writes a line of a body, then drops it |
//! | `/in-use` | finishes a body while its stream is open |
//! | `/after?MS` | answers, goes on for so long, then counts one more |
//! | `/count` | how often it went on to the end |
//! | `/silent` | returns without an answer |
//! | `/error` | answers with an error |

mod deeds;

use std::sync::atomic::{AtomicU64, Ordering};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// How often this instance went on to the end after an answer.
static WENT_ON: AtomicU64 = AtomicU64::new(0);

struct Raw;

wasip2::http::proxy::export!(Raw);

impl Guest for Raw {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/seen" => text(outparam, &deeds::seen(&request)),
            "/fields" => text(outparam, &deeds::fields(&request)),
            "/clone" => text(outparam, &deeds::clone(&request)),
            "/once" => text(outparam, &deeds::once(&request)),
            "/status" => text(outparam, &deeds::status(number(query))),
            "/length" => text(outparam, &deeds::length(pair(query))),
            "/short" => deeds::short(outparam, pair(query)),
            "/trailers" => deeds::trailers(outparam),
            "/echo" => deeds::echo(outparam, &request),
            "/unread" => text(outparam, "ok\n"),
            "/pieces" => deeds::pieces(outparam, number(query)),
            "/full" => deeds::full(outparam),
            "/bodiless" => {
                ResponseOutparam::set(outparam, Ok(OutgoingResponse::new(Fields::new())))
            }
            "/forsake" => deeds::forsake(outparam),
            "/cut" => deeds::cut(outparam),
            "/in-use" => deeds::in_use(outparam),
            "/after" => {
                text(outparam, "answered\n");
                wasip2::clocks::monotonic_clock::subscribe_duration(number(query) * 1_000_000)
                    .block();
                WENT_ON.fetch_add(1, Ordering::Relaxed);
            }
            "/count" => text(outparam, &format!("{}\n", WENT_ON.load(Ordering::Relaxed))),
            "/silent" => {}
            "/error" => ResponseOutparam::set(outparam, Err(ErrorCode::LoopDetected)),
            other => text(outparam, &format!("no such deed: {other}\n")),
        }
    }
}

fn number(query: &str) -> u64 {
    query.parse().unwrap_or_default()
}

fn pair(query: &str) -> (u64, u64) {
    let (first, second) = query.split_once(',').unwrap_or_default();
    (number(first), number(second))
}

/// Answers with a response that has a body, and returns the body.
fn begin(outparam: ResponseOutparam, headers: Fields) -> OutgoingBody {
    let response = OutgoingResponse::new(headers);
    let body = response.body().unwrap();
    ResponseOutparam::set(outparam, Ok(response));
    body
}

fn text(outparam: ResponseOutparam, text: &str) {
    let body = begin(outparam, Fields::new());
    write(&body, text.as_bytes());
    OutgoingBody::finish(body, None).unwrap();
}

/// Writes `bytes` in one go through a stream of its own.
fn write(body: &OutgoingBody, bytes: &[u8]) {
    let stream = body.write().unwrap();
    assert!(stream.check_write().unwrap() >= bytes.len() as u64);
    stream.write(bytes).unwrap();
}
