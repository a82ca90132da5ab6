//! What a component does with a request after it has answered, and what a connection sees of that.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use trellis_tests::{Application, Entry, Host, Trellis, get};

/// Shorter than an idle instance is kept, and longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

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

    /// Sends a request and returns the status, once the answer with its body of `body_bytes` is there.
    fn send(&mut self, request: &str, body: &str, body_bytes: usize) -> String {
        let length = body.len();
        let request = format!(
            "{request} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| line != "\r\n") {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "{request}: the connection ended");
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
        assert_eq!(connection.send(request, "", body_bytes), status);
        // There is one instance: this waits until the guest has gone on to its end.
        let count = get(host.address(), "/count").text();
        assert_eq!(count, format!("{}\n", number + 1), "{request}");
    }
}

#[test]
fn a_connection_goes_on_after_a_request_body_that_was_forgotten() {
    let host = raw();
    for path in [
        "/forget",
        "/forget-body",
        "/forget-stream",
        "/forget-trailers",
    ] {
        let mut connection = Connection::to(&host);
        for _ in 0..3 {
            let request = format!("POST {path}");
            assert_eq!(connection.send(&request, "some body", 3), "200", "{path}");
        }
    }
}
