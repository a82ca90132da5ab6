//! Outgoing HTTP: nothing goes out without a link, only to what the link allows, and not through a socket when the
//! other end is on the same host.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use trellis_tests::{Application, Entry, Host, Response, Trellis, get_from};

/// A server that answers every connection once, and counts them.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n")
                    && stream.read(&mut byte).is_ok_and(|read| read == 1)
                {
                    head.push(byte[0]);
                }
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\nfrom outside\n";
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self {
            address,
            connections,
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Components that send requests: one of WASI 0.2 and one of 0.3.
const SENDERS: [&str; 2] = ["misbehaver", "misbehaver_p3"];

/// A host with a component that sends requests, allowed what `allow` says, and one that answers as `inside.test`.
fn host(module: &str, allow: Option<&str>, limits: Value) -> Host {
    let trellis = Trellis::new();
    let mut sender = Entry::new("sender", module).limits(limits);
    if let Some(allow) = allow {
        let interface = match module {
            "misbehaver" => "wasi:http/outgoing-handler",
            _ => "wasi:http/client",
        };
        sender = sender.link("client", interface, json!({ "allow": allow }));
    }
    let manifest = Application::new("out")
        .component(sender)
        .component(Entry::new("inside", "http_hello"))
        .provider("client", "builtin:http-client")
        .http("sender", json!({ "host": "sender.test" }))
        .http("inside", json!({ "host": "inside.test" }))
        .write(trellis.home());
    trellis.arg(manifest).up()
}

fn send(host: &Host, url: &str) -> Response {
    get_from(
        host.address(),
        "sender.test",
        &format!("/outgoing?url={url}"),
    )
}

fn assert_fails(answer: &Response, code: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 502, "{text}");
    assert!(text.contains(code), "{text}");
}

fn assert_denied(answer: &Response) {
    assert_fails(answer, "HttpRequestDenied");
}

#[test]
fn nothing_goes_out_without_a_link() {
    for sender in SENDERS {
        let (server, host) = (Server::start(), host(sender, None, json!({})));
        assert_denied(&send(&host, &format!("http://{}/", server.address)));
        assert_eq!(server.connections(), 0, "{sender}");
    }
}

#[test]
fn a_link_opens_what_it_names_and_nothing_else() {
    for sender in SENDERS {
        let (server, other) = (Server::start(), Server::start());
        let allow = format!("http://{}", server.address);
        let host = host(sender, Some(&allow), json!({}));
        let answer = send(&host, &format!("http://{}/", server.address));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "from outside\n"),
            "{sender}"
        );
        assert_denied(&send(&host, &format!("http://{}/", other.address)));
        assert_denied(&send(&host, "http://example.test/"));
        assert_eq!((server.connections(), other.connections()), (1, 0));
    }
}

#[test]
fn a_component_learns_that_nobody_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for sender in SENDERS {
        let host = host(sender, Some(&format!("http://{address}")), json!({}));
        let answer = send(&host, &format!("http://{address}/"));
        assert_fails(&answer, "ConnectionRefused");
    }
}

#[test]
fn a_component_of_the_same_host_is_reached_without_a_socket() {
    for sender in SENDERS {
        // Not one connection is granted, and no resolver knows the name: only a call within the host can succeed.
        let limits = json!({ "outgoingConnections": 0 });
        let host = host(sender, Some("inside.test:*"), limits);
        let port = host.address().port();
        let answer = send(&host, &format!("http://inside.test:{port}/"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "Hello from Trellis!\n"),
            "{sender}"
        );
    }
}

#[test]
fn a_component_of_the_same_host_is_denied_without_a_link_too() {
    for sender in SENDERS {
        let host = host(sender, Some("other.test"), json!({}));
        assert_denied(&send(
            &host,
            &format!("http://inside.test:{}/", host.address().port()),
        ));
    }
}
