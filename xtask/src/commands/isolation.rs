//! `cargo xtask isolation`: what one host withstands that is misused, at the full scale of its promises.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use super::scenarios::{Needs, Scenarios};
use crate::lab::Suite;
use crate::{project, shell};

/// Misuses a host and counts.
#[derive(Args)]
pub(crate) struct Isolation {
    #[command(flatten)]
    scenarios: Scenarios,
}

impl Isolation {
    /// Runs the scenarios, prints a table and fails when a bar was missed.
    pub(crate) fn run(self) -> Result<()> {
        let needs = || {
            Ok(Needs {
                nats_server: None,
                is_full: true,
                folder: "isolation",
            })
        };
        self.scenarios.carry_out(Suite::Isolation, needs, build)
    }
}

/// Builds a release without optimisation across crates, which takes most of the time of a build: what is held to bars
/// here are bounds and turns, not speed.
fn build() -> Result<PathBuf> {
    shell::step("building trellis in release, without LTO (the first build takes minutes)");
    let mut build = Command::new(project::cargo());
    build
        .args(["build", "--release", "--workspace", "--bin", "trellis"])
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .current_dir(project::root());
    shell::run(&mut build)?;
    Ok(project::target().join("release/trellis"))
}
