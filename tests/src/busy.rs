//! A host in the middle of a request: its component has asked the test, and answers when it has the test's answer.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use serde_json::json;

use crate::application::{Application, Entry};
use crate::client::{Client, Response};
use crate::process::{Host, Trellis};
use crate::site::wait_until;

/// A host whose component waits for the test.
#[derive(Debug)]
pub struct Busy {
    /// The host.
    pub host: Host,
    /// What the client gets that has sent the request.
    pub answer: JoinHandle<io::Result<Response>>,
    asked: TcpStream,
}

impl Busy {
    /// Starts a host with the arguments of `trellis`, and a request to it.
    ///
    /// # Panics
    /// When its component does not come to ask.
    pub fn start(trellis: Trellis) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        listener
            .set_nonblocking(true)
            .expect("a socket can be told so");
        let address = listener.local_addr().expect("it is bound");
        let url = format!("http://{address}");
        let asker = Entry::new("asker", "misbehaver").link(
            "client",
            "wasi:http/outgoing-handler",
            json!({ "allow": url }),
        );
        let manifest = Application::new("busy")
            .component(asker)
            .provider("client", "builtin:http-client")
            .http("asker", json!({}))
            .write(trellis.home());
        let host = trellis.arg(manifest).up();
        let mut client = Client::connect(host.address(), "localhost").expect("the host listens");
        let answer = std::thread::spawn(move || client.get(&format!("/outgoing?url={url}/")));
        let mut asked = None;
        wait_until("the component asks", || {
            asked = listener.accept().ok();
            asked.is_some()
        });
        let (asked, _) = asked.expect("it was waited for");
        asked
            .set_nonblocking(false)
            .expect("a socket can be told so");
        Self {
            host,
            answer,
            asked,
        }
    }

    /// Lets the component answer the client with `text`.
    ///
    /// # Panics
    /// When it does not listen any more.
    pub fn let_go(&mut self, text: &str) {
        let length = text.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}");
        let sent = self.asked.write_all(answer.as_bytes());
        sent.expect("the component listens");
    }
}
