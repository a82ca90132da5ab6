//! Hosts in one lattice, run and commanded by the binary as people do.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use tempfile::TempDir;

use crate::nats_server::{NatsServer, free_port};

/// Longer than a host takes to compile and start what is measured.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const POLL: Duration = Duration::from_millis(20);

/// The binary and the components that are measured.
#[derive(Args)]
pub(crate) struct Programs {
    /// The binary to measure [default: the one beside this]
    #[arg(long, value_name = "FILE", env = "TRELLIS_BENCH_TRELLIS")]
    trellis: Option<PathBuf>,

    /// Folder of the built components
    #[arg(
        long,
        value_name = "FOLDER",
        env = "TRELLIS_GUESTS",
        default_value = "target/guests"
    )]
    guests: PathBuf,
}

/// A NATS server and its hosts.
pub(crate) struct Site {
    server: NatsServer,
    trellis: PathBuf,
    guests: PathBuf,
    hosts: Vec<Host>,
    folder: TempDir,
}

/// A process that runs `trellis up`; killed when dropped.
pub(crate) struct Host {
    child: Child,
    id: String,
}

impl Site {
    /// Starts a server and this many hosts.
    pub(crate) fn start(programs: &Programs, hosts: usize) -> Result<Self> {
        let own = std::env::current_exe().context("cannot find this very binary")?;
        let trellis = programs.trellis.clone();
        let trellis = trellis.unwrap_or_else(|| own.with_file_name("trellis"));
        ensure!(
            trellis.is_file(),
            "there is no {}; `cargo build --release --package trellis` builds it",
            trellis.display()
        );
        let mut site = Self {
            server: NatsServer::start()?,
            trellis: std::path::absolute(trellis)?,
            guests: std::path::absolute(&programs.guests)?,
            hosts: Vec::new(),
            folder: TempDir::new().context("no folder for the hosts")?,
        };
        for number in 0..hosts {
            let host = site.up(number).context("cannot start a host")?;
            site.hosts.push(host);
        }
        Ok(site)
    }

    /// Returns the URL of the server.
    pub(crate) fn url(&self) -> &str {
        self.server.url()
    }

    /// Returns the host with this number.
    pub(crate) fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    fn up(&self, number: usize) -> Result<Host> {
        let home = self.folder.path().join(format!("host-{number}"));
        let mut command = self.command(&home)?;
        command.args(["up", "--output", "json", "--http", "127.0.0.1:0"]);
        command.arg("--data").arg(home.join("data"));
        command.arg("--cache").arg(self.folder.path().join("code"));
        let log = home.join("log");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let mut host = Host {
            child,
            id: String::new(),
        };
        let mut stdout = BufReader::new(stdout);
        for line in stdout.by_ref().lines().map_while(Result::ok) {
            let report: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(id) = report["host_id"].as_str() {
                host.id = id.to_owned();
                // What it says later must neither fail nor fill the pipe.
                thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
                return Ok(host);
            }
        }
        let log = std::fs::read_to_string(log).unwrap_or_default();
        bail!("it ended before it was ready: {}", log.trim_end())
    }

    /// Runs a command and returns what it says.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = self.command(&self.folder.path().join("desk"))?;
        command.args(arguments).args(["--output", "json"]);
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "`trellis {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Starts a test component on the host with this number.
    pub(crate) fn start_component(&self, name: &str, host: usize) -> Result<()> {
        let image = self.guests.join(format!("{name}.wasm"));
        ensure!(
            image.is_file(),
            "there is no {}; `cargo xtask guests` builds it",
            image.display()
        );
        let image = image.display().to_string();
        let host = &self.hosts[host].id;
        self.ask(&["start", "component", &image, "--id", name, "--host", host])
            .map(drop)
    }

    /// Has the host with this number answer HTTP with the component `id`; returns where.
    pub(crate) fn serve(&self, id: &str, host: usize) -> Result<SocketAddr> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let setting = format!("address={address}");
        self.ask(&["config", "put", "http", &setting])?;
        let host = &self.hosts[host].id;
        let image = "builtin:http-server";
        self.ask(&["start", "provider", image, "--id", "http", "--host", host])?;
        let link = ["link", "put", "http", id, "wasi", "http"];
        let more = ["--interface", "incoming-handler", "--source-config", "http"];
        self.ask(&[&link[..], &more].concat())?;
        Ok(address)
    }

    /// Returns a command line with nothing of this machine but a home.
    fn command(&self, home: &Path) -> Result<Command> {
        std::fs::create_dir_all(home)?;
        let mut command = Command::new(&self.trellis);
        command
            .current_dir(home)
            .env_clear()
            .env("HOME", home)
            .env("NATS_URL", self.server.url())
            .stdin(Stdio::null());
        Ok(command)
    }
}

impl Host {
    /// Returns the number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries `deed` again and again until it succeeds; what it fails with last is the error.
pub(crate) fn patiently<T>(mut deed: impl FnMut() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    loop {
        match deed() {
            Ok(done) => return Ok(done),
            Err(error) if begin.elapsed() > PATIENCE => return Err(error),
            Err(_) => thread::sleep(POLL),
        }
    }
}
