//! Bytes of a client to operations: incremental, without copies, without I/O.
//!
//! What it accepts is what nats-server accepts, and so is the moment of refusal: a byte that can
//! start no operation is refused before its line ends. Subjects are not checked here.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::arguments::{self, Arguments};

/// How much longer than its arguments a line may be: the name of the operation and blanks.
const LINE_SLACK: usize = 64;

/// One thing a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Says who the client is: the JSON text.
    Connect(Bytes),
    /// Asks whether the broker is there.
    Ping,
    /// Says that the client is there.
    Pong,
    /// A message.
    Publish(Publish),
    /// A wish for messages.
    Subscribe(Subscribe),
    /// The end of such a wish.
    Unsubscribe(Unsubscribe),
    /// An INFO of the client: the JSON text. It means nothing.
    Info(Bytes),
    /// An acknowledgement by the client. It means nothing.
    Acknowledge,
}

/// A message as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    frame: Bytes,
    subject: Range<usize>,
    reply: Option<Range<usize>>,
    body: usize,
    headers: Option<usize>,
}

/// A wish for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The pattern of subjects, unchecked.
    pub subject: Bytes,
    /// The queue group to join.
    pub queue: Option<Bytes>,
    /// The client's id of the subscription.
    pub id: Bytes,
}

/// The end of a wish for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The client's id of the subscription.
    pub id: Bytes,
    /// After how many messages it ends; none: now.
    pub after: Option<u64>,
}

/// Why the bytes of a client are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The line starts no operation of clients, or a payload does not end where it should.
    #[error("unknown protocol operation")]
    UnknownOperation,
    /// The arguments of a line are too long.
    #[error("maximum control line exceeded")]
    ControlLine,
    /// The arguments of an operation are too few, too many or no numbers.
    #[error("bad arguments of {operation}")]
    Arguments {
        /// The name of the operation.
        operation: &'static str,
    },
    /// The announced message is too long.
    #[error("maximum payload violation")]
    Payload,
    /// The client reports an error of ours.
    #[error("the client sent an error line")]
    ErrorLine,
}

/// What a client may send at most.
#[derive(Clone, Copy, Debug)]
pub struct ParserLimits {
    /// The arguments of one line, in bytes.
    pub control_line_bytes_max: usize,
    /// Headers and payload of one message, in bytes.
    pub payload_bytes_max: usize,
}

/// The state between two pieces of input.
#[derive(Debug)]
pub struct Parser {
    limits: ParserLimits,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In a line, whose first bytes hold no line end.
    Line { scanned: usize },
    /// The line of a message is complete, its payload is not.
    Payload(Announced),
}

/// A line that announces a payload, as ranges of the input.
#[derive(Debug)]
struct Announced {
    line: usize,
    subject: Range<usize>,
    reply: Option<Range<usize>>,
    headers: Option<usize>,
    total: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Connect,
    Ping,
    Pong,
    Publish,
    PublishWithHeaders,
    Subscribe,
    Unsubscribe,
    Info,
    Acknowledge,
    ErrorLine,
}

/// What may stand behind the name of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Blank,
    Anything,
}

enum Recognised {
    /// The name, and the number of its bytes.
    Verb(Verb, usize),
    /// The first bytes of a name.
    Incomplete,
}

impl Parser {
    /// Starts at the start of a line.
    pub fn new(limits: ParserLimits) -> Self {
        Self {
            limits,
            state: State::Line { scanned: 0 },
        }
    }

    /// Takes the next operation from the front of `input`; none when it is not complete yet. What
    /// belongs to an operation shares memory with `input`.
    ///
    /// # Errors
    /// When the client does not keep to the protocol. The rest of its input means nothing then.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Operation>, ParseError> {
        if let State::Line { scanned } = &mut self.state {
            let rest = input.get(*scanned..).unwrap_or_default();
            let Some(end) = memchr(b'\n', rest).map(|at| *scanned + at) else {
                *scanned = input.len();
                return self.check_start_of_line(input).map(|()| None);
            };
            *scanned = 0;
            if let Some(operation) = self.line(input, end)? {
                return Ok(Some(operation));
            }
        }
        self.payload(input)
    }

    /// Returns how many more bytes the operation needs whose start is in `input`: 0 when unknown.
    pub fn missing(&self, input: &BytesMut) -> usize {
        match &self.state {
            State::Line { .. } => 0,
            State::Payload(announced) => announced.frame().saturating_sub(input.len()),
        }
    }

    /// Refuses a line early, without its end.
    fn check_start_of_line(&self, start: &[u8]) -> Result<(), ParseError> {
        match recognise(start)? {
            Recognised::Incomplete => Ok(()),
            Recognised::Verb(_, name) => self.check_length(start, name),
        }
    }

    /// A return at the end does not count: it may belong to the line end.
    fn check_length(&self, line: &[u8], name: usize) -> Result<(), ParseError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let max = self.limits.control_line_bytes_max;
        let arguments = arguments::trim_start(line.get(name..).unwrap_or_default());
        if arguments.len() > max || line.len() > max + LINE_SLACK {
            return Err(ParseError::ControlLine);
        }
        Ok(())
    }

    /// Reads the line before `end`. One that announces a payload stays in `input`.
    fn line(&mut self, input: &mut BytesMut, end: usize) -> Result<Option<Operation>, ParseError> {
        let Recognised::Verb(verb, name) = recognise(&input[..=end])? else {
            return Err(ParseError::UnknownOperation);
        };
        self.check_length(&input[..end], name)?;
        match verb {
            Verb::Publish | Verb::PublishWithHeaders => {
                let with_headers = verb == Verb::PublishWithHeaders;
                let announced = self.announcement(&input[..=end], name, with_headers)?;
                self.state = State::Payload(announced);
                return Ok(None);
            }
            Verb::ErrorLine => return Err(ParseError::ErrorLine),
            _ => {}
        }
        let line = input.split_to(end + 1).freeze();
        Ok(Some(match verb {
            Verb::Ping => Operation::Ping,
            Verb::Pong => Operation::Pong,
            Verb::Connect => Operation::Connect(line.slice(name..)),
            Verb::Info => Operation::Info(line.slice(name..)),
            Verb::Subscribe => Operation::Subscribe(subscribe(&line, name)?),
            Verb::Unsubscribe => Operation::Unsubscribe(unsubscribe(&line, name)?),
            _ => Operation::Acknowledge,
        }))
    }

    fn announcement(
        &self,
        line: &[u8],
        name: usize,
        with_headers: bool,
    ) -> Result<Announced, ParseError> {
        let operation = if with_headers { "HPUB" } else { "PUB" };
        let bad = ParseError::Arguments { operation };
        let arguments = Arguments::split(line, name).ok_or(bad)?;
        let (names, sizes) = arguments
            .split_last(if with_headers { 2 } else { 1 })
            .ok_or(bad)?;
        let (subject, reply) = match names {
            [subject] => (subject.clone(), None),
            [subject, reply] => (subject.clone(), Some(reply.clone())),
            _ => return Err(bad),
        };
        let size = |at: &Range<usize>| arguments::number(&line[at.clone()]).ok_or(bad);
        let total = sizes.last().ok_or(bad).and_then(size)?;
        let headers = if with_headers {
            Some(size(&sizes[0])?)
        } else {
            None
        };
        if headers.is_some_and(|it| it > total) {
            return Err(bad);
        }
        if total > self.limits.payload_bytes_max {
            return Err(ParseError::Payload);
        }
        Ok(Announced {
            line: line.len(),
            subject,
            reply,
            headers,
            total,
        })
    }

    /// Takes the message whose line was read, once its payload is there.
    fn payload(&mut self, input: &mut BytesMut) -> Result<Option<Operation>, ParseError> {
        let State::Payload(announced) = &self.state else {
            return Ok(None);
        };
        let end = announced.line + announced.total;
        let terminator = input.get(end..).unwrap_or_default();
        let terminator = &terminator[..terminator.len().min(2)];
        if !b"\r\n".starts_with(terminator) {
            return Err(ParseError::UnknownOperation);
        }
        if terminator.len() < 2 {
            return Ok(None);
        }
        let frame = input.split_to(announced.frame()).freeze();
        let publish = Publish {
            frame,
            subject: announced.subject.clone(),
            reply: announced.reply.clone(),
            body: announced.line,
            headers: announced.headers,
        };
        self.state = State::Line { scanned: 0 };
        Ok(Some(Operation::Publish(publish)))
    }
}

impl Announced {
    /// The length of the line, the payload and the line end behind it.
    fn frame(&self) -> usize {
        self.line + self.total + 2
    }
}

impl Publish {
    /// Returns the subject it is published to, unchecked.
    pub fn subject(&self) -> &[u8] {
        &self.frame[self.subject.clone()]
    }

    /// Returns the subject to answer to, unchecked.
    pub fn reply(&self) -> Option<&[u8]> {
        self.reply.clone().map(|range| &self.frame[range])
    }

    /// Returns whether it was published with the operation for headers.
    pub fn claims_headers(&self) -> bool {
        self.headers.is_some()
    }

    /// Returns the length of the headers in bytes; 0 when there are none.
    pub fn headers_length(&self) -> usize {
        self.headers.unwrap_or_default()
    }

    /// Returns headers and payload.
    pub fn body(&self) -> &[u8] {
        &self.frame[self.body..self.frame.len() - 2]
    }

    /// Returns headers and payload with the line end behind them, from byte `from` of the headers
    /// on, sharing memory with the input.
    pub fn shared_body_and_end(&self, from: usize) -> Bytes {
        self.frame.slice(self.body + from..)
    }
}

/// Tells the operation from the first bytes of a line.
fn recognise(line: &[u8]) -> Result<Recognised, ParseError> {
    let table: &[(&[u8], Verb, Next)] = match line.first().map(u8::to_ascii_uppercase) {
        Some(b'P') => &[
            (b"PUB", Verb::Publish, Next::Blank),
            (b"PING", Verb::Ping, Next::Anything),
            (b"PONG", Verb::Pong, Next::Anything),
        ],
        Some(b'H') => &[(b"HPUB", Verb::PublishWithHeaders, Next::Blank)],
        Some(b'S') => &[(b"SUB", Verb::Subscribe, Next::Blank)],
        Some(b'U') => &[(b"UNSUB", Verb::Unsubscribe, Next::Blank)],
        Some(b'C') => &[(b"CONNECT", Verb::Connect, Next::Anything)],
        Some(b'I') => &[(b"INFO", Verb::Info, Next::Anything)],
        Some(b'+') => &[(b"+OK", Verb::Acknowledge, Next::Anything)],
        Some(b'-') => &[(b"-ERR", Verb::ErrorLine, Next::Blank)],
        Some(_) => &[],
        None => return Ok(Recognised::Incomplete),
    };
    for &(name, verb, next) in table {
        let given = &line[..line.len().min(name.len())];
        if !given.eq_ignore_ascii_case(&name[..given.len()]) {
            continue;
        }
        return match line.get(name.len()) {
            _ if given.len() < name.len() => Ok(Recognised::Incomplete),
            Some(b' ' | b'\t') | None => Ok(Recognised::Verb(verb, name.len())),
            Some(_) if next == Next::Anything => Ok(Recognised::Verb(verb, name.len())),
            Some(_) => Err(ParseError::UnknownOperation),
        };
    }
    Err(ParseError::UnknownOperation)
}

fn subscribe(line: &Bytes, name: usize) -> Result<Subscribe, ParseError> {
    let bad = ParseError::Arguments { operation: "SUB" };
    let arguments = Arguments::split(line, name).ok_or(bad)?;
    let part = |range: &Range<usize>| line.slice(range.clone());
    match arguments.as_slice() {
        [subject, id] => Ok(Subscribe {
            subject: part(subject),
            queue: None,
            id: part(id),
        }),
        [subject, queue, id] => Ok(Subscribe {
            subject: part(subject),
            queue: Some(part(queue)),
            id: part(id),
        }),
        _ => Err(bad),
    }
}

/// A count that is no number above 0 means: now.
fn unsubscribe(line: &Bytes, name: usize) -> Result<Unsubscribe, ParseError> {
    let bad = ParseError::Arguments { operation: "UNSUB" };
    let arguments = Arguments::split(line, name).ok_or(bad)?;
    let (id, count) = match arguments.as_slice() {
        [id] => (id, None),
        [id, count] => (id, arguments::number(&line[count.clone()])),
        _ => return Err(bad),
    };
    Ok(Unsubscribe {
        id: line.slice(id.clone()),
        after: count.map(|it| it as u64).filter(|it| *it > 0),
    })
}

#[cfg(test)]
mod tests;
