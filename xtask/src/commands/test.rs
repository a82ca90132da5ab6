//! `cargo xtask test`: all that stands between a fresh machine and a tested Trellis.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::guest_toolchain::Choice;
use crate::python_packages::Installed;
use crate::{guests, project, shell, tools};

/// Runs every test.
#[derive(Args, Default)]
pub(crate) struct Test {
    /// Arguments for the test runner, such as `-p trellis-core` or a filter
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

impl Test {
    /// Builds the components, then builds and runs the tests; the last lines are the runner's.
    pub(crate) fn run(self) -> Result<()> {
        let guests = guests::build(Choice::Auto)?;
        let python = Installed::ensure()?;
        let mut test = self.runner()?;
        // The runner's own folder and that of nats-server, before what the machine has.
        let path = shell::path_with(&[project::tools().join("bin"), python.programs()])?;
        test.env("TRELLIS_GUESTS", guests)
            .env("PATH", path)
            .env("PYTHONPATH", python.modules())
            .current_dir(project::root());
        shell::run(&mut test)
    }

    /// The runner: nextest, or what cargo brings along where nextest cannot be had.
    fn runner(&self) -> Result<Command> {
        let mut test = Command::new(project::cargo());
        match tools::NEXTEST.ensure() {
            Ok(_) => {
                test.args(["nextest", "run"]);
            }
            Err(error) => {
                shell::step(format!("{error:#}"));
                shell::step("running the tests with `cargo test` instead");
                test.arg("test");
            }
        }
        if self.arguments.is_empty() {
            test.arg("--workspace");
        }
        test.args(&self.arguments);
        shell::step("building and running the tests (the first build takes minutes)");
        Ok(test)
    }
}
