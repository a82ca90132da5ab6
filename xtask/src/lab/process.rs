//! A process under test: started with its log in a file, killed when dropped.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::waiting;

/// A child that does not outlive this value.
pub(super) struct Process {
    child: Child,
    name: String,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`; it writes its results to `NAME.out`, anew each time, and appends its log to `NAME.log`.
    ///
    /// # Errors
    /// A program that cannot be started, or a folder that cannot be written.
    pub(super) fn start(mut command: Command, name: &str, folder: &Path) -> Result<Self> {
        let output = folder.join(format!("{name}.out"));
        let log = folder.join(format!("{name}.log"));
        let output =
            File::create(&output).with_context(|| format!("cannot write {}", output.display()))?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let program = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            child,
            name: name.to_owned(),
            ended: None,
        })
    }

    /// Returns its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`. One that has ended hears nothing.
    pub(super) fn signal(&self, signal: Signal) {
        if self.ended.is_some() {
            return;
        }
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It is not waited for yet, so that the id cannot be another's.
            let _ = kill_process(id, signal);
        }
    }

    /// Kills it and waits until the system has closed its connections.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL);
        let status = self.child.wait();
        self.ended = Some(status.with_context(|| format!("cannot wait for {}", self.name))?);
        Ok(())
    }

    /// Returns how it ended, if it has.
    ///
    /// # Errors
    /// When it cannot be asked for.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            let status = self.child.try_wait();
            self.ended = status.with_context(|| format!("cannot wait for {}", self.name))?;
        }
        Ok(self.ended)
    }

    /// Waits for its end. Returns how it ended and when, or nothing when it runs after `limit`.
    ///
    /// # Errors
    /// When it cannot be waited for, or the run is interrupted.
    pub(super) fn end_within(&mut self, limit: Duration) -> Result<Option<(ExitStatus, Instant)>> {
        let ended = waiting::within(limit, || self.ended())?;
        Ok(ended.map(|(status, _)| (status, Instant::now())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // Both fail only when it has ended already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_itself_or_by_a_signal() {
        let folder = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Process::start(command, "sh", &folder).expect("a shell exists")
        };
        let limit = Duration::from_secs(60);
        let ended = shell("exit 3").end_within(limit).expect("it can be asked");
        assert_eq!(ended.and_then(|(status, _)| status.code()), Some(3));
        let mut waiting = shell("exec sleep 1000");
        assert!(waiting.ended().expect("it can be asked").is_none());
        waiting.kill().expect("it can be killed");
        assert!(waiting.ended().expect("it can be asked").is_some());
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }
}
