//! The `trellis` binary: hosts and commands, each with nothing of this machine but temporary folders.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longer than a start or an end takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host that runs. Killed when dropped.
pub(crate) struct Host {
    /// Its public key.
    pub(crate) id: String,
    child: Child,
    log: Arc<Mutex<String>>,
    _home: TempDir,
}

impl Host {
    /// Starts `trellis up` in a lattice and returns when it says that it is there.
    pub(crate) async fn start(nats: &str, lattice: &str, labels: &[&str]) -> Self {
        let options = labels.iter().flat_map(|label| ["--label", label]);
        Self::with_options(nats, lattice, &options.collect::<Vec<_>>()).await
    }

    /// Starts `trellis up` with more options.
    pub(crate) async fn with_options(nats: &str, lattice: &str, options: &[&str]) -> Self {
        let home = TempDir::new().unwrap();
        let mut command = command(home.path());
        command.args(["up", "--output", "json", "--http", "127.0.0.1:0"]);
        command.args(["--nats", nats, "--lattice", lattice]);
        command.arg("--cache").arg(shared_cache());
        command.args(options);
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let whole = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                *whole.lock().unwrap() += &format!("{line}\n");
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let report = timeout(PATIENCE, lines.next_line()).await;
        let report = report.expect("it takes too long to start").unwrap();
        let report = report.unwrap_or_else(|| panic!("it ended:\n{}", log.lock().unwrap()));
        let report: Value = serde_json::from_str(&report).unwrap();
        Self {
            id: report["host_id"].as_str().unwrap().to_owned(),
            child,
            log,
            _home: home,
        }
    }

    /// What it wrote to its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for its end and returns its exit code.
    pub(crate) async fn wait(&mut self) -> Option<i32> {
        let status = timeout(PATIENCE, self.child.wait()).await;
        status.expect("it does not end").unwrap().code()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of host {}:\n{}", self.id, self.log());
        }
    }
}

/// Runs a command in a lattice to its end and returns the JSON that it writes.
pub(crate) async fn run(nats: &str, lattice: &str, arguments: &[&str]) -> Value {
    let home = TempDir::new().unwrap();
    let mut command = command(home.path());
    command.args(arguments).args(["--output", "json"]);
    command.args(["--nats", nats, "--lattice", lattice]);
    let output = timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    let output = output.expect("it takes too long").unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns a component that was built from `examples/`.
pub(crate) fn guest(name: &str) -> PathBuf {
    let built = std::env::var_os("TRELLIS_GUESTS").map(PathBuf::from);
    let built = built.unwrap_or_else(|| project().join("target/guests"));
    let path = built.join(format!("{name}.wasm"));
    let shown = path.display();
    assert!(
        path.exists(),
        "{shown} is missing; build it with `cargo xtask guests`"
    );
    path.canonicalize().unwrap()
}

fn command(home: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (variable, folder) in [
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_DATA_HOME", "data"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_RUNTIME_DIR", "run"),
        ("XDG_STATE_HOME", "state"),
    ] {
        command.env(variable, home.join(folder));
    }
    command
}

fn binary() -> PathBuf {
    let named = std::env::var_os("TRELLIS_BIN").map(PathBuf::from);
    let path = named.unwrap_or_else(|| project().join("target/debug/trellis"));
    let shown = path.display();
    assert!(
        path.exists(),
        "{shown} is missing; build it with `cargo build -p trellis`"
    );
    path
}

/// Compiled code, kept by all hosts of these tests as by those of one user.
fn shared_cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("trellis-cache")
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}
