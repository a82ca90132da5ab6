//! A real nats-server for one test, on a free port of loopback, gone when the test is.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use trellis_core::LatticeName;
use trellis_lattice::{Lattice, Settings, connect};

pub(crate) struct NatsServer {
    child: Child,
    pub(crate) url: String,
}

impl NatsServer {
    pub(crate) fn start() -> Self {
        let mut child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", "-1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nats-server is not on the PATH; `cargo xtask test` installs it");
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
        Self { child, url }
    }

    pub(crate) async fn connect(&self) -> Lattice {
        let settings = Settings::new(LatticeName::default(), [self.url.clone()]);
        connect(settings).await.unwrap()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
