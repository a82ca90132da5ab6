//! Has the host hold memory for it.

use std::mem::forget;

use wasip2::http::types::{Fields, OutgoingBody, OutgoingRequest, OutgoingResponse};

/// What all of them say that were let.
const HOARDED: &str = "hoarded\n";

/// Nearly the most that `fields` may have, and that may be written at once.
const HEADER_BYTES: usize = 100 << 10;
const PIECE_BYTES: usize = (1 << 20) - 1;

pub(crate) fn answers(count: u64) -> &'static str {
    (0..count).for_each(|_| forget(answer()));
    HOARDED
}

pub(crate) fn requests(count: u64) -> &'static str {
    (0..count).for_each(|_| forget(request()));
    HOARDED
}

pub(crate) fn fields(count: u64) -> &'static str {
    (0..count).for_each(|_| forget(large_fields()));
    HOARDED
}

pub(crate) fn copies(count: u64) -> &'static str {
    let fields = large_fields();
    for _ in 0..count {
        let copy = fields.clone();
        copy.delete("x-other").unwrap();
        forget(copy);
    }
    HOARDED
}

pub(crate) fn let_go(count: u64) -> &'static str {
    for _ in 0..count {
        drop((answer(), request()));
        let fields = large_fields();
        let copy = fields.clone();
        copy.set("x-large", &[b"small".to_vec()]).unwrap();
        drop((OutgoingResponse::new(fields), OutgoingRequest::new(copy)));
    }
    "let go\n"
}

fn answer() -> (OutgoingBody, OutgoingResponse) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().unwrap();
    write_twice(&body);
    (body, response)
}

fn request() -> (OutgoingBody, OutgoingRequest) {
    let request = OutgoingRequest::new(Fields::new());
    let body = request.body().unwrap();
    let stream = body.write().unwrap();
    stream.write(&vec![b'x'; PIECE_BYTES]).unwrap();
    drop(stream);
    (body, request)
}

fn write_twice(body: &OutgoingBody) {
    let stream = body.write().unwrap();
    for _ in 0..2 {
        stream.write(&vec![b'x'; PIECE_BYTES]).unwrap();
    }
}

fn large_fields() -> Fields {
    let entry = ("x-large".to_owned(), vec![b'x'; HEADER_BYTES]);
    Fields::from_list(&[entry]).unwrap()
}
