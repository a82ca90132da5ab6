//! `cargo xtask bench`: Trellis against its peers, as one table.
//!
//! It builds what is measured, installs the load generator and `nats-server`, and leaves the measuring to
//! `trellis-bench`, which is built beside the servers, with the same settings.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use super::interop;
use crate::guest_toolchain::Choice;
use crate::python_packages::Installed;
use crate::{guests, project, shell};

/// What a person without the rights of this task has to type.
const INSTALL_HINT: &str = "hint: sudo apt-get install --no-install-recommends wrk";

/// Measures.
#[derive(Args)]
pub(crate) struct Bench {
    /// Rounds; every server is measured once in each
    #[arg(long, default_value_t = 5)]
    rounds: u32,

    /// Seconds for each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u32,

    /// Measure only rows whose name contains this, and their peers
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,

    /// Two rounds of one second: to see that everything runs
    #[arg(long)]
    quick: bool,
}

impl Bench {
    /// Builds, measures, prints one table and writes it to `target/bench/`.
    pub(crate) fn run(self) -> Result<()> {
        ensure_wrk()?;
        let guests = guests::build(Choice::Auto)?;
        shell::step(
            "building trellis and its peers in release (the first build takes many minutes)",
        );
        let mut build = Command::new(project::cargo());
        build.args([
            "build",
            "--release",
            "--workspace", // chooses the features that every other task chooses
            "--bin",
            "trellis",
            "--bin",
            "trellis-bench",
            "--bin",
            "trellis-bench-lattice",
        ]);
        shell::run(build.current_dir(project::root()))?;
        let upstream = build_upstream()?;
        let python = Installed::ensure()?;
        let mut measure = Command::new(project::target().join("release/trellis-bench"));
        measure
            .args(self.arguments())
            .arg("--output")
            .arg(project::root().join("target/bench"))
            .env("TRELLIS_GUESTS", guests)
            .env("TRELLIS_BENCH_UPSTREAM", upstream)
            .env("PATH", shell::path_with(&[python.programs()])?)
            .current_dir(project::root());
        shell::run(&mut measure)
    }

    /// The same choices as arguments of `trellis-bench`.
    fn arguments(self) -> Vec<OsString> {
        let mut arguments = vec!["run".into()];
        arguments.extend(["--rounds".into(), self.rounds.to_string().into()]);
        arguments.extend(["--seconds".into(), self.seconds.to_string().into()]);
        if let Some(pattern) = self.only {
            arguments.extend(["--only".into(), pattern.into()]);
        }
        if self.quick {
            arguments.push("--quick".into());
        }
        arguments
    }
}

/// Builds the program that speaks published wRPC, and returns where it is.
fn build_upstream() -> Result<PathBuf> {
    shell::step("building published wRPC in release (the first build takes minutes)");
    let target = interop::target();
    let mut build = Command::new(project::cargo());
    build
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "interop-bench",
        ])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(project::interop());
    shell::run(&mut build)?;
    Ok(target.join("release/interop-bench"))
}

/// Installs the load generator where it is missing.
fn ensure_wrk() -> Result<()> {
    if shell::find("wrk").is_some() {
        return Ok(());
    }
    ensure!(
        shell::find("apt-get").is_some() && rustix::process::geteuid().is_root(),
        "the load generator `wrk` is missing, and only root can install it\n{INSTALL_HINT}"
    );
    shell::step("installing the Debian package wrk");
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "--yes", "--no-install-recommends", "wrk"])
            .env("DEBIAN_FRONTEND", "noninteractive");
        shell::succeeds(&mut apt)
    };
    let refresh = || shell::succeeds(Command::new("apt-get").arg("update"));
    let installed = install() || (refresh() && install());
    ensure!(
        installed && shell::find("wrk").is_some(),
        "cannot install `wrk`\n{INSTALL_HINT}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_passed_on() {
        let bench = Bench {
            rounds: 7,
            seconds: 2,
            only: Some("0.3".to_owned()),
            quick: true,
        };
        let expected = [
            "run",
            "--rounds",
            "7",
            "--seconds",
            "2",
            "--only",
            "0.3",
            "--quick",
        ];
        assert_eq!(bench.arguments(), expected);
    }
}
