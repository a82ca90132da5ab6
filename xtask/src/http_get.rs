//! The smallest HTTP client that can call the demo: one GET per connection, small answers only.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long a step of the exchange may take; a first call may have to compile.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read: the demo's are a line each.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Fetches `path` from the server at `authority` (`host:port`) and returns status and body.
pub(crate) fn get(authority: &str, path: &str) -> Result<(u16, String)> {
    let mut addresses = authority
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve {authority}"))?;
    let address = addresses
        .next()
        .with_context(|| format!("{authority} has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("cannot connect to {authority}"))?;
    stream
        .set_read_timeout(Some(TIMEOUT))
        .context("cannot set a time limit")?;
    stream
        .set_write_timeout(Some(TIMEOUT))
        .context("cannot set a time limit")?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n"
    )
    .with_context(|| format!("cannot send a request to {authority}"))?;
    let mut answer = Vec::new();
    let mut limited = stream.take(ANSWER_BYTES_MAX);
    limited
        .read_to_end(&mut answer)
        .with_context(|| format!("no answer from {authority}"))?;
    parse(&String::from_utf8_lossy(&answer))
}

fn parse(answer: &str) -> Result<(u16, String)> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the answer ended within its headers")?;
    let mut lines = head.lines();
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok());
    let Some(status) = status else {
        bail!("not an HTTP answer: {status_line:?}");
    };
    let chunked =
        lines.any(|line| line.to_ascii_lowercase().replace(' ', "") == "transfer-encoding:chunked");
    Ok((
        status,
        if chunked {
            dechunk(body)?
        } else {
            body.to_owned()
        },
    ))
}

/// Joins the pieces of a chunked body.
fn dechunk(mut body: &str) -> Result<String> {
    let mut joined = String::new();
    loop {
        let (size, rest) = body
            .split_once("\r\n")
            .context("the answer ended within a chunk")?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16)
            .with_context(|| format!("not the size of a chunk: {size:?}"))?;
        if size == 0 {
            return Ok(joined);
        }
        let (chunk, rest) = rest
            .split_at_checked(size)
            .context("the answer ended within a chunk")?;
        joined.push_str(chunk);
        ensure!(rest.starts_with("\r\n"), "a chunk is longer than it says");
        body = &rest[2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_chunked_bodies_are_read() {
        let plain =
            parse("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").expect("a valid answer");
        assert_eq!(plain, (200, "ok\n".to_owned()));
        let chunked = "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n3;x=y\r\nne\n\r\n0\r\n\r\n";
        assert_eq!(
            parse(chunked).expect("a valid answer"),
            (404, "none\n".to_owned())
        );
    }

    #[test]
    fn broken_answers_are_errors() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "nonsense\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n",
        ] {
            assert!(parse(answer).is_err(), "{answer:?}");
        }
    }
}
