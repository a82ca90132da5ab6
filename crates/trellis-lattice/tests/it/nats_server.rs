//! A real `nats-server` of one test: on a port that it chooses, in a folder that goes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trellis_core::LatticeName;
use trellis_lattice::{Lattice, Settings, connect};

/// How long a server may take to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const START_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// A running server, killed when dropped.
pub(crate) struct NatsServer {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl NatsServer {
    /// Starts a server with JetStream.
    pub(crate) fn with_jetstream() -> Self {
        Self::start("jetstream: { store_dir: \"STORE\", max_file: 1G, max_mem: 64M }")
    }

    /// Starts a server with the configuration `config`, in which `STORE` is its store.
    pub(crate) fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let config = config.replace("STORE", store.to_str().unwrap());
        fs::write(folder.path().join("nats.conf"), config).unwrap();
        let (child, port) = launch(folder.path(), None);
        Self {
            child,
            folder,
            port,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(LatticeName::default(), [self.url()])
    }

    pub(crate) async fn connect(&self) -> Lattice {
        connect(self.settings()).await.unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Kills the server as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the killed server again at its old address.
    pub(crate) fn start_again(&mut self) {
        self.child = launch(self.folder.path(), Some(self.port)).0;
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn launch(folder: &Path, port: Option<u16>) -> (Child, u16) {
    let ports = folder.join("ports");
    drop(fs::remove_dir_all(&ports));
    fs::create_dir_all(&ports).unwrap();
    let port = port.map_or("-1".to_owned(), |port| port.to_string());
    let mut child = Command::new("nats-server")
        .arg("-c")
        .arg(folder.join("nats.conf"))
        .args(["-a", "127.0.0.1", "-p", &port, "--ports_file_dir"])
        .arg(&ports)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect(
            "no nats-server on the PATH; run the tests with `cargo xtask test`, which installs it",
        );
    let end = Instant::now() + START_TIMEOUT;
    loop {
        if let Some(port) = written_port(&ports) {
            return (child, port);
        }
        assert_eq!(child.try_wait().unwrap(), None, "nats-server ended");
        assert!(Instant::now() < end, "nats-server did not start");
        std::thread::sleep(START_CHECK_INTERVAL);
    }
}

/// Reads the port from the file that the server writes once it listens.
fn written_port(folder: &Path) -> Option<u16> {
    let file = fs::read_dir(folder).ok()?.next()?.ok()?;
    let text = fs::read_to_string(file.path()).ok()?;
    let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
    let url = ports["nats"][0].as_str().or(ports["tls"][0].as_str())?;
    url.rsplit(':').next()?.parse().ok()
}
