//! The least of an HTTP client: one connection, one request after the other.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// A connection that is kept.
pub(crate) struct HttpClient {
    stream: BufReader<TcpStream>,
}

impl HttpClient {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends `GET path` and returns the body of the answer.
    ///
    /// # Errors
    /// When the answer is not 200, or its end cannot be told.
    pub(crate) fn get(&mut self, path: &str) -> Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let status = self.line()?;
        let mut length = None;
        let mut is_chunked = false;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Some(value.trim().parse()?);
            }
            is_chunked |= line.starts_with("transfer-encoding:") && line.ends_with("chunked");
        }
        let body = match length {
            Some(length) => self.bytes(length)?,
            None if is_chunked => self.chunks()?,
            None => bail!("the answer does not tell where it ends"),
        };
        let body = String::from_utf8(body)?;
        ensure!(status.contains(" 200 "), "{path} answered {status}: {body}");
        Ok(body)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let length = u64::from_str_radix(&self.line()?, 16)?;
            body.extend(self.bytes(length)?);
            // Behind each chunk an empty line; no server of ours sends trailers.
            ensure!(self.line()?.is_empty(), "a chunk without an end");
            if length == 0 {
                return Ok(body);
            }
            ensure!(body.len() as u64 <= ANSWER_BYTES_MAX, "a long answer");
        }
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
        let mut bytes = Vec::new();
        self.stream.by_ref().take(length).read_to_end(&mut bytes)?;
        ensure!(bytes.len() as u64 == length, "an answer was cut short");
        Ok(bytes)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self
            .stream
            .by_ref()
            .take(ANSWER_BYTES_MAX)
            .read_line(&mut line)?;
        ensure!(read > 0, "the server closed the connection");
        Ok(line.trim_end().to_owned())
    }
}
