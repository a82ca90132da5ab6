//! `cargo xtask lab`: what a lattice of real processes withstands, as figures beside their bars.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::guest_toolchain::Choice;
use crate::lab::{self, Lab as Setting, Suite};
use crate::python_packages::Installed;
use crate::{guests, project, shell};

/// Breaks things and counts.
#[derive(Args)]
pub(crate) struct Lab {
    /// Scenarios to run; all when none is named
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,

    /// As many faults and as much load as the reference asks for: hours
    #[arg(long)]
    full: bool,

    /// Test this binary instead of building one
    #[arg(long, value_name = "PATH")]
    trellis: Option<PathBuf>,

    /// Repeat a run: moments of requests and faults follow from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Try a scenario this often before a missed bar counts: for machines that do other things too
    #[arg(long, value_name = "N", default_value_t = 1)]
    tries: u32,

    /// List the scenarios
    #[arg(long)]
    list: bool,
}

impl Lab {
    /// Runs the scenarios, prints a table and fails when a bar was missed.
    pub(crate) fn run(self) -> Result<()> {
        if self.list {
            Suite::Lattice
                .names()
                .iter()
                .for_each(|name| println!("{name}"));
            return Ok(());
        }
        let python = Installed::ensure()?;
        let nats_server = python.programs().join("nats-server");
        ensure!(
            nats_server.exists(),
            "there is no {}\nhint: `cargo xtask test` installs it",
            nats_server.display()
        );
        let setting = Setting {
            trellis: self.binary()?,
            nats_server: Some(nats_server),
            guests: components()?,
            is_full: self.full,
            seed: self.seed,
            tries: self.tries,
            folder: project::root().join("target/lab"),
        };
        carry_out(&setting, Suite::Lattice, &self.scenarios)
    }

    /// The binary under test: a release for the figures of the reference, else what the tests use as well.
    fn binary(&self) -> Result<PathBuf> {
        if let Some(path) = &self.trellis {
            return existing(path);
        }
        shell::step("building trellis (the first build takes minutes)");
        let mut build = Command::new(project::cargo());
        build.args(["build", "--workspace", "--bin", "trellis"]);
        if self.full {
            build.arg("--release");
        }
        shell::run(build.current_dir(project::root()))?;
        let profile = if self.full { "release" } else { "debug" };
        Ok(project::target().join(profile).join("trellis"))
    }
}

/// Runs scenarios, prints a table, and fails when a bar was missed.
pub(super) fn carry_out(setting: &Setting, suite: Suite, scenarios: &[String]) -> Result<()> {
    ctrlc::set_handler(lab::interrupt).context("cannot handle Ctrl-C")?;
    let report = lab::run(setting, suite, scenarios)?;
    report.print();
    let file = report.write()?;
    shell::step(format!("written to {}", file.display()));
    let missed = report.missed();
    ensure!(missed == 0, "{missed} bars were missed");
    Ok(())
}

/// A binary that is there already, by a path that holds in every folder.
pub(super) fn existing(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .ok()
        .filter(|it| it.exists())
        .with_context(|| format!("there is no {}", path.display()))
}

/// The folder of the components, which are built unless it is given.
pub(super) fn components() -> Result<PathBuf> {
    match std::env::var_os("TRELLIS_GUESTS") {
        Some(folder) => Ok(folder.into()),
        None => guests::build(Choice::Auto),
    }
}
