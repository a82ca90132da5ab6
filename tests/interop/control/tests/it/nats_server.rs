//! A real nats-server with JetStream for one test: on a port that it chooses, in a folder that goes with it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

/// A running server, killed when dropped.
pub(crate) struct NatsServer {
    child: Child,
    pub(crate) url: String,
    _folder: TempDir,
}

impl NatsServer {
    pub(crate) fn start() -> Self {
        Self::with_jetstream("")
    }

    /// Starts a server whose JetStream is in a domain, as that of a leaf node is.
    pub(crate) fn in_domain(domain: &str) -> Self {
        Self::with_jetstream(&format!("domain: {domain}"))
    }

    fn with_jetstream(setting: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let store = folder.path().join("store");
        let file = folder.path().join("nats.conf");
        let config = format!("jetstream {{ store_dir: {store:?}\n{setting} }}");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", "-1", "-c"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("no nats-server on the PATH; `cargo xtask test` and `cargo xtask interop` install it");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = None;
        let url = loop {
            let line = log.next().expect("nats-server ended").unwrap();
            if let Some((_, found)) = line.split_once("Listening for client connections on ") {
                address = Some(found.trim().to_owned());
            }
            if line.contains("Server is ready") {
                break format!("nats://{}", address.take().unwrap());
            }
        };
        // Its log must be read on, or it stops when the pipe is full.
        thread::spawn(move || log.for_each(drop));
        Self {
            child,
            url,
            _folder: folder,
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
