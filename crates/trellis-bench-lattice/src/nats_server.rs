//! A real `nats-server` of this run alone: on a free port of loopback, gone with the run.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// How long it may take to start on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const START_POLL: Duration = Duration::from_millis(5);

/// A server that is killed when this is dropped.
pub(crate) struct NatsServer {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl NatsServer {
    /// Starts a server with JetStream, and returns when it takes connections.
    ///
    /// # Errors
    /// When there is none on the search path, or it does not start.
    pub(crate) fn start() -> Result<Self> {
        let folder = TempDir::new().context("no folder for the store of nats-server")?;
        let config = folder.path().join("nats.conf");
        let store = folder.path().join("store");
        // 64 values of 1 MiB on their way at once are just above what a connection may have waiting by default.
        let text = format!(
            "listen: \"127.0.0.1:-1\"\nmax_pending: 256MB\njetstream: {{ store_dir: {store:?} }}\n"
        );
        fs::write(&config, text)?;
        let mut child = Command::new("nats-server")
            .arg("--config")
            .arg(&config)
            .arg("--ports_file_dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context(
                "cannot run nats-server\nhint: `cargo xtask bench` installs and finds it; \
                 so does `cargo xtask test`",
            )?;
        let url = wait(&mut child, folder.path());
        if url.is_err() {
            let _ = child.kill(); // fails only when it has ended already
            let _ = child.wait();
        }
        Ok(Self {
            url: url?,
            child,
            _folder: folder,
        })
    }

    /// Returns where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the file in which the server tells its ports; its name has an id of the process, which need not be
/// that of the child where a script starts the server.
fn wait(child: &mut Child, folder: &Path) -> Result<String> {
    let begin = Instant::now();
    while begin.elapsed() < START_MAX {
        for entry in fs::read_dir(folder)?.flatten() {
            if entry.path().extension().is_some_and(|it| it == "ports") {
                let ports = fs::read(entry.path()).unwrap_or_default();
                if let Some(url) = client_url(&ports) {
                    return Ok(url);
                }
            }
        }
        if let Some(status) = child.try_wait()? {
            bail!("nats-server ended: {status}");
        }
        thread::sleep(START_POLL);
    }
    bail!("nats-server did not start within {START_MAX:?}")
}

fn client_url(ports: &[u8]) -> Option<String> {
    let ports: Value = serde_json::from_slice(ports).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

/// Returns a port of loopback that nobody has now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
    let port = listener.local_addr()?.port();
    ensure!(port != 0, "the system gave no port");
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_read_from_the_file_of_ports() {
        let ports = br#"{"nats": ["nats://127.0.0.1:4567"], "monitoring": []}"#;
        assert_eq!(client_url(ports).as_deref(), Some("nats://127.0.0.1:4567"));
        assert_eq!(client_url(b"{\"nats\": ["), None);
    }
}
