//! Bytes that two parties could read as different requests: refused, or exactly one request.

use std::sync::Arc;

use crate::support::{Echo, everywhere, short, start, statuses};

/// What must come of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// 400 (or 431, 414), the connection closed, the handler saw nothing.
    Refused,
    /// The handler saw the one request, and nothing of what follows.
    One,
    /// The handler saw the request's head, and its body failed.
    BrokenBody,
}
use Outcome::{BrokenBody, One, Refused};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// `@` stands for a request that must never be seen.
const CASES: &[(&str, Outcome, &str)] = &[
    // Two lengths.
    (
        "length, then chunked",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n@",
    ),
    (
        "chunked, then length",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n@",
    ),
    (
        "length 0 and chunked",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n@",
    ),
    (
        "equal lengths",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx@",
    ),
    (
        "unequal lengths",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 50\r\n\r\nx@",
    ),
    (
        "length list",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx@",
    ),
    (
        "chunked twice",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n@",
    ),
    // Odd lengths.
    (
        "plus",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx@",
    ),
    (
        "minus",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\nx@",
    ),
    (
        "hexadecimal",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x1\r\n\r\nx@",
    ),
    (
        "empty length",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n@",
    ),
    (
        "overflow to 1",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551617\r\n\r\nx@",
    ),
    (
        "chunked marker as length",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551615\r\n\r\n0\r\n\r\n@",
    ),
    (
        "digits with a space",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1 1\r\n\r\nx@",
    ),
    (
        "vertical tab",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: \u{b}1\r\n\r\nx@",
    ),
    (
        "fraction",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1.0\r\n\r\nx@",
    ),
    (
        "leading zeros",
        One,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0001\r\nconnection: close\r\n\r\nx@",
    ),
    // Odd encodings.
    (
        "identity",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\n@",
    ),
    (
        "gzip then chunked",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n@",
    ),
    (
        "chunked then identity",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n@",
    ),
    (
        "xchunked",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n@",
    ),
    (
        "quoted",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n@",
    ),
    (
        "vertical tab before chunked",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \u{b}chunked\r\n\r\n0\r\n\r\n@",
    ),
    (
        "empty encoding",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n\r\n@",
    ),
    (
        "chunked parameter",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n@",
    ),
    (
        "1.0 and chunked",
        Refused,
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n@",
    ),
    (
        "upper case chunked",
        One,
        "POST / HTTP/1.1\r\nhost: a\r\nTRANSFER-ENCODING: CHUNKED\r\nconnection: close\r\n\r\n0\r\n\r\n@",
    ),
    // Lines.
    (
        "folded header",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n folded\r\n\r\n@",
    ),
    (
        "folded encoding",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n@",
    ),
    (
        "blank before first header",
        Refused,
        "GET / HTTP/1.1\r\n host: a\r\n\r\n@",
    ),
    (
        "space before colon",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length : 1\r\n\r\nx@",
    ),
    (
        "tab before colon",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding\t: chunked\r\n\r\n0\r\n\r\n@",
    ),
    (
        "no colon",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\nnonsense\r\n\r\n@",
    ),
    (
        "empty name",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\n: x\r\n\r\n@",
    ),
    ("bare line feeds", Refused, "GET / HTTP/1.1\nhost: a\n\n@"),
    (
        "bare line feed in header",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\nx: 1\ny: 2\r\n\r\n@",
    ),
    (
        "bare line feed as end",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\nx: 1\n\n@",
    ),
    (
        "line feed after end",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\n\n@",
    ),
    (
        "bare carriage return in value",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\nx: 1\ry: 2\r\n\r\n@",
    ),
    (
        "bare carriage return hides length",
        Refused,
        "POST / HTTP/1.1\r\nhost: a\r\nx: 1\rcontent-length: 40\r\n\r\n@",
    ),
    (
        "two carriage returns",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\r\n\r\n@",
    ),
    (
        "NUL in value",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n@",
    ),
    (
        "NUL in name",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\nx\0y: 1\r\n\r\n@",
    ),
    (
        "line feed before request",
        Refused,
        "\nGET / HTTP/1.1\r\nhost: a\r\n\r\n@",
    ),
    (
        "empty lines before request",
        One,
        "\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n@",
    ),
    // Request line.
    ("two spaces", Refused, "GET  / HTTP/1.1\r\nhost: a\r\n\r\n@"),
    (
        "space in target",
        Refused,
        "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n@",
    ),
    (
        "tab as space",
        Refused,
        "GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n@",
    ),
    ("no version", Refused, "GET /\r\nhost: a\r\n\r\n@"),
    ("version 1.2", Refused, "GET / HTTP/1.2\r\nhost: a\r\n\r\n@"),
    (
        "lower case version",
        Refused,
        "GET / http/1.1\r\nhost: a\r\n\r\n@",
    ),
    (
        "space after version",
        Refused,
        "GET / HTTP/1.1 \r\nhost: a\r\n\r\n@",
    ),
    (
        "1.0 with trailing space and chunked",
        Refused,
        "POST / HTTP/1.0 \r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n@",
    ),
    // Hosts.
    ("no host", Refused, "GET / HTTP/1.1\r\n\r\n@"),
    (
        "two hosts",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n@",
    ),
    (
        "the same host twice",
        Refused,
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n@",
    ),
    (
        "absolute form differs",
        Refused,
        "GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n@",
    ),
    (
        "absolute form differs in port",
        Refused,
        "GET http://a:81/ HTTP/1.1\r\nhost: a\r\n\r\n@",
    ),
    (
        "absolute form without host",
        Refused,
        "GET http://a/ HTTP/1.1\r\n\r\n@",
    ),
    (
        "user in absolute form",
        Refused,
        "GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n@",
    ),
    (
        "host list",
        Refused,
        "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n@",
    ),
    (
        "host with path",
        Refused,
        "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n@",
    ),
    (
        "host with user",
        Refused,
        "GET / HTTP/1.1\r\nhost: u@a\r\n\r\n@",
    ),
    ("empty host", Refused, "GET / HTTP/1.1\r\nhost:\r\n\r\n@"),
    (
        "absolute form agrees",
        One,
        "GET http://A/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n@",
    ),
    ("1.0 without host", One, "GET / HTTP/1.0\r\n\r\n@"),
    // Chunks.
    (
        "chunk size with plus",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n@",
    ),
    (
        "chunk size 0x1",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n@",
    ),
    (
        "chunk size overflow",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n@",
    ),
    (
        "empty chunk size",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\r\nx\r\n0\r\n\r\n@",
    ),
    (
        "chunk size and blank",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n@",
    ),
    (
        "chunk line feed only",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n@",
    ),
    (
        "chunk data longer than size",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n@",
    ),
    (
        "chunk ends with line feed",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n@",
    ),
    (
        "line feed in extension",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n@",
    ),
    (
        "carriage return in extension",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;a\rb\r\nx\r\n0\r\n\r\n@",
    ),
    (
        "endless extension",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n0\r\n\r\n@",
    ),
    (
        "trailers end with line feed",
        BrokenBody,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nt: 1\n\r\n@",
    ),
    (
        "chunk extension",
        One,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n1;a=\"b\"\r\nx\r\n0\r\nt: 1\r\n\r\n@",
    ),
    (
        "body looks like a request",
        One,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 35\r\nconnection: close\r\n\r\n@",
    ),
];

async fn check(name: &str, outcome: Outcome, case: &str, pieces: usize) {
    let echo = Echo::default();
    let seen = Arc::clone(&echo.seen);
    let gateway = start(short(), everywhere(Arc::new(echo))).await;
    let bytes = case.replace('@', SMUGGLED);
    let answer = if pieces == 1 {
        gateway.exchange(&bytes).await
    } else {
        in_pieces(&gateway, bytes.as_bytes(), pieces).await
    };
    let paths: Vec<String> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|head| head.uri.path().into())
        .collect();
    let statuses = statuses(&answer);
    let holds = match outcome {
        Refused => paths.is_empty() && matches!(statuses[..], [400 | 414 | 431]),
        One => paths == ["/"] && statuses == [200],
        BrokenBody => paths == ["/"] && matches!(statuses[..], [] | [400]),
    };
    assert!(
        holds,
        "{name}, in {pieces} pieces: the handler saw {paths:?}, the client {answer:?}"
    );
}

async fn in_pieces(gateway: &crate::support::Running, bytes: &[u8], pieces: usize) -> String {
    use tokio::io::AsyncWriteExt;
    let mut stream = gateway.connect().await;
    stream.set_nodelay(true).unwrap();
    for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    crate::support::read_to_end(&mut stream).await
}

#[tokio::test]
async fn no_case_is_read_as_two_requests() {
    assert!(CASES.len() >= 40);
    for group in CASES.chunks(16) {
        let checks = group.iter().flat_map(|(name, outcome, case)| {
            [1, 7, case.len()].map(|pieces| check(name, *outcome, case, pieces))
        });
        futures_util::future::join_all(checks).await;
    }
}

#[tokio::test]
async fn pipelined_requests_before_a_bad_one_are_answered() {
    let echo = Echo::default();
    let seen = Arc::clone(&echo.seen);
    let gateway = start(short(), everywhere(Arc::new(echo))).await;
    let good = "GET /good HTTP/1.1\r\nhost: a\r\n\r\n";
    let answer = gateway
        .exchange(format!(
            "{good}{good}GET /bad HTTP/1.1\nhost: a\r\n\r\n{good}"
        ))
        .await;
    assert_eq!(statuses(&answer), [200, 200, 400]);
    assert_eq!(seen.lock().unwrap().len(), 2);
}
