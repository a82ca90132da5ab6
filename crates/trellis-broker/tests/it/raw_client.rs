//! A client that knows only bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use trellis_identity::Credentials;

use crate::servers::{Server, Settings};

/// How long an answer may take on a busy machine.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(20);

/// CONNECT as most clients send it.
pub(crate) const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

/// CONNECT of a client that wants every operation acknowledged.
pub(crate) const VERBOSE: &str =
    "CONNECT {\"verbose\":true,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

pub(crate) struct RawClient {
    socket: TcpStream,
    /// A subject of its own, to know what came by now.
    end: String,
    received: Vec<u8>,
    pub(crate) info: serde_json::Value,
}

impl RawClient {
    /// Connects and reads INFO.
    pub(crate) async fn open(server: &Server) -> Self {
        let socket = TcpStream::connect(server.address).await.unwrap();
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        let end = format!("end.{}", CLIENTS.fetch_add(1, Ordering::Relaxed));
        let mut client = Self {
            socket,
            end,
            received: Vec::new(),
            info: serde_json::Value::Null,
        };
        let line = client.until("\r\n").await;
        client.info = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
        client
    }

    /// Connects, and says CONNECT with credentials if there are some.
    pub(crate) async fn connect(server: &Server, credentials: Option<&Credentials>) -> Self {
        let mut client = Self::open(server).await;
        let connect = match credentials {
            Some(credentials) => client.connect_line(credentials),
            None => CONNECT.to_owned(),
        };
        client.send(connect + "PING\r\n").await;
        assert_eq!(
            client.until("PONG\r\n").await,
            "PONG\r\n",
            "{}",
            server.name
        );
        client
    }

    /// Returns the CONNECT with which `credentials` answer the server's nonce.
    pub(crate) fn connect_line(&self, credentials: &Credentials) -> String {
        let nonce = self.info["nonce"].as_str().unwrap();
        let connect = serde_json::json!({
            "jwt": credentials.jwt(),
            "sig": URL_SAFE_NO_PAD.encode(credentials.sign(nonce.as_bytes())),
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true,
        });
        format!("CONNECT {connect}\r\n")
    }

    /// Sends bytes. A server that hung up is noticed when reading.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.write_all(bytes.as_ref()).await; // As said above.
    }

    /// Reads up to and with `end`, or to the end of the connection, which reads as `<closed>`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let read = timeout(ANSWER_MAX, async {
            loop {
                let found = memchr::memmem::find(&self.received, end.as_bytes());
                if let Some(at) = found {
                    let rest = self.received.split_off(at + end.len());
                    return std::mem::replace(&mut self.received, rest);
                }
                if self.socket.read_buf(&mut self.received).await.unwrap_or(0) == 0 {
                    self.received.extend_from_slice(b"<closed>");
                    return std::mem::take(&mut self.received);
                }
            }
        });
        let Ok(bytes) = read.await else {
            panic!(
                "no {end:?} came, but {:?}",
                String::from_utf8_lossy(&self.received)
            );
        };
        // The server may ask at any time whether we are there.
        String::from_utf8_lossy(&bytes).replace("\r\nPING\r\n", "\r\n")
    }

    /// Reads up to `end`, a little at a time, keeping nothing; returns how many bytes there were
    /// before the end or the end of the connection.
    pub(crate) async fn count_until(&mut self, end: &str) -> usize {
        let mut count = 0;
        let mut piece = [0; 4_096];
        let mut last: Vec<u8> = Vec::new();
        while !last.ends_with(end.as_bytes()) {
            let read = timeout(ANSWER_MAX, self.socket.read(&mut piece))
                .await
                .unwrap();
            let read = read.unwrap_or(0);
            if read == 0 {
                break;
            }
            count += read;
            last.drain(..last.len().saturating_sub(end.len()));
            last.extend_from_slice(&piece[..read]);
        }
        count
    }

    /// Reads to the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        self.until("\u{0}<no such bytes>").await
    }

    /// Sends `script`; returns what came of it, up to a last message to itself or to the end of the
    /// connection.
    pub(crate) async fn talk(&mut self, script: &str) -> String {
        let subject = self.end.clone();
        self.send(format!(
            "{script}SUB {subject} end\r\nPUB {subject} 3\r\nend\r\n"
        ))
        .await;
        let end = format!("MSG {subject} end 3\r\nend\r\n");
        let answer = self.until(&end).await;
        answer.replace(&end, "")
    }
}

/// Has the same talk with both servers, over new connections; they must say the same, and that is
/// `expected`.
pub(crate) async fn check_all(settings: &Settings, connect: &str, talks: &[(&str, &str)]) {
    for server in Server::both(settings).await {
        for (script, expected) in talks {
            let mut client = RawClient::open(&server).await;
            client.send(connect).await;
            let answer = client.talk(script).await;
            let shown: String = script.chars().take(200).collect();
            assert_eq!(answer, *expected, "{}: {shown:?}", server.name);
        }
    }
}
