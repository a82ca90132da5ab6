//! The `trellis` process: started with nothing of this machine but temporary folders, and never left behind.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::lines::Lines;
use crate::paths::{binary, shared_cache};

/// How often the end of a process is looked for; there is no portable way to wait for it with a bound.
const EXIT_POLL: Duration = Duration::from_millis(2);

/// Longer than any command takes, so that a hang is a failed test.
const EXIT_PATIENCE: Duration = Duration::from_secs(40);

/// A `trellis` command line and the folders that it is run with.
#[derive(Debug)]
pub struct Trellis {
    home: Arc<TempDir>,
    /// What the command line is put behind, such as a shell that sets a limit first.
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    folder: Option<PathBuf>,
    user: Option<u32>,
    cache: PathBuf,
}

impl Trellis {
    /// Makes an empty home, without arguments.
    ///
    /// # Panics
    /// When there is no room for temporary files.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            home: Arc::new(TempDir::new().expect("temporary files can be made")),
            wrapper: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: None,
            user: None,
            cache: shared_cache(),
        }
    }

    /// Makes another command line of the same home, as in a second terminal: without arguments.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            home: self.home.clone(),
            ..Self::new()
        }
    }

    /// Returns a folder that is gone when this is: the home of the command.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Sets a variable of the environment, which is otherwise empty.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Runs in `folder` instead of the home.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Keeps compiled code in `folder`, not in that which the tests share.
    #[must_use]
    pub fn cache(mut self, folder: &Path) -> Self {
        self.cache = folder.to_owned();
        self
    }

    /// Puts the command line behind `command`.
    #[must_use]
    pub fn behind<T: Into<OsString>>(mut self, command: impl IntoIterator<Item = T>) -> Self {
        self.wrapper = command.into_iter().map(Into::into).collect();
        self
    }

    /// Runs as another user, which only root can do.
    #[must_use]
    pub fn as_user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// Starts `trellis up` with these arguments and returns when everything is ready.
    ///
    /// # Panics
    /// When it ends instead.
    pub fn up(&self) -> Host {
        self.try_up()
            .unwrap_or_else(|ended| panic!("trellis up ended:\n{}", ended.stderr))
    }

    /// Starts `trellis up` with these arguments and returns when everything is ready.
    ///
    /// # Errors
    /// What it said when it ended instead.
    pub fn try_up(&self) -> Result<Host, Finished> {
        let Host { mut process, .. } = self.begin();
        match process.stdout.wait_for("{") {
            Some(line) => {
                let report = serde_json::from_str(&line).expect("the line is JSON");
                Ok(Host { process, report })
            }
            None => Err(process.finish()),
        }
    }

    /// Starts `trellis up` with these arguments and returns at once; there is no report yet.
    pub fn begin(&self) -> Host {
        let data = self.home().join("data");
        let mut command = self.command();
        command.args(["up", "--output", "json"]);
        command
            .arg("--data")
            .arg(data)
            .arg("--cache")
            .arg(&self.cache);
        if !self.arguments.iter().any(|it| it == "--http") {
            command.args(["--http", "127.0.0.1:0"]);
        }
        Host {
            process: Process::spawn(command.args(&self.arguments)),
            report: Value::Null,
        }
    }

    /// Runs `trellis` with these arguments and returns at once.
    pub fn follow(&self) -> Follower {
        Follower(Process::spawn(self.command().args(&self.arguments)))
    }

    /// Runs `trellis` with these arguments to its end.
    pub fn run(&self) -> Finished {
        Process::spawn(self.command().args(&self.arguments)).finish()
    }

    /// Runs `trellis` with these arguments to its end and returns what it said as JSON.
    ///
    /// # Panics
    /// When it fails.
    pub fn json(&self) -> Value {
        let line = self.arguments.join(" ".as_ref());
        self.try_json()
            .unwrap_or_else(|ended| panic!("{line:?}: {:?}\n{}", ended.code, ended.stderr))
    }

    /// Runs `trellis` with these arguments to its end and returns what it said as JSON.
    ///
    /// # Errors
    /// What it said when it failed.
    ///
    /// # Panics
    /// When it succeeds and says anything but JSON.
    pub fn try_json(&self) -> Result<Value, Finished> {
        let mut command = self.command();
        command.args(&self.arguments).args(["--output", "json"]);
        let ended = Process::spawn(&mut command).finish();
        match ended.code {
            Some(0) => Ok(serde_json::from_str(&ended.stdout).expect("the output is JSON")),
            _ => Err(ended),
        }
    }

    /// Tells whether the host that ran with this home wrote down that it runs `id`, for a start without
    /// its lattice.
    pub fn remembers(&self, id: &str) -> bool {
        let file = "data/lattices/default/hosts/0/lattice.json";
        let text = std::fs::read(self.home().join(file)).unwrap_or_default();
        let known: Value = serde_json::from_slice(&text).unwrap_or_default();
        let has = |kind: &str| known[kind].get(id).is_some();
        has("components") || has("providers")
    }

    fn command(&self) -> Command {
        let mut line = self.wrapper.clone();
        line.push(binary().into());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        command.current_dir(self.folder.as_deref().unwrap_or(self.home()));
        command
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.environment.iter().cloned());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }
}

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its data.
    pub stdout: String,
    /// Its talk.
    pub stderr: String,
}

/// A command that goes on until it is told to end. Killed when dropped.
#[derive(Debug)]
pub struct Follower(Process);

impl Follower {
    /// What it writes to standard output.
    pub fn data(&self) -> &Lines {
        &self.0.stdout
    }
}

/// A host that runs. Killed when dropped.
#[derive(Debug)]
pub struct Host {
    process: Process,
    /// What it wrote to standard output when it was ready.
    pub report: Value,
}

impl Host {
    /// Returns its id.
    ///
    /// # Panics
    /// When it told none.
    pub fn host_id(&self) -> String {
        let id = self.report["host_id"].as_str();
        id.expect("the report has the id of the host").to_owned()
    }

    /// Returns the address of its gateway, where it has one.
    ///
    /// # Panics
    /// When it has none, or several.
    pub fn address(&self) -> SocketAddr {
        let listening = self.report["listening"]
            .as_array()
            .expect("a list of addresses");
        assert_eq!(listening.len(), 1, "addresses: {listening:?}");
        let address = listening[0]
            .as_str()
            .and_then(|address| address.parse().ok());
        address.expect("an address is IP:PORT")
    }

    /// What it writes to standard error.
    pub fn log(&self) -> &Lines {
        &self.process.stderr
    }

    /// Returns the number of its process.
    pub fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Asks it to end.
    pub fn signal(&self, signal: Signal) {
        // A process that has ended already is what the test looks at next.
        let _ = kill_process(self.process.pid(), signal);
    }

    /// Waits for its end and returns its exit code.
    ///
    /// # Panics
    /// When it does not end within 40 seconds.
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait().code()
    }

    /// Ends it in order, as Ctrl-C does.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::INT);
        self.wait()
    }

    /// Tells whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.child.try_wait(), Ok(None))
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Process {
    fn spawn(command: &mut Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command can be started");
        let stdout = Lines::of(child.stdout.take().expect("it is piped"));
        let stderr = Lines::of(child.stderr.take().expect("it is piped"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(
                start.elapsed() < EXIT_PATIENCE,
                "still running:\n{}",
                self.stderr.so_far()
            );
            std::thread::sleep(EXIT_POLL);
        }
    }

    fn finish(&mut self) -> Finished {
        let code = self.wait().code();
        Finished {
            code,
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
