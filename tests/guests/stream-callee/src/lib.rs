//! Exports an interface with streams and futures: writes a pattern, counts and hashes what it reads.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/streams", world: "callee" });
}
mod pattern;

use bindings::exports::trellis_test::streams::api::{Ending, Guest, Reading, Token};
use bindings::{wit_future, wit_stream};
use wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter, spawn_local};

struct Callee;

impl Guest for Callee {
    async fn download(bytes: u64, ending: Ending) -> StreamReader<u8> {
        let (writer, reader) = wit_stream::new();
        spawn_local(async move {
            end_as_told(write(writer, bytes).await, ending).await;
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

    async fn count(numbers: u64, ending: Ending) -> StreamReader<u32> {
        let (writer, reader) = wit_stream::new();
        spawn_local(async move {
            end_as_told(write_numbers(writer, numbers).await, ending).await;
        });
        reader
    }

    async fn sum(mut numbers: StreamReader<u64>, most: u64) -> (u64, u64) {
        let (mut count, mut sum) = (0, 0_u64);
        while count < most {
            let room = (most - count).min(NUMBERS_AT_ONCE) as usize;
            let (result, read) = numbers.read(Vec::with_capacity(room)).await;
            count += read.len() as u64;
            sum = read
                .iter()
                .fold(sum, |sum, number| sum.wrapping_add(*number));
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
        }
        (count, sum)
    }

    async fn mirror_texts(texts: StreamReader<String>) -> StreamReader<String> {
        mirror(texts, wit_stream::new())
    }

    async fn mirror_readings(readings: StreamReader<Reading>) -> StreamReader<Reading> {
        mirror(readings, wit_stream::new())
    }

    async fn mirror_tokens(tokens: StreamReader<Token>) -> StreamReader<Token> {
        mirror(tokens, wit_stream::new())
    }

    async fn mirror_ticks(mut ticks: StreamReader<()>) -> StreamReader<()> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            loop {
                // Room for what has no size is without end: one read may give any number.
                let (result, read) = ticks.read(Vec::new()).await;
                let unread = writer.write_all(read).await;
                if !unread.is_empty() || !matches!(result, StreamResult::Complete(_)) {
                    return;
                }
            }
        });
        reader
    }

    async fn pass_texts(texts: StreamReader<String>) -> StreamReader<String> {
        texts
    }

    async fn groups(sizes: Vec<u32>, ending: Ending) -> StreamReader<StreamReader<u32>> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            let last = sizes.len().saturating_sub(1);
            for (index, size) in sizes.into_iter().enumerate() {
                let (group_writer, group) = wit_stream::new();
                let is_last = index == last;
                spawn_local(async move {
                    let written = write_numbers(group_writer, size.into()).await;
                    if is_last {
                        end_as_told(written, ending).await;
                    }
                });
                if writer.write_one(group).await.is_some() {
                    return;
                }
            }
        });
        reader
    }

    async fn join(texts: Vec<StreamReader<String>>) -> Vec<FutureReader<String>> {
        let joined = texts.into_iter().map(|mut texts| {
            let (writer, reader) = wit_future::new(String::new);
            spawn_local(async move {
                let mut all = String::new();
                while let Some(text) = texts.next().await {
                    all.push_str(&text);
                }
                // Nobody may wait for it any more.
                let _ = writer.write(all).await;
            });
            reader
        });
        joined.collect()
    }

    async fn twice(
        texts: FutureReader<StreamReader<String>>,
    ) -> FutureReader<StreamReader<String>> {
        let (writer, reader) = wit_future::new(|| wit_stream::new::<String>().1);
        spawn_local(async move {
            let mut texts = texts.await;
            let (mut doubled, doubled_reader) = wit_stream::new();
            // Nobody may wait for it any more.
            let _ = writer.write(doubled_reader).await;
            while let Some(text) = texts.next().await {
                if doubled.write_one(format!("{text}{text}")).await.is_some() {
                    return;
                }
            }
        });
        reader
    }

    async fn answers(
        mut questions: StreamReader<(u32, FutureReader<String>)>,
    ) -> Result<StreamReader<Option<FutureReader<String>>>, String> {
        let Some((number, question)) = questions.next().await else {
            return Err("no questions".to_owned());
        };
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            let mut present = Some((number, question));
            while let Some((number, question)) = present {
                let answer = answered(number, question).await;
                if writer.write_one(answer).await.is_some() {
                    return;
                }
                present = questions.next().await;
            }
        });
        Ok(reader)
    }

    async fn pass_groups(
        groups: StreamReader<StreamReader<String>>,
    ) -> StreamReader<StreamReader<String>> {
        groups
    }
}

/// Numbers that are written or read at once.
const NUMBERS_AT_ONCE: u64 = 10_000;

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

/// Writes numbers from 0 on, until all are written or nobody reads any more.
async fn write_numbers(mut writer: StreamWriter<u32>, numbers: u64) -> StreamWriter<u32> {
    let mut written = 0;
    while written < numbers {
        let end = numbers.min(written + NUMBERS_AT_ONCE);
        let chunk = (written..end).map(|number| number as u32).collect();
        if !writer.write_all(chunk).await.is_empty() {
            break;
        }
        written = end;
    }
    writer
}

async fn end_as_told<T>(writer: StreamWriter<T>, ending: Ending) {
    match ending {
        Ending::Done => drop(writer),
        Ending::Trap => core::arch::wasm32::unreachable(),
        Ending::Wait => wait_for_ever().await,
    }
}

/// Writes what it reads, each when it has come.
fn mirror<T>(
    mut from: StreamReader<T>,
    (mut writer, reader): (StreamWriter<T>, StreamReader<T>),
) -> StreamReader<T> {
    spawn_local(async move {
        while let Some(item) = from.next().await {
            if writer.write_one(item).await.is_some() {
                return;
            }
        }
    });
    reader
}

/// Answers a question when it has come.
async fn answered(number: u32, question: FutureReader<String>) -> Option<FutureReader<String>> {
    let (writer, reader) = wit_future::new(String::new);
    let question = question.await;
    if question.is_empty() {
        return None;
    }
    spawn_local(async move {
        // Nobody may wait for it any more.
        let _ = writer.write(format!("{number}: {question} - yes")).await;
    });
    Some(reader)
}

bindings::export!(Callee with_types_in bindings);
