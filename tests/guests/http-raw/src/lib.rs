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
//! | `/after-status?MS,STATUS` | the same with a status, and no body |
//! | `/after-length?MS` | the same with an announced length |
//! | `/count` | how often it went on to the end |
//! | `/silent` | returns without an answer |
//! | `/error` | answers with an error |
//! | `/hoard-answers?N` | makes N answers of nearly 2 MiB and sends none of them |
//! | `/hoard-requests?N` | makes N requests of its own with 1 MiB of body and sends none of them |
//! | `/hoard-fields?N` | holds N headers of 100 KiB |
//! | `/hoard-copies?N` | holds N copies of such headers |
//! | `/let-go?N` | makes N of each of them and lets go of each at once |
//! | `/forget` | forgets its request with the body, unread |
//! | `/forget-body` | forgets the body of its request, unread |
//! | `/forget-stream` | forgets the body of its request after its first byte |
//! | `/forget-trailers` | forgets the trailers of its request, which come after the body |

mod deeds;
mod hoards;

use std::sync::atomic::{AtomicU64, Ordering};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse,
    ResponseOutparam,
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
                go_on(number(query));
            }
            "/after-status" => {
                let (millis, status) = pair(query);
                let response = OutgoingResponse::new(Fields::new());
                response.set_status_code(status as u16).unwrap();
                ResponseOutparam::set(outparam, Ok(response));
                go_on(millis);
            }
            "/after-length" => {
                deeds::short(outparam, (9, 9));
                go_on(number(query));
            }
            "/count" => text(outparam, &format!("{}\n", WENT_ON.load(Ordering::Relaxed))),
            "/silent" => {}
            "/error" => ResponseOutparam::set(outparam, Err(ErrorCode::LoopDetected)),
            "/hoard-answers" => text(outparam, hoards::answers(number(query))),
            "/hoard-requests" => text(outparam, hoards::requests(number(query))),
            "/hoard-fields" => text(outparam, hoards::fields(number(query))),
            "/hoard-copies" => text(outparam, hoards::copies(number(query))),
            "/let-go" => text(outparam, hoards::let_go(number(query))),
            "/forget" => {
                std::mem::forget(request);
                text(outparam, "ok\n");
            }
            "/forget-body" => {
                std::mem::forget(request.consume());
                text(outparam, "ok\n");
            }
            "/forget-stream" => {
                let body = request.consume().unwrap();
                let stream = body.stream().unwrap();
                stream.blocking_read(1).unwrap();
                std::mem::forget((stream, body));
                text(outparam, "ok\n");
            }
            "/forget-trailers" => {
                let body = request.consume().unwrap();
                std::mem::forget(IncomingBody::finish(body));
                text(outparam, "ok\n");
            }
            other => text(outparam, &format!("no such deed: {other}\n")),
        }
    }
}

/// Goes on for so long, then counts one more.
fn go_on(millis: u64) {
    wasip2::clocks::monotonic_clock::subscribe_duration(millis * 1_000_000).block();
    WENT_ON.fetch_add(1, Ordering::Relaxed);
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
