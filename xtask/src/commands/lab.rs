//! `cargo xtask lab`: what a lattice of real processes withstands, as figures beside their bars.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use super::scenarios::{Needs, Scenarios};
use crate::lab::Suite;
use crate::python_packages::Installed;
use crate::{project, shell};

/// Breaks things and counts.
#[derive(Args)]
pub(crate) struct Lab {
    #[command(flatten)]
    scenarios: Scenarios,

    /// As many faults and as much load as the reference asks for: hours
    #[arg(long)]
    full: bool,
}

impl Lab {
    /// Runs the scenarios, prints a table and fails when a bar was missed.
    pub(crate) fn run(self) -> Result<()> {
        let is_full = self.full;
        let needs = || {
            Ok(Needs {
                nats_server: Some(nats_server()?),
                is_full,
                folder: "lab",
            })
        };
        self.scenarios
            .carry_out(Suite::Lattice, needs, || build(is_full))
    }
}

fn nats_server() -> Result<PathBuf> {
    let server = Installed::ensure()?.programs().join("nats-server");
    ensure!(
        server.exists(),
        "there is no {}\nhint: `cargo xtask test` installs it",
        server.display()
    );
    Ok(server)
}

/// Builds the binary under test: a release for the figures of the reference, else what the tests use as well.
fn build(is_full: bool) -> Result<PathBuf> {
    shell::step("building trellis (the first build takes minutes)");
    let mut build = Command::new(project::cargo());
    build.args(["build", "--workspace", "--bin", "trellis"]);
    if is_full {
        build.arg("--release");
    }
    shell::run(build.current_dir(project::root()))?;
    let profile = if is_full { "release" } else { "debug" };
    Ok(project::target().join(profile).join("trellis"))
}
