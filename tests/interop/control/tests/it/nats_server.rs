//! A real nats-server with JetStream for one test: on a port that it chooses, in a folder that goes with it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

/// A running server, killed when dropped.
pub(crate) struct NatsServer {
    child: Child,
    pub(crate) url: String,
    _store: TempDir,
}

impl NatsServer {
    pub(crate) fn start() -> Self {
        let store = TempDir::new().unwrap();
        let mut child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", "-1", "--jetstream", "--store_dir"])
            .arg(store.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("no nats-server on the PATH; run these tests with `cargo xtask interop`, or install it with `cargo xtask test`");
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
            _store: store,
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
