//! A process at one end of calls, told over its standard input what to do, and ended with it.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::caller::{Measured, READY, Wanted};

/// A running process.
pub(crate) struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a process and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started, or ends; it has said why on standard error.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let stdin = child.stdin.take().context("its input is piped")?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let mut peer = Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        };
        let line = peer.read_line()?;
        ensure!(
            line == READY,
            "a process said {line:?} instead of being ready"
        );
        Ok(peer)
    }

    /// Has it measure.
    ///
    /// # Errors
    /// When a call fails; the process has ended then.
    pub(crate) fn measure(&mut self, wanted: Wanted) -> Result<Measured> {
        writeln!(self.stdin, "{wanted}").context("the calling process ended")?;
        self.read_line()?.parse()
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line)?;
        ensure!(read > 0, "a process under measurement ended");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
