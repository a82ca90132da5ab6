//! A real NATS server for one test: on a free port of loopback, in a folder of its own, and gone when the test is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long a server may take to start on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const START_POLL: Duration = Duration::from_millis(5);

/// What stands for the folder of the store in a configuration; the quotes keep it apart from what a key may spell.
const STORE: &str = "\"STORE\"";
/// JetStream that has written down what it has acknowledged, so that a kill loses nothing.
const JETSTREAM: &str = "jetstream: { store_dir: \"STORE\", sync_interval: always }\n";

/// A server that can be killed and started again.
#[derive(Debug)]
pub struct NatsServer {
    running: Option<Running>,
    port: u16,
    folder: TempDir,
}

/// The processes of a server.
#[derive(Debug)]
struct Running {
    /// What was started: the server, or a script that runs it and ends with it.
    child: Child,
    server: Pid,
}

impl NatsServer {
    /// Starts a server with JetStream.
    ///
    /// # Panics
    /// When there is none to start, or it does not start.
    pub fn start() -> Self {
        Self::with(JETSTREAM)
    }

    /// Starts a server with the configuration `config`, in which `"STORE"` stands for the folder of its store.
    ///
    /// # Panics
    /// When there is none to start, or it does not start.
    pub fn with(config: &str) -> Self {
        let folder = configured(config);
        let (running, port) = launch(folder.path(), None);
        Self {
            running: Some(running),
            port,
            folder,
        }
    }

    /// Chooses the port of a server with JetStream that is not started yet.
    ///
    /// # Panics
    /// When no port is free.
    pub fn stopped() -> Self {
        Self {
            running: None,
            port: free_port(),
            folder: configured(JETSTREAM),
        }
    }

    /// Starts the server, on the same port and with the same store as before.
    ///
    /// # Panics
    /// When it runs already, or does not start.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "the server runs already");
        self.running = Some(launch(self.folder.path(), Some(self.port)).0);
    }

    /// Kills it, as a crash does.
    pub fn kill(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        // One that has ended by itself has no process any more that a signal could mean.
        if let Ok(None) = running.child.try_wait() {
            let _ = kill_process(running.server, Signal::KILL);
            let _ = running.child.wait();
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
        kill_process(self.pid(), signal).expect("it is a process of ours");
    }

    /// Returns the number of its process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> Pid {
        self.running.as_ref().expect("the server runs").server
    }

    /// Deletes everything that the server has stored.
    ///
    /// # Panics
    /// When it runs, or its files cannot be deleted.
    pub fn wipe(&self) {
        assert!(self.running.is_none(), "the server runs");
        fs::remove_dir_all(self.store()).expect("its files can be deleted");
    }

    /// Returns the folder of its store.
    pub fn store(&self) -> PathBuf {
        store_in(self.folder.path())
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

/// Makes a folder with a configuration in it.
fn configured(config: &str) -> TempDir {
    let folder = TempDir::new().expect("temporary files can be made");
    let config = config.replace(STORE, &format!("{:?}", store_in(folder.path())));
    fs::write(config_in(folder.path()), config).expect("temporary files can be made");
    folder
}

fn config_in(folder: &Path) -> PathBuf {
    folder.join("nats.conf")
}

fn store_in(folder: &Path) -> PathBuf {
    folder.join("store")
}

/// Starts a server in `folder`, on a port that it chooses unless one is given. Returns when it listens.
fn launch(folder: &Path, port: Option<u16>) -> (Running, u16) {
    let ports = folder.join("ports");
    // What a killed server has left there would tell of the wrong process.
    let _ = fs::remove_dir_all(&ports);
    fs::create_dir_all(&ports).expect("temporary files can be made");
    let log = folder.join("log");
    let mut child = Command::new("nats-server")
        .arg("--config")
        .arg(config_in(folder))
        .args(["--addr", "127.0.0.1", "--port"])
        .arg(port.map_or("-1".to_owned(), |port| port.to_string()))
        .arg("--ports_file_dir")
        .arg(&ports)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).expect("temporary files can be made"))
        .spawn()
        .expect("nats-server is not on the PATH; `cargo xtask test` installs it");
    let begin = Instant::now();
    let problem = loop {
        if let Some((server, port)) = written_ports(&ports) {
            return (Running { child, server }, port);
        }
        if let Some(status) = child.try_wait().expect("it is our child") {
            break format!("nats-server ended: {status}");
        }
        if begin.elapsed() >= START_PATIENCE {
            let _ = child.kill();
            break "nats-server did not start".to_owned();
        }
        std::thread::sleep(START_POLL);
    };
    let log = fs::read_to_string(&log).unwrap_or_default();
    panic!("{problem}\n{log}");
}

/// Reads the file that a server writes when it listens. Its name tells the process of the server, which is not
/// our child where a script has started it.
fn written_ports(folder: &Path) -> Option<(Pid, u16)> {
    let mut files = fs::read_dir(folder).ok()?.flatten().map(|it| it.path());
    let file = files.find(|it| it.extension().is_some_and(|it| it == "ports"))?;
    let pid = file.file_stem()?.to_str()?.rsplit('_').next()?;
    let pid = Pid::from_raw(pid.parse().ok()?)?;
    let ports: Value = serde_json::from_slice(&fs::read(&file).ok()?).ok()?;
    let url = ports["nats"][0].as_str().or(ports["tls"][0].as_str())?;
    let port = url.rsplit(':').next()?.parse().ok()?;
    Some((pid, port))
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
