//! What a component does with a request after it has answered, and what a connection sees of that.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use trellis_tests::{Application, Entry, Host, Trellis, get};

/// Shorter than the 10 s after which a gateway judges the pace of a request body, and longer than
/// anything here takes.
const PATIENCE: Duration = Duration::from_secs(8);

/// A host with one instance of the guest, which serves all requests.
fn raw() -> Host {
    let trellis = Trellis::new();
    let entry = Entry::new("raw", "http_raw")
        .limits(json!({ "instances": 1 }))
        .reuse(json!({ "calls": 1000 }));
    let manifest = Application::new("answers")
        .component(entry)
        .http("raw", json!({}))
        .write(trellis.home());
    trellis.arg(manifest).up()
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn to(host: &Host) -> Self {
        let stream = TcpStream::connect(host.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends the head of a request with a body of `length`, and `body`.
    fn send(&mut self, request: &str, length: usize, body: &str) {
        let head =
            format!("{request} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        let stream = self.0.get_mut();
        stream.write_all((head + body).as_bytes()).unwrap();
    }

    /// Reads an answer with a body of `body_bytes`, and returns its status.
    fn answer(&mut self, body_bytes: usize) -> String {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| line != "\r\n") {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "the connection ended");
            lines.push(line);
        }
        let mut bytes = vec![0; body_bytes];
        self.0.read_exact(&mut bytes).unwrap();
        lines[0].split(' ').nth(1).unwrap().to_owned()
    }
}

#[test]
fn work_after_an_answer_is_done_whatever_the_answer_is() {
    let host = raw();
    let mut connection = Connection::to(&host);
    let requests = [
        ("HEAD /after?200", "200", 0),
        ("GET /after-status?200,204", "204", 0),
        ("GET /after-status?200,304", "304", 0),
        ("GET /after-length?200", "200", 9),
    ];
    for (number, (request, status, body_bytes)) in requests.into_iter().enumerate() {
        connection.send(request, 0, "");
        assert_eq!(connection.answer(body_bytes), status, "{request}");
        // There is one instance: this waits until the guest has gone on to its end.
        let count = get(host.address(), "/count").text();
        assert_eq!(count, format!("{}\n", number + 1), "{request}");
    }
}

#[test]
fn a_connection_goes_on_or_ends_after_a_request_body_that_was_forgotten() {
    let host = raw();
    for path in [
        "/forget",
        "/forget-body",
        "/forget-stream",
        "/forget-trailers",
    ] {
        let mut connection = Connection::to(&host);
        let request = format!("POST {path}");
        for _ in 0..3 {
            connection.send(&request, 9, "some body");
            assert_eq!(connection.answer(3), "200", "{path}");
        }
        // Of this one the rest never comes, so that no request can follow: the connection ends.
        connection.send(&request, 100_000, "some body");
        assert_eq!(connection.answer(3), "200", "{path}");
        let end = connection.0.read_to_end(&mut Vec::new());
        assert!(end.is_ok(), "{path}: the connection is held open: {end:?}");
    }
}
