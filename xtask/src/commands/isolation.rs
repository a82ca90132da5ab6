//! `cargo xtask isolation`: what one host withstands that is misused, at the full scale of its promises.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use super::lab::{carry_out, components, existing};
use crate::lab::{Lab as Setting, Suite};
use crate::{project, shell};

/// Misuses a host and counts.
#[derive(Args)]
pub(crate) struct Isolation {
    /// Scenarios to run; all when none is named
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,

    /// Test this binary instead of building one
    #[arg(long, value_name = "PATH")]
    trellis: Option<PathBuf>,

    /// Repeat a run: moments of requests follow from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Try a scenario this often before a missed bar counts: for machines that do other things too
    #[arg(long, value_name = "N", default_value_t = 1)]
    tries: u32,

    /// List the scenarios
    #[arg(long)]
    list: bool,
}

impl Isolation {
    /// Runs the scenarios, prints a table and fails when a bar was missed.
    pub(crate) fn run(self) -> Result<()> {
        if self.list {
            let names = Suite::Isolation.names();
            names.iter().for_each(|name| println!("{name}"));
            return Ok(());
        }
        let setting = Setting {
            trellis: match &self.trellis {
                Some(path) => existing(path)?,
                None => build()?,
            },
            nats_server: None,
            guests: components()?,
            is_full: true,
            seed: self.seed,
            tries: self.tries,
            folder: project::root().join("target/isolation"),
        };
        carry_out(&setting, Suite::Isolation, &self.scenarios)
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
