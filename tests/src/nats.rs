//! A real NATS server for one test: on a free port of loopback, with JetStream, and gone when the test is.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long a server may take to start on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const START_POLL: Duration = Duration::from_millis(5);

/// A server that can be killed and started again.
#[derive(Debug)]
pub struct NatsServer {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl NatsServer {
    /// Starts a server.
    ///
    /// # Panics
    /// When there is none to start, or it does not start.
    pub fn start() -> Self {
        let mut server = Self::stopped();
        server.start_again();
        server
    }

    /// Chooses the port of a server that is not started yet.
    ///
    /// # Panics
    /// When no port is free.
    pub fn stopped() -> Self {
        Self {
            child: None,
            port: free_port(),
            folder: TempDir::new().expect("temporary files can be made"),
        }
    }

    /// Starts the server, on the same port and with the same store as before.
    ///
    /// # Panics
    /// When it runs already, or does not start.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let path = self.folder.path();
        let ports = path.join("ports");
        std::fs::create_dir_all(&ports).expect("temporary files can be made");
        let config = path.join("nats.conf");
        let store = self.store();
        let text = format!(
            "listen: \"127.0.0.1:{}\"\njetstream: {{ store_dir: {store:?}, sync_interval: always }}\n",
            self.port
        );
        std::fs::write(&config, text).expect("temporary files can be made");
        let mut child = Command::new("nats-server")
            .arg("--config")
            .arg(&config)
            .arg("--ports_file_dir")
            .arg(&ports)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server is not on the PATH; `cargo xtask test` installs it");
        let ports = ports.join(format!("nats-server_{}.ports", child.id()));
        let begin = Instant::now();
        loop {
            let text = std::fs::read(&ports).unwrap_or_default();
            if serde_json::from_slice::<Value>(&text).is_ok() {
                break;
            }
            let ended = child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "nats-server ended: {ended:?}");
            assert!(
                begin.elapsed() < START_PATIENCE,
                "nats-server did not start"
            );
            std::thread::sleep(START_POLL);
        }
        self.child = Some(child);
    }

    /// Kills it, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it where it stands, until it is [continued](NatsServer::thaw): the connections stay open.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).expect("it is our child");
    }

    /// Deletes everything that the server has stored.
    ///
    /// # Panics
    /// When it runs, or its files cannot be deleted.
    pub fn wipe(&self) {
        assert!(self.child.is_none(), "the server runs");
        std::fs::remove_dir_all(self.store()).expect("its files can be deleted");
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Returns where it is reached.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns a port of loopback that nobody has now. Ports are handed out in turn, so that it stays free
/// long enough for who takes it at once.
///
/// # Panics
/// When no port is free.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
