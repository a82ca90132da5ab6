//! Users with credentials on a server: on a plain socket, and with the published client.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use trellis_identity::Credentials;
use trellis_tests::NatsServer;

/// How long an answer may take before a test counts it as none.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What a server says to a client that does what it may not.
pub(crate) type Complaints = UnboundedReceiver<String>;

/// Connects with `credentials` on a plain socket, sends `operations`, and returns the complaints
/// that the server had up to there.
pub(crate) fn talk(
    server: &NatsServer,
    credentials: &Credentials,
    operations: &str,
) -> Vec<String> {
    let url = server.url();
    let address = url.trim_start_matches("nats://");
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
    let info = lines.next().unwrap().unwrap();
    let info: serde_json::Value =
        serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
    let nonce = info["nonce"].as_str().unwrap();
    let connect = serde_json::json!({
        "jwt": credentials.jwt(),
        "sig": URL_SAFE_NO_PAD.encode(credentials.sign(nonce.as_bytes())),
        "verbose": false, "pedantic": false, "protocol": 1,
    });
    let sent = format!("CONNECT {connect}\r\n{operations}PING\r\n");
    socket.write_all(sent.as_bytes()).unwrap();
    lines
        .map(|line| line.unwrap())
        .take_while(|line| line != "PONG")
        .filter(|line| line.starts_with("-ERR"))
        .collect()
}

/// Connects with `credentials`. Returns what the server says to the client, too.
pub(crate) async fn connect(
    server: &NatsServer,
    credentials: &Credentials,
    inbox_prefix: &str,
) -> (async_nats::Client, Complaints) {
    let (sender, complaints) = unbounded_channel();
    let client = async_nats::ConnectOptions::with_credentials(credentials.to_text().expose())
        .unwrap()
        .custom_inbox_prefix(inbox_prefix)
        .event_callback(move |event| {
            let sender = sender.clone();
            async move {
                // The test may have ended and dropped the receiver.
                let _ = sender.send(event.to_string());
            }
        })
        .connect(server.url())
        .await
        .unwrap();
    (client, complaints)
}
