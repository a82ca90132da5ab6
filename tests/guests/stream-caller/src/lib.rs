//! Calls an interface with streams and futures, and answers with what came of it.
//!
//! | Path | Deed |
//! |---|---|
//! | `/download?bytes=N&take=M&ending=E` | reads up to M bytes of a stream of N that ends as E says |
//! | `/upload?bytes=N&most=M&ending=E` | writes N bytes to a reader of at most M, and ends as E says |
//! | `/echo?bytes=N&take=M&ending=E` | writes N bytes, ends as E says, and reads up to M of them back |
//! | `/ask?question=Q` | sends a future and waits for another one; `trap` has the other end trap |
//! | `/measured?bytes=N` | reads a stream and a future of one result |
//! | `/count?count=N&take=M&ending=E` | reads up to M numbers of a stream of N that ends as E says |
//! | `/typed/...` | sends and reads elements of all types, see `typed.rs` |
//!
//! Streams are answered for by the number of bytes and their hash. E is `done`, `trap` or `wait`.

mod bindings {
    wasip3::wit_bindgen::generate!({
        path: "../wit/streams",
        world: "caller",
        runtime_path: "wasip3::wit_bindgen::rt",
    });
}
#[path = "../../stream-callee/src/pattern.rs"]
mod pattern;
mod typed;

use bindings::trellis_test::streams::api::{self, Ending};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{StreamReader, StreamResult};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Caller;

impl wasip3::exports::http::handler::Guest for Caller {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (bytes, ending) = (number(query, "bytes"), ending(query));
        let take = text(query, "take").parse().unwrap_or(u64::MAX);
        match path {
            "/download" => {
                let data = api::download(bytes, ending).await;
                answer(read(data, take).await)
            }
            "/upload" => {
                let most = text(query, "most").parse().unwrap_or(u64::MAX);
                let (count, hash) = api::upload(written(bytes, ending), most).await;
                answer(said(count, hash))
            }
            "/echo" => {
                let data = api::echo(written(bytes, ending)).await;
                answer(read(data, take).await)
            }
            "/ask" => answer(ask(text(query, "question").to_owned()).await),
            "/measured" => answer(measured(bytes).await),
            "/count" => answer(typed::count(number(query, "count"), take, ending).await),
            path if path.starts_with("/typed/") => {
                let deed = typed::Deed {
                    name: &path["/typed/".len()..],
                    count: number(query, "count"),
                    take,
                    ending,
                };
                answer(deed.run().await)
            }
            other => answer(format!("no such deed: {other}\n")),
        }
    }
}

wasip3::http::service::export!(Caller);

fn text<'a>(query: &'a str, name: &str) -> &'a str {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(candidate, _)| *candidate == name);
    found.map_or("", |(_, value)| value)
}

fn number(query: &str, name: &str) -> u64 {
    text(query, name).parse().unwrap_or_default()
}

fn ending(query: &str) -> Ending {
    match text(query, "ending") {
        "trap" => Ending::Trap,
        "wait" => Ending::Wait,
        _ => Ending::Done,
    }
}

fn said(count: u64, hash: u64) -> String {
    format!("{count} {hash:016x}\n")
}

/// Reads up to `take` bytes and drops the stream.
async fn read(mut data: StreamReader<u8>, take: u64) -> String {
    let (mut count, mut hash) = (0, pattern::HASH_START);
    while count < take {
        let room = (take - count).min(pattern::CHUNK_BYTES) as usize;
        let (result, bytes) = data.read(Vec::with_capacity(room)).await;
        count += bytes.len() as u64;
        hash = pattern::hash(hash, &bytes);
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    said(count, hash)
}

/// Returns a stream that a task of its own writes.
fn written(bytes: u64, ending: Ending) -> StreamReader<u8> {
    let (mut writer, reader) = bindings::wit_stream::new();
    spawn_local(async move {
        let mut written = 0;
        while written < bytes {
            let count = (bytes - written).min(pattern::CHUNK_BYTES);
            let unread = writer.write_all(pattern::bytes(written, count)).await;
            if !unread.is_empty() {
                return;
            }
            written += count;
        }
        match ending {
            Ending::Done => drop(writer),
            Ending::Trap => core::arch::wasm32::unreachable(),
            Ending::Wait => {
                // Waits for what nobody writes.
                let (_never_writes, mut reader) = bindings::wit_stream::new::<u8>();
                reader.next().await;
            }
        }
    });
    reader
}

async fn ask(question: String) -> String {
    let (writer, reader) = bindings::wit_future::new(String::new);
    spawn_local(async move {
        // The other end may have no use for it.
        let _ = writer.write(question).await;
    });
    let answer = api::ask(reader).await;
    format!("{}\n", answer.await)
}

async fn measured(bytes: u64) -> String {
    match api::measured(bytes).await {
        Some((data, hash)) => {
            let read = read(data, u64::MAX).await;
            match hash.await {
                Ok(hash) if read.ends_with(&format!(" {hash:016x}\n")) => read,
                Ok(hash) => format!("{hash:016x} was measured\n"),
                Err(why) => format!("{why}\n"),
            }
        }
        None => "nothing\n".to_owned(),
    }
}

fn answer(text: String) -> Result<Response, ErrorCode> {
    let (mut body, body_reader) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(body_reader), trailers);
    spawn_local(async move {
        let _unread = body.write_all(text.into_bytes()).await;
    });
    Ok(response)
}
