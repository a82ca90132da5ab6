//! A small HTTP/1.1 client that shows a test exactly what came over the wire.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer takes, so that a hang is a failed test.
const READ_TIMEOUT: Duration = Duration::from_secs(40);

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, the names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the value of the header called `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(candidate, _)| candidate == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Tells whether the server ends the connection after it.
    pub fn is_last(&self) -> bool {
        self.header("connection")
            .is_some_and(|it| it.eq_ignore_ascii_case("close"))
    }
}

/// A connection that is kept open between requests.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Client {
    /// Connects to `address` and asks for its host `host`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: SocketAddr, host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            host: host.to_owned(),
        })
    }

    /// Sends a GET and reads the whole answer.
    ///
    /// # Errors
    /// When the connection ends before the answer does, or the answer is not HTTP/1.1.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        let host = &self.host;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let status = self.line()?;
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = code.ok_or_else(|| invalid(&format!("status line {status:?}")))?;
        let mut response = Response {
            status,
            headers: self.headers()?,
            body: Vec::new(),
        };
        response.body = self.body(&response)?;
        Ok(response)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn headers(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(headers);
            }
            let pair = line
                .split_once(':')
                .ok_or_else(|| invalid(&format!("header {line:?}")))?;
            headers.push((pair.0.to_ascii_lowercase(), pair.1.trim().to_owned()));
        }
    }

    fn body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(|_| invalid("content-length"))?;
            return self.bytes(length);
        }
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let size = usize::from_str_radix(&size, 16).map_err(|_| invalid("chunk size"))?;
            body.extend(self.bytes(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Sends one GET over a connection of its own.
///
/// # Panics
/// When there is no answer.
pub fn get(address: SocketAddr, path: &str) -> Response {
    get_from(address, "localhost", path)
}

/// Sends one GET to the host `host` of `address`.
///
/// # Panics
/// When there is no answer.
pub fn get_from(address: SocketAddr, host: &str, path: &str) -> Response {
    let response = Client::connect(address, host).and_then(|mut client| client.get(path));
    response.unwrap_or_else(|error| panic!("GET {path} of {host} at {address}: {error}"))
}
