//! A strict reading of HTTP/1 framing, over the bytes on their way to the parser.
//!
//! The parser behind is lenient where two parties can disagree about where a request ends (a bare
//! line feed ends a line, a Content-Length beside a Transfer-Encoding is dropped, equal lengths are
//! merged). Here such a request is found before the parser sees its end, and is made unparsable.
//! Pure: knows bytes, no sockets and no clock.

use memchr::memchr;

/// The longest line before a chunk: 15 digits and a modest extension.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// The most digits of a length: 15 hexadecimal or 18 decimal ones stay below 2^63.
const CHUNK_DIGITS_MAX: usize = 15;
const LENGTH_DIGITS_MAX: usize = 18;

/// Bytes of a request line beside its target: method, version, two spaces.
const REQUEST_LINE_BYTES: usize = 32;

/// What to do with the bytes just scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Pass all of them.
    Pass,
    /// The head that holds the byte at this index is ambiguous or malformed.
    BadHead(usize),
    /// The request target does not end within its limit; what follows this index is more of it.
    LongTarget(usize),
    /// The body is malformed from this index on.
    BadBody(usize),
}

/// Where in the sequence of messages the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a request line; empty lines may come first.
    Start,
    Fields,
    Fixed(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
}

/// The framing of one connection.
pub(crate) struct Framing {
    place: Place,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Heads that were complete.
    heads: u64,
    target_bytes_max: usize,
    http10: bool,
    length: Option<u64>,
    chunked: bool,
}

/// The message is not one that everybody reads alike.
struct Ambiguous;

impl Framing {
    pub(crate) fn new(target_bytes_max: usize) -> Self {
        Self {
            place: Place::Start,
            partial: Vec::new(),
            heads: 0,
            target_bytes_max,
            http10: false,
            length: None,
            chunked: false,
        }
    }

    /// Tells whether every byte so far belongs to a complete message.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.place == Place::Start && self.partial.is_empty()
    }

    /// Tells whether the next byte belongs to a request head that has begun.
    pub(crate) fn is_in_head(&self) -> bool {
        self.place == Place::Fields || (self.place == Place::Start && !self.partial.is_empty())
    }

    /// Returns how many heads were complete.
    pub(crate) fn heads(&self) -> u64 {
        self.heads
    }

    /// Follows `bytes`. After anything but [`Verdict::Pass`] the connection is at its end.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Verdict {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.place {
                Place::Fixed(left) => {
                    let (taken, left) = take(rest, left);
                    self.place = if left == 0 {
                        Place::Start
                    } else {
                        Place::Fixed(left)
                    };
                    at += taken;
                }
                Place::Chunk(left) => {
                    let (taken, left) = take(rest, left);
                    self.place = if left == 0 {
                        Place::ChunkEnd
                    } else {
                        Place::Chunk(left)
                    };
                    at += taken;
                }
                _ => match self.scan_line(rest) {
                    Ok(taken) => at += taken,
                    Err(verdict) => return verdict.after(at),
                },
            }
        }
        Verdict::Pass
    }

    /// Follows one line, or the part of it that is there; returns how many bytes that was.
    fn scan_line(&mut self, rest: &[u8]) -> Result<usize, Verdict> {
        let end = memchr(b'\n', rest);
        let length = self.partial.len() + end.unwrap_or(rest.len());
        self.check_length(length)?;
        let Some(end) = end else {
            self.partial.extend_from_slice(rest);
            return Ok(rest.len());
        };
        let taken = if self.partial.is_empty() {
            self.line(&rest[..end])
        } else {
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(&rest[..end]);
            let taken = self.line(&line);
            line.clear();
            self.partial = line;
            taken
        };
        match taken {
            Ok(()) => Ok(end + 1),
            Err(Ambiguous) if self.is_body() => Err(Verdict::BadBody(0)),
            Err(Ambiguous) => Err(Verdict::BadHead(end)),
        }
    }

    /// Bounds lines that the parser behind does not bound the way we want. (It bounds a whole head.)
    fn check_length(&self, length: usize) -> Result<(), Verdict> {
        match self.place {
            Place::Start => {
                let most = self.target_bytes_max + REQUEST_LINE_BYTES;
                if length > most {
                    return Err(Verdict::LongTarget(most.saturating_sub(self.partial.len())));
                }
            }
            Place::ChunkSize | Place::ChunkEnd if length > CHUNK_LINE_BYTES_MAX => {
                return Err(Verdict::BadBody(0));
            }
            _ => {}
        }
        Ok(())
    }

    fn is_body(&self) -> bool {
        matches!(
            self.place,
            Place::ChunkSize | Place::ChunkEnd | Place::Trailers
        )
    }

    /// Follows one whole line, given without its line feed.
    fn line(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        let line = line.strip_suffix(b"\r").ok_or(Ambiguous)?;
        match self.place {
            Place::Start => {
                if !line.is_empty() {
                    self.http10 = line.ends_with(b" HTTP/1.0");
                    self.length = None;
                    self.chunked = false;
                    self.place = Place::Fields;
                }
            }
            Place::Fields if line.is_empty() => {
                self.heads += 1;
                self.place = match self.length {
                    _ if self.chunked => Place::ChunkSize,
                    None | Some(0) => Place::Start,
                    Some(length) => Place::Fixed(length),
                };
            }
            Place::Fields => self.field(line)?,
            Place::ChunkSize => {
                self.place = match chunk_size(line)? {
                    0 => Place::Trailers,
                    size => Place::Chunk(size),
                };
            }
            Place::ChunkEnd => {
                if !line.is_empty() {
                    return Err(Ambiguous);
                }
                self.place = Place::ChunkSize;
            }
            Place::Trailers if line.is_empty() => self.place = Place::Start,
            Place::Trailers => {
                field_parts(line)?;
            }
            Place::Fixed(_) | Place::Chunk(_) => {}
        }
        Ok(())
    }

    /// Follows one header line, and keeps what it says about the length of the body.
    fn field(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        let (name, value) = field_parts(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = trim_blanks(value);
            let sound = (1..=LENGTH_DIGITS_MAX).contains(&digits.len())
                && digits.iter().all(u8::is_ascii_digit);
            if !sound || self.chunked || self.length.is_some() {
                return Err(Ambiguous);
            }
            let length = digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let only_chunked = trim_blanks(value).eq_ignore_ascii_case(b"chunked");
            if !only_chunked || self.http10 || self.chunked || self.length.is_some() {
                return Err(Ambiguous);
            }
            self.chunked = true;
        }
        Ok(())
    }
}

impl Verdict {
    /// Moves the index by `bytes` that came before.
    fn after(self, bytes: usize) -> Self {
        match self {
            Self::Pass => Self::Pass,
            Self::BadHead(at) => Self::BadHead(at + bytes),
            Self::LongTarget(at) => Self::LongTarget(at + bytes),
            Self::BadBody(at) => Self::BadBody(at + bytes),
        }
    }
}

/// Takes up to `left` bytes of `rest`; returns how many, and what is left.
fn take(rest: &[u8], left: u64) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
    (taken, left - taken as u64)
}

/// Splits a header line. A folded line, an empty name and a blank beside the name are ambiguous.
fn field_parts(line: &[u8]) -> Result<(&[u8], &[u8]), Ambiguous> {
    let colon = memchr(b':', line).ok_or(Ambiguous)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let (Some(first), Some(last)) = (name.first(), name.last()) else {
        return Err(Ambiguous);
    };
    if is_blank(*first) || is_blank(*last) {
        return Err(Ambiguous);
    }
    Ok((name, value))
}

/// Reads the size of a chunk: digits, then nothing or an extension of printable text.
fn chunk_size(line: &[u8]) -> Result<u64, Ambiguous> {
    let digits = memchr(b';', line).unwrap_or(line.len());
    let (digits, extension) = line.split_at(digits);
    if digits.is_empty() || digits.len() > CHUNK_DIGITS_MAX {
        return Err(Ambiguous);
    }
    if extension
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        return Err(Ambiguous);
    }
    digits.iter().try_fold(0, |sum, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Ambiguous)?;
        Ok(sum * 16 + u64::from(digit))
    })
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Removes blanks, and nothing else that looks like them, from both ends.
fn trim_blanks(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_blank(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_blank(*last)
    {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(text: &str) -> (Verdict, bool) {
        let mut framing = Framing::new(100);
        let verdict = framing.scan(text.as_bytes());
        (verdict, framing.is_between_messages())
    }

    #[test]
    fn whole_messages_pass() {
        for text in [
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nx:\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 3 \r\n\r\na\nbGET / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding:\tChunked \r\n\r\n5;a=\"b\"\r\n\n\n\n\n\n\r\n00\r\nt: 1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert_eq!(scan(text), (Verdict::Pass, true), "{text:?}");
        }
    }

    #[test]
    fn an_endless_target_is_cut() {
        let text = format!("GET /{}", "a".repeat(5_000));
        assert_eq!(scan(&text).0, Verdict::LongTarget(132));
        let mut framing = Framing::new(100);
        assert_eq!(framing.scan(b"GET /"), Verdict::Pass);
        assert!(framing.is_in_head());
        assert_eq!(framing.scan(&[b'a'; 500]), Verdict::LongTarget(127));
    }

    const PIECES: &[&str] = &[
        "GET / HTTP/1.1\r\n",
        "POST / HTTP/1.0\r\n",
        "content-length: 5\r\n",
        "Content-Length: +5\r\n",
        "transfer-encoding: chunked\r\n",
        " folded\r\n",
        "a: b\n",
        "a : b\r\n",
        "\r\n",
        "\n",
        "\r",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "g\r\n",
        "hello",
        "x",
    ];

    proptest! {
        /// Neither panics nor depends on how the bytes arrive.
        #[test]
        fn the_verdict_is_the_same_in_any_pieces(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..14),
            cuts in proptest::collection::vec(1_usize..20, 1..8),
        ) {
            let text = pieces.concat();
            let mut whole = Framing::new(100);
            let expected = std::mem::discriminant(&whole.scan(text.as_bytes()));
            let mut parts = Framing::new(100);
            let mut rest = text.as_bytes();
            let mut found = std::mem::discriminant(&Verdict::Pass);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() || found != std::mem::discriminant(&Verdict::Pass) {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                found = std::mem::discriminant(&parts.scan(now));
                rest = later;
            }
            prop_assert_eq!(found, expected);
        }
    }
}
