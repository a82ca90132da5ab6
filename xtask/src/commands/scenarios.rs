//! What the suites of scenarios have in common: which to run, on which binary, how often.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::guest_toolchain::Choice;
use crate::lab::{self, Lab as Setting, Suite};
use crate::{guests, project, shell};

/// The scenarios that were asked for.
#[derive(Args)]
pub(super) struct Scenarios {
    /// Scenarios to run; all when none is named
    #[arg(value_name = "SCENARIO")]
    names: Vec<String>,

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

/// What a suite needs beside the choice of scenarios.
pub(super) struct Needs {
    /// The server that hosts join, where they join one.
    pub(super) nats_server: Option<PathBuf>,
    /// As many faults and as much load as the reference asks for.
    pub(super) is_full: bool,
    /// Where reports and logs go, below the build folder.
    pub(super) folder: &'static str,
}

impl Scenarios {
    /// Lists the scenarios of `suite`, or runs those that were asked for, prints a table, and fails when a bar was missed.
    /// `build` makes the binary where none is named.
    pub(super) fn carry_out(
        self,
        suite: Suite,
        needs: impl FnOnce() -> Result<Needs>,
        build: impl FnOnce() -> Result<PathBuf>,
    ) -> Result<()> {
        if self.list {
            let mut out = std::io::stdout().lock();
            // Whoever reads no further has seen enough.
            let _ = suite
                .names()
                .iter()
                .try_for_each(|name| writeln!(out, "{name}"));
            return Ok(());
        }
        let needs = needs()?;
        let setting = Setting {
            trellis: match &self.trellis {
                Some(path) => existing(path)?,
                None => build()?,
            },
            nats_server: needs.nats_server,
            guests: components()?,
            is_full: needs.is_full,
            seed: self.seed,
            tries: self.tries,
            folder: project::root().join("target").join(needs.folder),
        };
        ctrlc::set_handler(lab::interrupt).context("cannot handle Ctrl-C")?;
        let report = lab::run(&setting, suite, &self.names)?;
        report.print();
        let file = report.write()?;
        shell::step(format!("written to {}", file.display()));
        let missed = report.missed();
        ensure!(missed == 0, "{missed} bars were missed");
        Ok(())
    }
}

/// A binary that is there already, by a path that holds in every folder.
fn existing(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .ok()
        .filter(|it| it.exists())
        .with_context(|| format!("there is no {}", path.display()))
}

/// The folder of the components, which are built unless it is given.
fn components() -> Result<PathBuf> {
    match std::env::var_os("TRELLIS_GUESTS") {
        Some(folder) => Ok(folder.into()),
        None => guests::build(Choice::Auto),
    }
}
