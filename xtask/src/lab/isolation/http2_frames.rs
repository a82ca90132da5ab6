//! Frames of HTTP/2 as no decent client writes them, and what a server answers. Knows no scenario.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What a connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of the head of a frame.
const HEAD_BYTES: usize = 9;

/// The largest frame that a server takes which was told nothing else.
pub(super) const FRAME_BYTES_MAX: usize = 16_384;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// How long to rest when the server takes nothing.
const REST: Duration = Duration::from_millis(1);

/// Appends a frame.
pub(super) fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Appends an integer of HPACK with a prefix of seven bits, as the length of a plain string is.
fn length(out: &mut Vec<u8>, value: usize) {
    const PREFIX: usize = 127;
    if value < PREFIX {
        out.push(value as u8);
        return;
    }
    out.push(PREFIX as u8);
    let mut rest = value - PREFIX;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// Appends a plain string of HPACK.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Returns the header block of a request, without anything that a table would remember.
pub(super) fn request(method: Method, path: &str) -> Vec<u8> {
    let method = match method {
        Method::Get => 2,
        Method::Post => 3,
    };
    // Fields of the static table: the method, the scheme `http`, then path and authority by name.
    let mut block = vec![0x80 | method, 0x80 | 6, 4];
    string(&mut block, path);
    block.push(1);
    string(&mut block, "lab.test");
    block
}

/// The methods that are asked with.
#[derive(Clone, Copy)]
pub(super) enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
}

/// A connection whose answers are read so that it does not fill up; only how many there were is kept.
pub(super) struct Connection {
    stream: TcpStream,
    is_closed: bool,
    /// What has come of the next frame.
    begun: Vec<u8>,
    answers: usize,
}

impl Connection {
    /// Connects and greets, with the payload of a SETTINGS frame.
    pub(super) fn open(address: SocketAddr, settings: &[u8]) -> Result<Self> {
        let mut stream = TcpStream::connect(address).context("cannot connect")?;
        let mut greeting = PREFACE.to_vec();
        frame(&mut greeting, SETTINGS, 0, 0, settings);
        stream.write_all(&greeting)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            is_closed: false,
            begun: Vec::new(),
            answers: 0,
        })
    }

    /// Sends `bytes`, unless the server closes or takes nothing until `until`. Tells whether all was taken.
    pub(super) fn send(&mut self, mut bytes: &[u8], until: Instant) -> bool {
        while !bytes.is_empty() && !self.is_closed() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if Instant::now() > until {
                        return false;
                    }
                    thread::sleep(REST);
                }
                Err(_) => self.is_closed = true,
            }
        }
        bytes.is_empty()
    }

    /// Reads what has come, and tells whether the server has closed.
    pub(super) fn is_closed(&mut self) -> bool {
        let mut room = [0; FRAME_BYTES_MAX + HEAD_BYTES];
        while !self.is_closed {
            match self.stream.read(&mut room) {
                Ok(0) => self.is_closed = true,
                Ok(count) => self.take(&room[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.is_closed = true,
            }
        }
        self.is_closed
    }

    /// Returns how many answers have ended.
    pub(super) fn answers(&mut self) -> usize {
        self.is_closed();
        self.answers
    }

    /// Counts the frames that end an answer.
    fn take(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        while let [a, b, c, kind, flags, ..] = *self.begun {
            let whole = HEAD_BYTES + u32::from_be_bytes([0, a, b, c]) as usize;
            if self.begun.len() < whole {
                return;
            }
            let is_last = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
            self.answers += usize::from(is_last);
            self.begun.drain(..whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_fields_are_those_of_the_standard() {
        let mut out = Vec::new();
        frame(&mut out, PING, 0, 0, b"12345678");
        assert_eq!(out, b"\0\0\x08\x06\0\0\0\0\x0012345678");
        assert_eq!(
            request(Method::Get, "/a"),
            b"\x82\x86\x04\x02/a\x01\x08lab.test"
        );
        // The example of RFC 7541, C.1.2, with a prefix of seven bits: 1337 = 127 + 58 + 9 * 128.
        let mut out = Vec::new();
        length(&mut out, 1_337);
        assert_eq!(out, [127, 58 | 128, 9]);
    }
}
