//! A real nats-server for one test, on a free port of loopback, gone when the test is.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trellis_core::LatticeName;
use trellis_lattice::{Lattice, Settings, connect};

/// How long a server may take to start on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

pub(crate) struct NatsServer {
    child: Child,
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl NatsServer {
    /// Starts a server with JetStream.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let mut child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", "-1", "-js", "--store_dir"])
            .arg(path.join("store"))
            .arg("--ports_file_dir")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server is not on the PATH; `cargo xtask test` installs it");
        let url = wait_for_port(path, &mut child);
        Self {
            child,
            url,
            _folder: folder,
        }
    }

    /// Connects to the lattice `shop`.
    pub(crate) async fn connect(&self) -> Lattice {
        let lattice = LatticeName::new("shop").unwrap();
        let settings = Settings::new(lattice, [self.url.as_str()]);
        connect(settings).await.unwrap()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may be dead already; either way there is nobody to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits for the file in which the server writes where it listens.
fn wait_for_port(folder: &Path, child: &mut Child) -> String {
    let file = folder.join(format!("nats-server_{}.ports", child.id()));
    let begin = Instant::now();
    loop {
        let ports = std::fs::read(&file).unwrap_or_default();
        if let Ok(ports) = serde_json::from_slice::<serde_json::Value>(&ports)
            && let Some(url) = ports["nats"][0].as_str()
        {
            return url.to_owned();
        }
        assert!(child.try_wait().unwrap().is_none(), "nats-server ended");
        assert!(begin.elapsed() < START_MAX, "nats-server did not start");
        std::thread::sleep(LOOK_INTERVAL);
    }
}
