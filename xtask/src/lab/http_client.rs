//! An HTTP/1.1 connection that is kept, for requests one after the other whose time is measured.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The largest answer that is read: those of the lab's components are a line each.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Lines of a head that are read.
const HEAD_LINES_MAX: usize = 128;

/// Bytes of a line of a head.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// The class of a failure, as `x-trellis-error` names it.
    pub(super) class: Option<String>,
    /// The body.
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NoAnswer {
    /// Nobody takes connections.
    Refused,
    /// The connection ended before or within the answer.
    Cut,
    /// Nothing came in time.
    Timeout,
    /// What came is no HTTP.
    Malformed,
}

/// A client of one address.
pub(super) struct Client {
    address: SocketAddr,
    timeout: Duration,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// Makes a client that waits `timeout` for an answer. It connects when it has something to ask.
    pub(super) fn new(address: SocketAddr, timeout: Duration) -> Self {
        Self {
            address,
            timeout,
            connection: None,
        }
    }

    /// Asks for `path`. A kept connection that the server has closed is replaced; a request that was sent is
    /// never repeated, so that one which was dropped is seen.
    ///
    /// # Errors
    /// Without an answer.
    pub(super) fn get(&mut self, path: &str) -> Result<Answer, NoAnswer> {
        let connection = match self.connection.take().filter(is_open) {
            Some(kept) => kept,
            None => self.connect()?,
        };
        self.exchange(connection, path)
    }

    fn connect(&self) -> Result<BufReader<TcpStream>, NoAnswer> {
        let stream = TcpStream::connect_timeout(&self.address, self.timeout).map_err(of_io)?;
        stream.set_nodelay(true).map_err(of_io)?;
        stream
            .set_write_timeout(Some(self.timeout))
            .map_err(of_io)?;
        Ok(BufReader::new(stream))
    }

    fn exchange(
        &mut self,
        mut connection: BufReader<TcpStream>,
        path: &str,
    ) -> Result<Answer, NoAnswer> {
        let end = Instant::now() + self.timeout;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        let stream = connection.get_mut();
        stream.write_all(request.as_bytes()).map_err(of_io)?;
        let mut reader = Reader { connection, end };
        let (answer, is_kept) = reader.answer()?;
        if is_kept {
            self.connection = Some(reader.connection);
        }
        Ok(answer)
    }
}

/// Whether the server has neither closed the connection nor sent what nobody asked for.
fn is_open(connection: &BufReader<TcpStream>) -> bool {
    let stream = connection.get_ref();
    let look = |stream: &TcpStream| {
        stream.set_nonblocking(true)?;
        let seen = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        seen
    };
    look(stream).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn of_io(error: std::io::Error) -> NoAnswer {
    match error.kind() {
        ErrorKind::ConnectionRefused => NoAnswer::Refused,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => NoAnswer::Timeout,
        _ => NoAnswer::Cut,
    }
}

struct Reader {
    connection: BufReader<TcpStream>,
    end: Instant,
}

impl Reader {
    /// Reads one answer, and whether the connection can be used again.
    fn answer(&mut self) -> Result<(Answer, bool), NoAnswer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.ok_or(NoAnswer::Malformed)?;
        let (mut length, mut is_chunked, mut is_kept, mut class) = (0, false, true, None);
        for _ in 0..HEAD_LINES_MAX {
            let line = self.line()?;
            if line.is_empty() {
                let body = if is_chunked {
                    self.chunks()?
                } else {
                    self.bytes(length)?
                };
                let answer = Answer {
                    status,
                    class,
                    body,
                };
                return Ok((answer, is_kept));
            }
            let (name, value) = line.split_once(':').ok_or(NoAnswer::Malformed)?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(|_| NoAnswer::Malformed)?,
                "transfer-encoding" => is_chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => is_kept = !value.eq_ignore_ascii_case("close"),
                "x-trellis-error" => class = Some(value.to_owned()),
                _ => {}
            }
        }
        Err(NoAnswer::Malformed)
    }

    fn chunks(&mut self) -> Result<Vec<u8>, NoAnswer> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| NoAnswer::Malformed)?;
            if size == 0 {
                self.line()?;
                return Ok(body);
            }
            if body.len().saturating_add(size) > BODY_BYTES_MAX {
                return Err(NoAnswer::Malformed);
            }
            body.extend(self.bytes(size)?);
            self.line()?;
        }
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, NoAnswer> {
        if length > BODY_BYTES_MAX {
            return Err(NoAnswer::Malformed);
        }
        self.limit_time()?;
        let mut bytes = vec![0; length];
        self.connection.read_exact(&mut bytes).map_err(of_io)?;
        Ok(bytes)
    }

    /// Reads a line without its end.
    fn line(&mut self) -> Result<String, NoAnswer> {
        self.limit_time()?;
        let mut line = String::new();
        let mut limited = (&mut self.connection).take(LINE_BYTES_MAX);
        limited.read_line(&mut line).map_err(of_io)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(NoAnswer::Cut),
        }
    }

    fn limit_time(&mut self) -> Result<(), NoAnswer> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoAnswer::Timeout);
        }
        let stream = self.connection.get_ref();
        stream.set_read_timeout(Some(left)).map_err(of_io)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Asks a server that gives each connection the next of `scripts`: its answers, one for each request.
    fn ask(
        scripts: &'static [&'static [&'static str]],
        requests: usize,
    ) -> Vec<Result<Answer, NoAnswer>> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = thread::spawn(move || {
            for script in scripts {
                let (stream, _) = listener.accept().expect("a client");
                let mut reader = BufReader::new(stream);
                for answer in *script {
                    let mut line = String::new();
                    while reader.read_line(&mut line).expect("a request") > 2 {
                        line.clear();
                    }
                    let stream = reader.get_mut();
                    stream.write_all(answer.as_bytes()).expect("it listens");
                }
            }
        });
        let mut client = Client::new(address, Duration::from_secs(60));
        let answers = (0..requests).map(|_| client.get("/a")).collect();
        server.join().expect("the server ends");
        answers
    }

    fn text(status: u16, class: Option<&str>, body: &str) -> Result<Answer, NoAnswer> {
        Ok(Answer {
            status,
            class: class.map(str::to_owned),
            body: body.into(),
        })
    }

    #[test]
    fn a_connection_is_kept_and_replaced_when_it_is_to_be_closed() {
        const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
        const CHUNKED: &str = "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\
            x-trellis-error: unavailable\r\nConnection: close\r\n\r\n2\r\nno\r\n0\r\n\r\n";
        let answers = ask(&[&[OK, OK, CHUNKED], &[OK]], 4);
        let ok = || text(200, None, "ok\n");
        let failed = text(503, Some("unavailable"), "no");
        assert_eq!(answers, [ok(), ok(), failed, ok()]);
    }

    #[test]
    fn half_an_answer_is_none() {
        let cut = ask(&[&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"]], 1);
        assert_eq!(cut, [Err(NoAnswer::Cut)]);
        let garbage = ask(&[&["nonsense\r\n\r\n"]], 1);
        assert_eq!(garbage, [Err(NoAnswer::Malformed)]);
    }
}
