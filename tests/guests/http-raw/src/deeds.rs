//! What the paths stand for.

use std::fmt::Write;

use wasip2::http::types::{
    Fields, FutureTrailers, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse,
    ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use crate::{begin, write};

/// Lists headers, one on a line.
fn list(headers: &Fields) -> String {
    let mut text = String::new();
    for (name, value) in headers.entries() {
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(&value));
    }
    text
}

pub(crate) fn seen(request: &IncomingRequest) -> String {
    let headers = request.headers();
    let (has, values) = (headers.has("Host"), headers.get("host").len());
    let authority = request.authority().unwrap_or_default();
    format!(
        "{}host: {has} {values}, authority: {authority}\n",
        list(&headers)
    )
}

pub(crate) fn fields(request: &IncomingRequest) -> String {
    let mut text = String::new();
    let mut note = |what: &str, result: &dyn std::fmt::Debug| {
        let _ = writeln!(text, "{what}: {result:?}");
    };
    let fresh = Fields::new();
    note("append host", &fresh.append("host", b"a"));
    note("set upgrade", &fresh.set("Upgrade", &[b"a".to_vec()]));
    note("delete connection", &fresh.delete("connection"));
    note("append bad name", &fresh.append("a b", b"a"));
    note("append bad value", &fresh.append("a", b"a\nb"));
    let list = [("transfer-encoding".to_owned(), b"a".to_vec())];
    note("from list", &Fields::from_list(&list).map(|_| ()));
    note("append good", &fresh.append("a", b"1"));
    note("append more", &fresh.append("a", b"2"));
    note("get", &fresh.get("A").len());
    note("delete", &fresh.delete("a"));
    note("has", &fresh.has("a"));
    let of_request = request.headers();
    note("append to request", &of_request.append("a", b"1"));
    note("delete of request", &of_request.delete("a"));
    let response = OutgoingResponse::new(fresh);
    note("append to response", &response.headers().append("a", b"1"));
    text
}

pub(crate) fn clone(request: &IncomingRequest) -> String {
    let copy = request.headers().clone();
    copy.append("x-added", b"1").unwrap();
    copy.delete("x-removed").unwrap();
    list(&copy)
}

pub(crate) fn once(request: &IncomingRequest) -> String {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().unwrap();
    let stream = body.write().unwrap();
    let second = body.write().is_ok();
    drop(stream);
    let third = body.write().is_ok();
    let incoming = request.consume().unwrap();
    let input = incoming.stream().unwrap();
    let text = format!(
        "body: {}, output stream: {second} {third}, consume: {}, input stream: {}\n",
        response.body().is_ok(),
        request.consume().is_ok(),
        incoming.stream().is_ok()
    );
    drop(input);
    text
}

pub(crate) fn status(status: u64) -> String {
    let response = OutgoingResponse::new(Fields::new());
    let set = response.set_status_code(u16::try_from(status).unwrap());
    format!("{set:?} {}\n", response.status_code())
}

fn announced(length: u64) -> Fields {
    let headers = Fields::new();
    let length = length.to_string();
    headers.append("content-length", length.as_bytes()).unwrap();
    headers
}

/// A response that nobody gets tells its guest as much as one that is sent.
pub(crate) fn length((length, written): (u64, u64)) -> String {
    let response = OutgoingResponse::new(announced(length));
    let body = response.body().unwrap();
    let stream = body.write().unwrap();
    let wrote = stream.write(&vec![b'x'; written as usize]);
    let wrote = match wrote {
        Ok(()) => "ok".to_owned(),
        Err(StreamError::Closed) => "closed".to_owned(),
        Err(StreamError::LastOperationFailed(error)) => {
            format!("{:?}", wasip2::http::types::http_error_code(&error))
        }
    };
    drop(stream);
    let finished = OutgoingBody::finish(body, None);
    format!("write: {wrote}\nfinish: {finished:?}\n")
}

pub(crate) fn short(outparam: ResponseOutparam, (length, written): (u64, u64)) {
    let body = begin(outparam, announced(length));
    write(&body, &vec![b'x'; written as usize]);
    let _ = OutgoingBody::finish(body, None);
}

pub(crate) fn trailers(outparam: ResponseOutparam) {
    let body = begin(outparam, Fields::new());
    write(&body, b"a body\n");
    let trailers = Fields::new();
    trailers.append("x-trailer", b"at the end").unwrap();
    OutgoingBody::finish(body, Some(trailers)).unwrap();
}

pub(crate) fn echo(outparam: ResponseOutparam, request: &IncomingRequest) {
    let incoming = request.consume().unwrap();
    let outgoing = begin(outparam, Fields::new());
    let (input, output) = (incoming.stream().unwrap(), outgoing.write().unwrap());
    copy(&input, &output);
    drop((input, output));
    let trailers = all_trailers(IncomingBody::finish(incoming));
    OutgoingBody::finish(outgoing, trailers).unwrap();
}

fn copy(input: &InputStream, output: &OutputStream) {
    loop {
        match input.blocking_read(64 << 10) {
            Ok(piece) => blocking_write(output, &piece),
            Err(StreamError::Closed) => return,
            Err(StreamError::LastOperationFailed(error)) => panic!("{}", error.to_debug_string()),
        }
    }
}

fn blocking_write(output: &OutputStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let permit = output.check_write().unwrap() as usize;
        if permit == 0 {
            output.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(bytes.len().min(permit));
        output.write(now).unwrap();
        bytes = later;
    }
}

fn all_trailers(future: FutureTrailers) -> Option<Fields> {
    future.subscribe().block();
    future.get().unwrap().unwrap().unwrap()
}

pub(crate) fn pieces(outparam: ResponseOutparam, count: u64) {
    let body = begin(outparam, Fields::new());
    let stream = body.write().unwrap();
    for number in 0..count {
        blocking_write(&stream, &[b'a' + (number % 26) as u8]);
    }
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
}

pub(crate) fn full(outparam: ResponseOutparam) {
    let body = begin(outparam, Fields::new());
    let stream = body.write().unwrap();
    let piece = vec![b'x'; 100_000];
    let mut written = 0;
    loop {
        let permit = (stream.check_write().unwrap() as usize).min(piece.len());
        if permit == 0 {
            break;
        }
        stream.write(&piece[..permit]).unwrap();
        written += permit;
    }
    blocking_write(&stream, format!("\n{written}").as_bytes());
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
}

pub(crate) fn forsake(outparam: ResponseOutparam) {
    let body = begin(outparam, Fields::new());
    write(&body, b"forsaken\n");
    std::mem::forget(body);
}

pub(crate) fn cut(outparam: ResponseOutparam) {
    let body = begin(outparam, Fields::new());
    write(&body, b"the first line\n");
}

pub(crate) fn in_use(outparam: ResponseOutparam) {
    let body = begin(outparam, Fields::new());
    let stream = body.write().unwrap();
    let _ = OutgoingBody::finish(body, None);
    drop(stream);
}
