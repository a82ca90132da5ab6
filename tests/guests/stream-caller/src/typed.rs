//! Streams and futures of all kinds of types: sends so many elements, reads what comes, and compares.
//!
//! | Deed | What crosses |
//! |---|---|
//! | `texts`, `readings`, `tokens`, `ticks` | elements, there and back one by one |
//! | `pass` | strings, given back unread |
//! | `sum` | numbers, of which the other end reads as many as it is told to take |
//! | `groups` | streams in a stream |
//! | `kept` | streams in a stream that is dropped when the first one has come, which is read then |
//! | `join` | streams in a list, and futures in a list |
//! | `twice` | a stream in a future, both ways |
//! | `answers` | futures in the elements of a stream in a result |
//! | `pass-groups` | streams in a stream, given back unread |

use wasip3::spawn_local;
use wasip3::wit_bindgen::{StreamReader, StreamResult, StreamWriter};

use crate::bindings::trellis_test::streams::api::{self, Ending, Reading, Token};
use crate::bindings::{wit_future, wit_stream};

/// What to do.
pub(crate) struct Deed<'a> {
    pub(crate) name: &'a str,
    pub(crate) count: u64,
    pub(crate) take: u64,
    pub(crate) ending: Ending,
}

/// Reads up to `take` numbers and drops the stream.
pub(crate) async fn count(numbers: u64, take: u64, ending: Ending) -> String {
    counted(api::count(numbers, ending).await, take).await
}

/// Reads up to `take` numbers that count from 0, and says how many came.
async fn counted(reader: StreamReader<u32>, take: u64) -> String {
    match read_numbers(reader, take).await {
        Ok(count) => format!("{count}\n"),
        Err(why) => why,
    }
}

async fn read_numbers(mut reader: StreamReader<u32>, take: u64) -> Result<u64, String> {
    let mut count = 0;
    while count < take {
        let room = (take - count).min(NUMBERS_AT_ONCE) as usize;
        let (result, read) = reader.read(Vec::with_capacity(room)).await;
        for number in read {
            if u64::from(number) != count {
                return Err(format!("{number} came in place of {count}\n"));
            }
            count += 1;
        }
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    Ok(count)
}

/// Numbers that are read at once.
const NUMBERS_AT_ONCE: u64 = 10_000;

impl Deed<'_> {
    pub(crate) async fn run(&self) -> String {
        let (count, take, ending) = (self.count, self.take, self.ending);
        match self.name {
            "texts" => {
                let sent = written(count, ending, text, wit_stream::new());
                compared(api::mirror_texts(sent).await, take, text).await
            }
            "readings" => {
                let sent = written(count, ending, reading, wit_stream::new());
                let read = api::mirror_readings(sent).await;
                compared(shown(read, |it| format!("{it:?}")), take, |number| {
                    format!("{:?}", reading(number))
                })
                .await
            }
            "tokens" => {
                let sent = written(count, ending, token, wit_stream::new());
                let read = api::mirror_tokens(sent).await;
                compared(shown(read, |it| format!("{it:?}")), take, |number| {
                    format!("{:?}", token(number))
                })
                .await
            }
            "ticks" => {
                let sent = written(count, ending, |_| (), wit_stream::new());
                ticks(api::mirror_ticks(sent).await).await
            }
            "pass" => {
                let sent = written(count, ending, text, wit_stream::new());
                compared(api::pass_texts(sent).await, take, text).await
            }
            "sum" => {
                let sent = written(count, ending, |number| number << 32, wit_stream::new());
                let (count, sum) = api::sum(sent, take).await;
                format!("{count} {sum}\n")
            }
            "groups" => self.groups().await,
            "kept" => {
                let mut groups = api::groups(vec![count as u32; 3], ending).await;
                let first = groups.next().await;
                drop(groups);
                match first {
                    Some(first) => counted(first, take).await,
                    None => "no group came\n".to_owned(),
                }
            }
            "join" => join(count).await,
            "twice" => twice(count).await,
            "answers" => answers(count).await,
            "pass-groups" => pass_groups(count, take).await,
            other => format!("no such deed: {other}\n"),
        }
    }

    /// Reads groups of 0, 1, 2 and so on numbers, each to its end before the next one.
    async fn groups(&self) -> String {
        let sizes: Vec<u32> = (0..self.count as u32).collect();
        let mut groups = api::groups(sizes, self.ending).await;
        let (mut came, mut numbers) = (0, 0);
        while let Some(group) = groups.next().await {
            let size = match read_numbers(group, u64::MAX).await {
                Ok(size) => size,
                Err(why) => return why,
            };
            if size != came {
                return format!("{size} numbers came in group {came}\n");
            }
            came += 1;
            numbers += size;
            if came == self.take {
                break;
            }
        }
        format!("{came} {numbers}\n")
    }
}

fn text(number: u64) -> String {
    // One is longer than a pipe.
    let length = if number == 7 { 40_000 } else { number % 5 };
    format!("{number}-{}", "é".repeat(length as usize))
}

fn reading(number: u64) -> Reading {
    Reading {
        sensor: text(number % 6),
        values: (0..number % 7).map(|value| value as f64 / 3.0).collect(),
        level: number.is_multiple_of(2).then_some((number % 1_000) as u16),
        at: number << 40,
    }
}

fn token(number: u64) -> Token {
    match number % 4 {
        0 => Token::End,
        1 => Token::Number(-(number as i64) << 33),
        2 => Token::Word(text(number)),
        _ => Token::Pair((number as u8, text(number % 5))),
    }
}

/// Returns a stream of so many elements that a task of its own writes.
fn written<T: 'static>(
    count: u64,
    ending: Ending,
    make: impl Fn(u64) -> T + 'static,
    (mut writer, reader): (StreamWriter<T>, StreamReader<T>),
) -> StreamReader<T> {
    spawn_local(async move {
        let mut written = 0;
        while written < count {
            // One, and then more and more at once.
            let end = count.min(2 * written + 1).min(written + 5_000);
            let chunk = (written..end).map(&make).collect();
            if !writer.write_all(chunk).await.is_empty() {
                return;
            }
            written = end;
        }
        match ending {
            Ending::Done => drop(writer),
            Ending::Trap => core::arch::wasm32::unreachable(),
            Ending::Wait => {
                // Waits for what nobody writes.
                let (_never_writes, mut reader) = wit_stream::new::<u32>();
                reader.next().await;
            }
        }
    });
    reader
}

/// Elements that come.
trait Coming<T> {
    async fn next(&mut self) -> Option<T>;
}

impl<T> Coming<T> for StreamReader<T> {
    async fn next(&mut self) -> Option<T> {
        StreamReader::next(self).await
    }
}

struct Shown<T: 'static, S> {
    from: StreamReader<T>,
    show: S,
}

fn shown<T, S: Fn(T) -> String>(from: StreamReader<T>, show: S) -> Shown<T, S> {
    Shown { from, show }
}

impl<T, S: Fn(T) -> String> Coming<String> for Shown<T, S> {
    async fn next(&mut self) -> Option<String> {
        self.from.next().await.map(&self.show)
    }
}

/// Reads up to `take` elements, and compares each.
async fn compared<T: PartialEq>(
    mut read: impl Coming<T>,
    take: u64,
    expected: impl Fn(u64) -> T,
) -> String {
    let mut count = 0;
    while count < take {
        let Some(element) = read.next().await else {
            break;
        };
        if element != expected(count) {
            return format!("element {count} is another\n");
        }
        count += 1;
    }
    format!("{count}\n")
}

async fn ticks(mut ticks: StreamReader<()>) -> String {
    let mut count = 0;
    loop {
        // Room for what has no size is without end: one read may give any number.
        let (result, read) = ticks.read(Vec::new()).await;
        count += read.len();
        if !matches!(result, StreamResult::Complete(_)) {
            return format!("{count}\n");
        }
    }
}

/// Sends lists of streams: the first one empty, the next of one text, and so on.
async fn join(count: u64) -> String {
    let streams = (0..count).map(|size| written(size, Ending::Done, text, wit_stream::new()));
    let answers = api::join(streams.collect()).await;
    let mut right = 0;
    // The last one first: none waits for another.
    for (size, answer) in answers.into_iter().enumerate().rev() {
        let expected: String = (0..size as u64).map(text).collect();
        right += u64::from(answer.await == expected);
    }
    format!("{right}\n")
}

async fn twice(count: u64) -> String {
    let (writer, reader) = wit_future::new(|| wit_stream::new::<String>().1);
    spawn_local(async move {
        let texts = written(count, Ending::Done, text, wit_stream::new());
        // The other end may have no use for it.
        let _ = writer.write(texts).await;
    });
    let answer = api::twice(reader).await;
    let texts = answer.await;
    compared(texts, u64::MAX, |number| text(number).repeat(2)).await
}

async fn answers(count: u64) -> String {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        for number in 0..count as u32 {
            let (answer_writer, question) = wit_future::new(String::new);
            spawn_local(async move {
                let question = if number % 3 == 2 {
                    String::new()
                } else {
                    format!("q{number}")
                };
                // The other end may have no use for it.
                let _ = answer_writer.write(question).await;
            });
            if writer.write_one((number, question)).await.is_some() {
                return;
            }
        }
    });
    let mut answers = match api::answers(reader).await {
        Ok(answers) => answers,
        Err(why) => return format!("{why}\n"),
    };
    let (mut came, mut answered) = (0, 0);
    while let Some(answer) = answers.next().await {
        if let Some(answer) = answer {
            let answer = answer.await;
            if answer != format!("{came}: q{came} - yes") {
                return format!("{answer} came for {came}\n");
            }
            answered += 1;
        }
        came += 1;
    }
    format!("{came} {answered}\n")
}

/// Sends groups of texts and reads them back, each to its end before the next one.
async fn pass_groups(count: u64, take: u64) -> String {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        for size in 0..count {
            let group = written(size, Ending::Done, text, wit_stream::new());
            if writer.write_one(group).await.is_some() {
                return;
            }
        }
    });
    let mut groups = api::pass_groups(reader).await;
    let mut came = 0;
    while came < take {
        let Some(group) = groups.next().await else {
            break;
        };
        let said = compared(group, u64::MAX, text).await;
        if said != format!("{came}\n") {
            return format!("group {came}: {said}");
        }
        came += 1;
    }
    format!("{came}\n")
}
