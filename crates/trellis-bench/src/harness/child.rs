//! The programs under measurement: started, found by the URL they print, ended with the run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::applications::Application;
use super::statistics::median;

/// How long one answer may take: a server that compiles first answers within seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts that make one figure; one start takes a few hundredths of a second.
const STARTS: usize = 7;

/// How many bytes of an answer are looked at.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Where the programs are, and where they may write.
pub(crate) struct Programs {
    own: PathBuf,
    trellis: PathBuf,
    guests: PathBuf,
    scratch: PathBuf,
}

/// The binary that has a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prober {
    /// This one: probes inside one process.
    Own,
    /// `trellis-bench-lattice`, beside this one: probes between processes, over NATS.
    Lattice,
}

/// A server to start.
#[derive(Clone, Copy)]
pub(crate) enum Program {
    /// Bare hyper.
    Hyper,
    /// wasmtime's own `ProxyHandler`, with the arguments of its task.
    Proxy {
        level: &'static str,
        mode: &'static str,
    },
    /// `trellis up`.
    Trellis(Application),
}

impl Programs {
    /// Uses `trellis`, or the binary of that name beside this one.
    pub(crate) fn new(trellis: Option<PathBuf>, guests: &Path, scratch: &Path) -> Result<Self> {
        let own = std::env::current_exe().context("cannot find this very binary")?;
        let trellis = trellis.unwrap_or_else(|| own.with_file_name("trellis"));
        ensure!(
            trellis.is_file(),
            "there is no {}; `cargo build --release --package trellis` builds it",
            trellis.display()
        );
        let guests = guests
            .canonicalize()
            .with_context(|| format!("no components in {}", guests.display()))?;
        Ok(Self {
            own,
            trellis,
            guests,
            scratch: scratch.to_owned(),
        })
    }

    /// Returns the command that starts `program`, with a folder of its own named `key`.
    fn command(&self, program: Program, key: &str) -> Result<Command> {
        let folder = self.scratch.join(key);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut command = match program {
            Program::Hyper => self.task("hyper"),
            Program::Proxy { level, mode } => {
                let mut command = self.task("proxy-handler");
                command.args(["--level", level, "--mode", mode]);
                command
            }
            Program::Trellis(application) => {
                let mut command = Command::new(&self.trellis);
                command
                    .arg("up")
                    .arg(application.path(&self.guests, &folder)?);
                command.args(["--http", "127.0.0.1:0"]);
                command.arg("--data").arg(folder.join("data"));
                command.arg("--cache").arg(folder.join("code"));
                command
            }
        };
        let log = folder.join("log");
        let stderr =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stderr(stderr);
        Ok(command)
    }

    /// A task of this very binary.
    fn task(&self, name: &str) -> Command {
        let mut command = Command::new(&self.own);
        command.arg(name).env("TRELLIS_GUESTS", &self.guests);
        command
    }

    /// A task of the binary that measures between processes.
    fn lattice_task(&self, name: &str) -> Result<Command> {
        let binary = self.own.with_file_name("trellis-bench-lattice");
        ensure!(
            binary.is_file(),
            "there is no {}; `cargo build --release --package trellis-bench-lattice` builds it",
            binary.display()
        );
        let mut command = Command::new(binary);
        command.arg(name).env("TRELLIS_GUESTS", &self.guests);
        command.env("TRELLIS_BENCH_TRELLIS", &self.trellis);
        Ok(command)
    }

    /// Starts a server and waits until it says where it is.
    ///
    /// # Errors
    /// When it ends instead; the error holds what it said last.
    pub(crate) fn start(&self, program: Program, key: &str) -> Result<Server> {
        Server::start(self.command(program, key)?).with_context(|| {
            let log = fs::read_to_string(self.scratch.join(key).join("log")).unwrap_or_default();
            log.trim_end().to_owned()
        })
    }

    /// Returns the milliseconds from the start of a process to its first answer, with a warm cache: the
    /// median of several starts.
    pub(crate) fn time_to_first_answer(&self, program: Program, key: &str) -> Result<f64> {
        let once = || -> Result<f64> {
            let start = Instant::now();
            let server = self.start(program, key)?;
            server.get()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        };
        once()?; // fills the cache
        let times = (0..STARTS).map(|_| once()).collect::<Result<Vec<_>>>()?;
        Ok(median(&times))
    }

    /// Runs a probe and returns its measures.
    pub(crate) fn probe(
        &self,
        prober: Prober,
        name: &str,
        seconds: u32,
    ) -> Result<BTreeMap<String, f64>> {
        let mut probe = match prober {
            Prober::Own => self.task(name),
            Prober::Lattice => self.lattice_task(name)?,
        };
        // A probe has many measures; each needs less time than a load with its many connections.
        probe.args(["--seconds", &format!("{:.2}", f64::from(seconds) / 4.0)]);
        let output = probe
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot run the probe {name}"))?;
        ensure!(
            output.status.success(),
            "the probe {name} failed: {}",
            output.status
        );
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("the probe {name} printed no figures"))
    }
}

/// A running server; ended when dropped.
pub(crate) struct Server {
    child: Child,
    /// `http://ADDRESS/`.
    url: String,
}

impl Server {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process")?;
        let stdout = child.stdout.take();
        let mut server = Self {
            child,
            url: String::new(),
        };
        let stdout = stdout.context("no output to read the URL from")?;
        let mut stdout = BufReader::new(stdout);
        for line in stdout.by_ref().lines().map_while(Result::ok) {
            if let Some(url) = url_in(&line) {
                server.url = url.to_owned();
                // What it says later must neither fail nor fill the pipe.
                thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
                return Ok(server);
            }
        }
        let status = server.child.wait().context("cannot wait for the server")?;
        anyhow::bail!("the server ended before it printed a URL: {status}")
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Reads a size from the status of the process, in MiB: `VmRSS:` is all that is resident, with the
    /// pages of mapped files; `RssAnon:` is what belongs to the process alone.
    pub(crate) fn mebibytes(&self, field: &str) -> Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        mebibytes_in(&text, field).with_context(|| format!("{path} tells no {field}"))
    }

    /// Sends one request and reads the whole answer.
    pub(crate) fn get(&self) -> Result<()> {
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut answer)
            .context("no answer")?;
        let first = answer
            .split(|byte| *byte == b'\r')
            .next()
            .unwrap_or_default();
        let first = String::from_utf8_lossy(first);
        ensure!(first.contains(" 200 "), "the server answered {first:?}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mebibytes_in(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: f64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes / 1_024.0)
}

fn url_in(line: &str) -> Option<&str> {
    line[line.find("http://")?..].split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_found_in_a_line() {
        assert_eq!(url_in("http://127.0.0.1:80/"), Some("http://127.0.0.1:80/"));
        assert_eq!(
            url_in("ready at http://127.0.0.1:80/ now"),
            Some("http://127.0.0.1:80/")
        );
        assert_eq!(url_in("starting"), None);
    }

    #[test]
    fn sizes_are_read_in_mebibytes() {
        assert_eq!(
            mebibytes_in("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:"),
            Some(2.0)
        );
        assert_eq!(mebibytes_in("Name:\tx\n", "VmRSS:"), None);
    }

    #[test]
    fn a_server_that_ends_at_once_is_an_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo starting; exit 3"]);
        let error = Server::start(command).err().expect("it printed no URL");
        assert!(
            error.to_string().contains("before it printed a URL"),
            "{error}"
        );
    }

    #[test]
    fn a_server_is_found_by_its_url() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo starting; echo http://127.0.0.1:9/; exec cat /dev/zero",
        ]);
        let server = Server::start(command).expect("it prints a URL");
        assert_eq!(server.url(), "http://127.0.0.1:9/");
    }
}
