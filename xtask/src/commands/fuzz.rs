//! `cargo xtask fuzz`: arbitrary input for everything that reads bytes from outside.
//!
//! The targets are the binaries of the workspace `fuzz/`. They are compiled with the coverage that libFuzzer steers by,
//! which is a pass of LLVM and needs no nightly compiler.

use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{project, shell};

/// Counters for each edge, a table of their places, and calls at each comparison.
const INSTRUMENTATION: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// The longest input: several times the longest seed. Longer ones find little more and run slowly.
const INPUT_BYTES_MAX: u32 = 4_096;

/// How long one input may take. A slow one takes milliseconds; the rest is for a machine under load.
const INPUT_SECONDS_MAX: u32 = 10;

/// Memory of the process. An input is held to much less by the target itself.
const MEMORY_MIB_MAX: u32 = 1_024;

/// Lines of the fuzzer that are shown when it finds something: a panic, its place, and the input.
const LINES_SHOWN_MAX: usize = 40;

/// Fuzzes.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// Targets to run, one after the other; all when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,

    /// Seconds for each target
    #[arg(long, default_value_t = 600)]
    seconds: u32,

    /// Run one target on this input only, as to reproduce a finding
    #[arg(long, value_name = "FILE", conflicts_with = "seconds")]
    input: Option<PathBuf>,
}

impl Fuzz {
    /// Builds the targets and runs each; fails when one finds something.
    pub(crate) fn run(self) -> Result<()> {
        let known = targets()?;
        let chosen = choose(&known, &self.targets)?;
        ensure_compiler()?;
        let binaries = build(&chosen)?;
        if let Some(input) = self.input {
            let [target] = &chosen[..] else {
                bail!("an input is for one target: `cargo xtask fuzz TARGET --input FILE`");
            };
            return reproduce(&binaries.join(target), &input);
        }
        let mut failed = Vec::new();
        for target in &chosen {
            if !Campaign::new(target)?.run(&binaries.join(target), self.seconds)? {
                failed.push(target.as_str());
            }
        }
        ensure!(failed.is_empty(), "findings in {}", failed.join(", "));
        Ok(())
    }
}

/// The names of all targets, sorted.
fn targets() -> Result<Vec<String>> {
    let folder = project::fuzz().join("src/bin");
    let files = project::source_files(&folder)?;
    let stem = |file: &PathBuf| Some(file.file_stem()?.to_str()?.to_owned());
    Ok(files.iter().filter_map(stem).collect())
}

fn choose(known: &[String], named: &[String]) -> Result<Vec<String>> {
    if named.is_empty() {
        return Ok(known.to_vec());
    }
    if let Some(unknown) = named.iter().find(|it| !known.contains(it)) {
        bail!(
            "there is no target {unknown}; there are {}",
            known.join(", ")
        );
    }
    Ok(named.to_vec())
}

/// libFuzzer is compiled from its source, which `libfuzzer-sys` brings along.
fn ensure_compiler() -> Result<()> {
    let found = std::env::var_os("CXX").is_some()
        || ["c++", "g++", "clang++"]
            .iter()
            .any(|it| shell::find(it).is_some());
    ensure!(
        found,
        "libFuzzer is compiled from source, and there is no C++ compiler\nhint: sudo apt-get install g++"
    );
    Ok(())
}

/// Builds `targets` with instrumentation and returns the folder of the binaries.
fn build(targets: &[String]) -> Result<PathBuf> {
    shell::step("building the fuzz targets (the first build takes minutes)");
    let host = host_triple()?;
    let folder = project::target().join("fuzz-build");
    let mut build = Command::new(project::cargo());
    // Naming the host as the target keeps the flags away from build scripts.
    build.args(["build", "--release", "--locked", "--target", &host]);
    for target in targets {
        build.args(["--bin", target]);
    }
    build
        .env("CARGO_TARGET_DIR", &folder)
        .env("RUSTFLAGS", INSTRUMENTATION.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(project::fuzz());
    shell::run(&mut build)?;
    Ok(folder.join(host).join("release"))
}

fn host_triple() -> Result<String> {
    let version = shell::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc names no host")
}

fn reproduce(binary: &Path, input: &Path) -> Result<()> {
    let limit = format!("-timeout={INPUT_SECONDS_MAX}");
    let mut run = Command::new(binary);
    shell::run(run.arg(limit).arg(input).env("RUST_BACKTRACE", "1"))?;
    shell::step("the target is fine with this input");
    Ok(())
}

/// One target with its folders.
struct Campaign<'a> {
    target: &'a str,
    /// Inputs that were found to reach something new; kept for the next time.
    grown: PathBuf,
    /// Inputs that are part of the project.
    seeds: PathBuf,
    /// Inputs that break the target.
    artifacts: PathBuf,
}

impl<'a> Campaign<'a> {
    fn new(target: &'a str) -> Result<Self> {
        let output = project::target().join("fuzz");
        let campaign = Self {
            target,
            grown: output.join("corpus").join(target),
            seeds: project::fuzz().join("corpus").join(target),
            artifacts: output.join("artifacts").join(target),
        };
        for folder in [&campaign.grown, &campaign.artifacts] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(campaign)
    }

    /// Runs the target and tells whether it found nothing.
    fn run(&self, binary: &Path, seconds: u32) -> Result<bool> {
        shell::step(format!("fuzzing {} for {seconds} s", self.target));
        let start = Instant::now();
        let mut child = self
            .command(binary, seconds)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stderr = child.stderr.take().context("no output to follow")?;
        let log = follow(stderr, self.target, start)?;
        let status = child.wait().context("cannot wait for the fuzzer")?;
        if status.success() {
            shell::step(format!(
                "{}: nothing found; {}",
                self.target, log.last_status
            ));
            return Ok(true);
        }
        for line in &log.other {
            eprintln!("  {line}");
        }
        shell::step(format!("{} ended: {status}", self.target));
        if let Some(input) = log.artifact() {
            shell::step(format!(
                "to reproduce: cargo xtask fuzz {} --input {input}",
                self.target
            ));
        }
        Ok(false)
    }

    fn command(&self, binary: &Path, seconds: u32) -> Command {
        let mut command = Command::new(binary);
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
            .arg(format!("-artifact_prefix={}/", self.artifacts.display()));
        let words = project::fuzz()
            .join("dictionaries")
            .join(format!("{}.dict", self.target));
        if words.exists() {
            command.arg(format!("-dict={}", words.display()));
        }
        // New inputs go to the first folder.
        command.args([&self.grown, &self.seeds]);
        // The message of a panic stays among the lines that are shown; reproducing it shows the calls.
        command
            .env("RUST_BACKTRACE", "0")
            .current_dir(project::root());
        command
    }
}

/// What the fuzzer wrote.
#[derive(Default)]
struct Log {
    /// The latest line with its counts.
    last_status: String,
    /// The latest lines that are no counts.
    other: Vec<String>,
}

impl Log {
    fn add(&mut self, line: String) {
        if is_status(&line) {
            self.last_status = line.replace('\t', " ");
        } else {
            if self.other.len() == LINES_SHOWN_MAX {
                self.other.remove(0);
            }
            self.other.push(line);
        }
    }

    /// Where the fuzzer says that it wrote the input.
    fn artifact(&self) -> Option<&str> {
        let marker = "Test unit written to ";
        self.other
            .iter()
            .rev()
            .find_map(|line| Some(line.split_once(marker)?.1.trim()))
    }
}

/// Tells whether a line is one of counts: the number of inputs, then what they reach.
fn is_status(line: &str) -> bool {
    let number = line.strip_prefix('#').and_then(|it| it.split('\t').next());
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Shows the latest counts in one line, on a terminal only, until the fuzzer ends.
fn follow(stderr: ChildStderr, target: &str, start: Instant) -> Result<Log> {
    let mut log = Log::default();
    let is_terminal = io::stderr().is_terminal();
    for line in BufReader::new(stderr).split(b'\n') {
        let line = line.context("cannot read what the fuzzer writes")?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let is_counts = is_status(&line);
        log.add(line);
        if is_terminal && is_counts {
            let counts: String = log.last_status.chars().take(60).collect();
            eprint!("\r\x1b[K{target} {} s {counts}", start.elapsed().as_secs());
            // A line that is not shown is no failure of the run.
            let _ = io::stderr().flush();
        }
    }
    if is_terminal {
        eprint!("\r\x1b[K");
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_targets_are_refused_with_those_that_exist() {
        let known = ["a".to_owned(), "b".to_owned()];
        assert_eq!(choose(&known, &[]).expect("all"), known);
        assert_eq!(choose(&known, &["b".to_owned()]).expect("one"), ["b"]);
        let error = choose(&known, &["c".to_owned()]).expect_err("unknown");
        assert_eq!(error.to_string(), "there is no target c; there are a, b");
    }

    #[test]
    fn the_input_of_a_finding_is_found_in_the_log() {
        let mut log = Log::default();
        for line in [
            "#2\tINITED cov: 5 ft: 6",
            "###### Recommended dictionary. ######",
            "thread '<unnamed>' panicked at src/bin/a.rs:1:1:",
            "artifact_prefix='t/'; Test unit written to t/crash-00",
            "Base64: AA==",
        ] {
            log.add(line.to_owned());
        }
        assert_eq!(log.artifact(), Some("t/crash-00"));
        assert_eq!(log.last_status, "#2 INITED cov: 5 ft: 6");
        (0..100).for_each(|it| log.add(format!("line {it}")));
        assert_eq!(log.other.len(), LINES_SHOWN_MAX);
    }

    #[test]
    fn every_target_has_seeds() {
        for target in targets().expect("the folder of the targets") {
            let seeds = project::fuzz().join("corpus").join(&target);
            let count = fs::read_dir(&seeds).map_or(0, Iterator::count);
            assert!(count > 0, "{} is empty", seeds.display());
        }
    }
}
