//! A test that goes on in a process of its own, which can be killed or has a disk that is full.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Names the file to a test that was started again.
const FILE: &str = "TRELLIS_TEST_PROCESS_FILE";

/// What a process says stands behind this, because the test harness writes to the same output.
const SAYS: &str = "say ";

/// The bytes of a block, as `ulimit -f` counts.
const BLOCK_BYTES: u64 = 512;

/// A test of the running binary, started again as a process of its own that works with one file.
/// Dropping it kills it.
#[derive(Debug)]
pub struct TestProcess {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl TestProcess {
    /// Returns the file to work with when this process is such a one.
    pub fn file() -> Option<PathBuf> {
        std::env::var_os(FILE).map(PathBuf::from)
    }

    /// Says one line to the process that started this one.
    ///
    /// # Panics
    /// When nobody listens any more.
    pub fn say(line: &str) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{SAYS}{line}").expect("somebody listens");
        out.flush().expect("somebody listens");
    }

    /// Starts `test`, named with its modules, for `file`.
    ///
    /// # Panics
    /// When no process can be started.
    pub fn start(test: &str, file: &Path) -> Self {
        Self::through(r#"exec "$0" "$@""#, test, file)
    }

    /// Starts `test` where no file can grow beyond `file_bytes_max`, which is a full disk for one
    /// process.
    ///
    /// # Panics
    /// When no process can be started.
    pub fn start_on_full_disk(test: &str, file: &Path, file_bytes_max: u64) -> Self {
        let blocks = file_bytes_max / BLOCK_BYTES;
        let shell = format!(r#"trap "" XFSZ; ulimit -f {blocks}; exec "$0" "$@""#);
        Self::through(&shell, test, file)
    }

    fn through(shell: &str, test: &str, file: &Path) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", shell])
            .arg(std::env::current_exe().expect("the binary of a test has a path"))
            .args([test, "--exact", "--nocapture"])
            .env(FILE, file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process can be started");
        let output = child.stdout.take().expect("its output is a pipe");
        Self {
            child,
            output: BufReader::new(output).lines(),
        }
    }

    /// Returns what it says from now on, line by line; each is waited for.
    pub fn said(&mut self) -> impl Iterator<Item = String> + '_ {
        let lines = self.output.by_ref().map_while(Result::ok);
        lines.filter_map(|line| Some(line.split_once(SAYS)?.1.to_owned()))
    }

    /// Kills it with signal 9, and returns what it said before that and nobody read.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("it is a process of this one");
        self.said().collect()
    }

    /// Waits until it ends, and returns what it said meanwhile.
    ///
    /// # Panics
    /// When the test failed in it.
    pub fn finish(mut self) -> Vec<String> {
        let said = self.said().collect();
        let status = self.child.wait().expect("it is a process of this one");
        assert!(status.success(), "the test failed in its process: {status}");
        said
    }
}

impl Drop for TestProcess {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
