//! The `trellis` command, as a person types it; answers are read from `--output json`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::applications::joined;
use super::namespaces::Place;

/// How the variables begin that would let the person's own settings in.
const FOREIGN: [&str; 2] = ["NATS_", "TRELLIS_"];

/// Makes a command of `trellis` whose home is `home` and whose lattice is at `server`.
pub(super) fn trellis(place: &Place, binary: &Path, home: &Path, server: &str) -> Command {
    let mut command = place.command(binary);
    let is_foreign = |name: &OsString| {
        let name = name.to_string_lossy();
        FOREIGN.iter().any(|it| name.starts_with(it))
    };
    for name in std::env::vars_os().map(|it| it.0).filter(is_foreign) {
        command.env_remove(name);
    }
    command
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("XDG_STATE_HOME", home.join("state"))
        .env("NATS_URL", server)
        .current_dir(home);
    command
}

/// Runs commands against one lattice. Cheap to clone.
#[derive(Clone)]
pub(super) struct CommandLine {
    /// Where commands are run.
    pub(super) place: Place,
    /// The binary.
    pub(super) trellis: PathBuf,
    /// The folder of the person who types.
    pub(super) home: PathBuf,
    /// The server of the lattice.
    pub(super) server: String,
}

impl CommandLine {
    /// Runs a command and reads what it writes.
    ///
    /// # Errors
    /// A command that fails, with what it said.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Value> {
        let shown = format!("trellis {}", arguments.join(" "));
        let output = self.output(arguments)?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "`{shown}` failed: {}",
            complaint.trim()
        );
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`{shown}` wrote something else than JSON"))
    }

    /// Runs a command and tells whether it succeeded.
    ///
    /// # Errors
    /// A command that cannot be started.
    pub(super) fn succeeds(&self, arguments: &[&str]) -> Result<bool> {
        Ok(self.output(arguments)?.status.success())
    }

    fn output(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", self.trellis.display()))
    }

    /// Makes the command, for those that do not end by themselves.
    pub(super) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = trellis(&self.place, &self.trellis, &self.home, &self.server);
        command.args(arguments).args(["--output", "json"]);
        command
    }

    /// Runs commands side by side: each is mostly waiting for hosts.
    ///
    /// # Errors
    /// The first that fails.
    pub(super) fn all(&self, commands: Vec<Vec<String>>) -> Result<()> {
        let run = |command: Vec<String>| {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            self.run(&words).map(drop)
        };
        thread::scope(|scope| {
            let spawn = |command| scope.spawn(move || run(command));
            let started: Vec<_> = commands.into_iter().map(spawn).collect();
            started.into_iter().try_for_each(joined)
        })
    }
}

/// Splits a command as a shell would, for words without spaces.
pub(super) fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}
