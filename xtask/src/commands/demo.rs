//! `cargo xtask demo`: a running application, one command after the checkout.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use crate::guest_toolchain::Choice;
use crate::{guests, http_get, project, shell};

/// What is called: one path twice, to see it count, and another, to see it count apart.
const PATHS: [&str; 3] = ["/apples", "/apples", "/pears"];

/// How long the application may take to become ready: it is compiled first, on a slow machine with a cold cache.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// How often the end of the application is looked for while it is awaited.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How long the application may take to end after Ctrl-C: longer than any request of the demo.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Lines of the application's output that may wait to be read.
const LINES_QUEUED_MAX: usize = 1_024;

/// Set by Ctrl-C, which the application receives as well.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Shows Trellis at work.
#[derive(Args)]
pub(crate) struct Demo {
    /// Folder of the application to start
    #[arg(default_value = "examples/http-kvcounter")]
    application: String,

    /// End after the calls instead of waiting for Ctrl-C
    #[arg(long)]
    once: bool,
}

impl Demo {
    /// Builds, starts, calls, and keeps running until Ctrl-C.
    pub(crate) fn run(self) -> Result<()> {
        guests::build(Choice::Auto)?;
        let trellis = build_trellis()?;
        // The application gets Ctrl-C from the terminal, drains and ends; we wait for that instead of ending first.
        ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
            .context("cannot handle Ctrl-C")?;
        let mut application = Application::start(&trellis, &self.application)?;
        let url = application.wait_until_ready()?;
        call(&url)?;
        explain(&url, &self.application);
        if self.once {
            application.interrupt()?;
        } else {
            println!("Running until you press Ctrl-C.");
        }
        application.wait()
    }
}

/// Builds the binary and returns its path.
fn build_trellis() -> Result<PathBuf> {
    shell::step("building trellis (the first build takes minutes)");
    let mut build = Command::new(project::cargo());
    shell::run(
        build
            .args(["build", "--workspace", "--bin", "trellis"])
            .current_dir(project::root()),
    )?;
    Ok(project::target().join("debug/trellis"))
}

/// A running `trellis up`. It is ended when this is dropped, so that no failure leaves it behind.
struct Application {
    child: Child,
    /// What it writes to stdout, line by line.
    lines: Receiver<String>,
}

impl Application {
    fn start(trellis: &Path, application: &str) -> Result<Self> {
        shell::step(format!("starting: trellis up {application}"));
        let mut up = Command::new(trellis);
        up.args(["up", application]).current_dir(project::root());
        Self::spawn(&mut up).with_context(|| format!("cannot start {}", trellis.display()))
    }

    fn spawn(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child
            .stdout
            .take()
            .context("no output to read the URL from")?;
        Ok(Self {
            child,
            lines: follow(stdout),
        })
    }

    /// Waits for the line with the URL and returns it, without a slash at its end.
    fn wait_until_ready(&mut self) -> Result<String> {
        let start = Instant::now();
        while start.elapsed() < READY_TIMEOUT {
            match self.lines.recv_timeout(POLL_INTERVAL) {
                Ok(line) => {
                    if let Some(url) = url_in(&line) {
                        return Ok(url);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().context("cannot wait for trellis")?;
                    bail!("trellis ended before the application was ready: {status}");
                }
            }
        }
        bail!(
            "the application was not ready after {} s",
            READY_TIMEOUT.as_secs()
        )
    }

    /// Asks it to end, as Ctrl-C does, and waits until its output ends with it.
    fn interrupt(&self) -> Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.context("trellis has no process id")?;
        INTERRUPTED.store(true, Ordering::Relaxed);
        kill_process(id, Signal::INT).context("cannot interrupt trellis")?;
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    bail!(
                        "trellis did not end within {} s of Ctrl-C",
                        DRAIN_TIMEOUT.as_secs()
                    )
                }
            }
        }
    }

    fn wait(mut self) -> Result<()> {
        let status = self.child.wait().context("cannot wait for trellis")?;
        ensure!(
            ended_well(status, INTERRUPTED.load(Ordering::Relaxed)),
            "trellis ended: {status}"
        );
        Ok(())
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Shows each line of `stdout` and passes it on, to a reader who may have stopped listening.
fn follow(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(LINES_QUEUED_MAX);
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("  {line}");
            // Full or closed: the URL has long been found.
            let _ = sender.try_send(line);
        }
    });
    receiver
}

/// The first URL in `line`.
fn url_in(line: &str) -> Option<String> {
    let start = line.find("http://")?;
    let url = line[start..].split_whitespace().next()?;
    let url = url.trim_end_matches(|it: char| !it.is_ascii_alphanumeric() && it != ']');
    (url.len() > "http://".len()).then(|| url.to_owned())
}

fn call(url: &str) -> Result<()> {
    let authority = url.trim_start_matches("http://");
    for path in PATHS {
        let (status, body) = http_get::get(authority, path)?;
        println!("  GET {url}{path} -> {status} {}", body.trim_end());
        ensure!(status == 200, "the application answered {status}");
    }
    Ok(())
}

fn explain(url: &str, application: &str) {
    println!();
    println!("The application is at {url}. In another terminal, try");
    println!("  curl {url}/apples");
    println!("  target/debug/trellis inspect target/guests/http_kvcounter.wasm");
    println!("  cargo xtask demo examples/http-hello-p3");
    println!("and look at {application}/trellis.yaml, which describes it.");
    println!();
}

/// An interrupted program may say so with 130, or with the signal; else it must end with 0.
fn ended_well(status: ExitStatus, interrupted: bool) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let by_interrupt = status.code() == Some(130) || status.signal() == Some(Signal::INT.as_raw());
    status.success() || (interrupted && by_interrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_found_wherever_it_stands() {
        let cases = [
            ("http://127.0.0.1:8000", Some("http://127.0.0.1:8000")),
            (
                "ready: http://127.0.0.1:8000/ (counter)",
                Some("http://127.0.0.1:8000"),
            ),
            ("listening on http://[::1]:8000.", Some("http://[::1]:8000")),
            ("starting", None),
            ("see http://", None),
        ];
        for (line, expected) in cases {
            assert_eq!(url_in(line).as_deref(), expected, "{line}");
        }
    }

    fn shell(script: &str) -> Application {
        Application::spawn(Command::new("sh").args(["-c", script])).expect("a shell exists")
    }

    #[test]
    fn an_application_is_awaited_and_ended() {
        let script = "trap 'echo draining; exit 0' INT; echo starting; echo ready at http://127.0.0.1:1/; \
                      while :; do sleep 0.05; done";
        let mut application = shell(script);
        assert_eq!(
            application.wait_until_ready().expect("it prints a URL"),
            "http://127.0.0.1:1"
        );
        application.interrupt().expect("it ends on an interrupt");
        application.wait().expect("it ends with 0");
    }

    #[test]
    fn an_application_that_ends_early_is_an_error() {
        let error = shell("echo no port; exit 3")
            .wait_until_ready()
            .expect_err("it is never ready");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }
}
