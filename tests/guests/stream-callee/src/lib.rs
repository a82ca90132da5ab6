//! Exports an interface with streams and futures: writes a pattern, counts and hashes what it reads.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/streams", world: "callee" });
}
mod pattern;

use bindings::exports::trellis_test::streams::api::{Ending, Guest};
use bindings::{wit_future, wit_stream};
use wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter, spawn_local};

struct Callee;

impl Guest for Callee {
    async fn download(bytes: u64, ending: Ending) -> StreamReader<u8> {
        let (writer, reader) = wit_stream::new();
        spawn_local(async move {
            let writer = write(writer, bytes).await;
            match ending {
                Ending::Done => drop(writer),
                Ending::Trap => core::arch::wasm32::unreachable(),
                Ending::Wait => wait_for_ever().await,
            }
        });
        reader
    }

    async fn upload(mut data: StreamReader<u8>, bytes_max: u64) -> (u64, u64) {
        let (mut count, mut hash) = (0, pattern::HASH_START);
        while count < bytes_max {
            let room = (bytes_max - count).min(pattern::CHUNK_BYTES) as usize;
            let (result, bytes) = data.read(Vec::with_capacity(room)).await;
            count += bytes.len() as u64;
            hash = pattern::hash(hash, &bytes);
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
        }
        (count, hash)
    }

    async fn echo(data: StreamReader<u8>) -> StreamReader<u8> {
        data
    }

    async fn ask(question: FutureReader<String>) -> FutureReader<String> {
        let (writer, reader) = wit_future::new(String::new);
        spawn_local(async move {
            let answer = match &*question.await {
                "trap" => core::arch::wasm32::unreachable(),
                question => format!("{question} - yes"),
            };
            // Nobody may wait for it any more.
            let _ = writer.write(answer).await;
        });
        reader
    }

    async fn measured(bytes: u64) -> Option<(StreamReader<u8>, FutureReader<Result<u64, String>>)> {
        if bytes == 0 {
            return None;
        }
        let (writer, reader) = wit_stream::new();
        let (hash_writer, hash_reader) = wit_future::new(|| Err("not measured".to_owned()));
        spawn_local(async move {
            drop(write(writer, bytes).await);
            let hash = pattern::hash(pattern::HASH_START, &pattern::bytes(0, bytes));
            // Nobody may wait for it any more.
            let _ = hash_writer.write(Ok(hash)).await;
        });
        Some((reader, hash_reader))
    }
}

/// Waits for what nobody writes.
async fn wait_for_ever() {
    let (_never_writes, mut reader) = wit_stream::new::<u8>();
    reader.next().await;
}

/// Writes the pattern until it is all written or nobody reads any more.
async fn write(mut writer: StreamWriter<u8>, bytes: u64) -> StreamWriter<u8> {
    let mut written = 0;
    while written < bytes {
        let count = (bytes - written).min(pattern::CHUNK_BYTES);
        let unread = writer.write_all(pattern::bytes(written, count)).await;
        if !unread.is_empty() {
            break;
        }
        written += count;
    }
    writer
}

bindings::export!(Callee with_types_in bindings);
