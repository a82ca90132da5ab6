//! `cargo xtask clippy`: lints of all workspaces.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::guest_toolchain::{Choice, GuestToolchain, TARGET};
use crate::{project, shell};

/// Lints the code.
#[derive(Args, Default)]
pub(crate) struct Clippy {}

impl Clippy {
    /// Lints with warnings as errors.
    pub(crate) fn run(self) -> Result<()> {
        shell::step("linting the host");
        let mut host = Command::new(project::cargo());
        host.args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
        .current_dir(project::root());
        shell::run(&mut host)?;
        lint_fuzz_targets()?;
        if !matches!(
            GuestToolchain::ensure(Choice::Auto)?,
            GuestToolchain::Rustup
        ) {
            shell::step("not linting the components: Debian's toolchain has no clippy");
            return Ok(());
        }
        for workspace in project::guest_workspaces() {
            shell::step(format!("linting {}", workspace.display()));
            let mut guests = Command::new(project::cargo());
            guests.args([
                "clippy",
                "--locked",
                "--workspace",
                "--target",
                TARGET,
                "--",
                "-D",
                "warnings",
            ]);
            guests
                .env("CARGO_TARGET_DIR", project::guests().join("build"))
                .current_dir(workspace);
            shell::run(&mut guests)?;
        }
        Ok(())
    }
}

/// Without the instrumentation of a fuzz build, which lints do not look at.
fn lint_fuzz_targets() -> Result<()> {
    let workspace = project::fuzz();
    shell::step(format!("linting {}", workspace.display()));
    let mut fuzz = Command::new(project::cargo());
    fuzz.args([
        "clippy", "--locked", "--lib", "--bins", "--", "-D", "warnings",
    ]);
    fuzz.env("CARGO_TARGET_DIR", project::target().join("fuzz-build"))
        .current_dir(workspace);
    shell::run(&mut fuzz)
}
