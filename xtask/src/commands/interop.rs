//! `cargo xtask interop`: ours against what was published for wasmCloud 1.x.
//!
//! The peers are a workspace of their own, `tests/interop`: their dependencies are old, and stay out of ours.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::guest_toolchain::Choice;
use crate::python_packages::Installed;
use crate::{guests, project, shell};

/// Runs the tests against published peers.
#[derive(Args)]
pub(crate) struct Interop {
    /// Arguments for `cargo test`, such as `-p interop-control` or a filter
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

impl Interop {
    /// Builds components, the binary and the peers, then runs every test.
    pub(crate) fn run(self) -> Result<()> {
        let guests = guests::build(Choice::Auto)?;
        let python = Installed::ensure()?;
        let binary = build_binary()?;
        shell::step("building and running the peers (the first build takes minutes)");
        let mut test = Command::new(project::cargo());
        test.args(["test", "--locked", "--manifest-path"])
            .arg(project::interop().join("Cargo.toml"));
        if self.arguments.is_empty() {
            test.arg("--workspace");
        }
        test.args(&self.arguments)
            .env("CARGO_TARGET_DIR", target())
            .env("PATH", shell::path_with(&[python.programs()])?)
            .env("TRELLIS_BIN", binary)
            .env("TRELLIS_GUESTS", guests)
            .current_dir(project::root());
        shell::run(&mut test)
    }
}

/// Builds `trellis` as it is now, and returns where it is.
fn build_binary() -> Result<PathBuf> {
    shell::step("building trellis");
    let mut build = Command::new(project::cargo());
    build
        .args(["build", "--package", "trellis"])
        .current_dir(project::root());
    shell::run(&mut build)?;
    Ok(project::target().join("debug/trellis"))
}

/// Apart from the root workspace, whose cache of builds it would otherwise mix with; a folder that a person
/// chose holds for both.
pub(super) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(_) => project::target(),
        None => project::target().join("interop"),
    }
}
