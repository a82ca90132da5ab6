//! A real nats-server for one test, on a free port of loopback, gone when the test is.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use trellis_identity::Credentials;

/// How long a server may take to start on a busy machine.
const START_MAX: Duration = Duration::from_secs(30);

/// How long an answer may take before a test counts it as none.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);

pub(crate) struct NatsServer {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl NatsServer {
    /// Starts a server that trusts what `config` says.
    pub(crate) async fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let config = format!(
            "{config}\nlisten: \"127.0.0.1:-1\"\nports_file_dir: {path:?}\njetstream: {{ store_dir: {path:?} }}\n"
        );
        let file = path.join("server.conf");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(path.join("log")).unwrap();
        let mut child = Command::new("nats-server")
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server is not on the PATH; `cargo xtask test` installs it");
        let url = wait_for_port(path, &mut child).await;
        Self {
            child,
            url,
            _folder: folder,
        }
    }

    /// Connects with `credentials` on a plain socket, sends `operations`, and returns the complaints
    /// that the server had up to there.
    pub(crate) fn talk(&self, credentials: &Credentials, operations: &str) -> Vec<String> {
        let address = self.url.trim_start_matches("nats://");
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

    /// Connects with `credentials`. What the server says to the client goes to `errors`.
    pub(crate) async fn connect(
        &self,
        credentials: &Credentials,
        inbox_prefix: &str,
    ) -> (
        async_nats::Client,
        tokio::sync::mpsc::UnboundedReceiver<String>,
    ) {
        let (sender, errors) = tokio::sync::mpsc::unbounded_channel();
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
            .connect(&self.url)
            .await
            .unwrap();
        (client, errors)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may be dead already; either way there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the file in which the server writes where it listens.
async fn wait_for_port(folder: &Path, child: &mut Child) -> String {
    let file = folder.join(format!("nats-server_{}.ports", child.id()));
    let begin = Instant::now();
    loop {
        let ports = std::fs::read(&file).unwrap_or_default();
        if let Ok(ports) = serde_json::from_slice::<serde_json::Value>(&ports)
            && let Some(url) = ports["nats"][0].as_str()
        {
            return url.to_owned();
        }
        let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(
            child.try_wait().unwrap().is_none(),
            "nats-server ended: {}",
            log()
        );
        assert!(
            begin.elapsed() < START_MAX,
            "nats-server did not start: {}",
            log()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
