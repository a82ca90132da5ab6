//! `cargo xtask fmt`: one format for all workspaces.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::{project, shell};

/// Formats the code.
#[derive(Args, Default)]
pub(crate) struct Fmt {
    /// Change nothing; fail when something would change
    #[arg(long)]
    pub(crate) check: bool,
}

impl Fmt {
    /// Formats, or checks the format.
    pub(crate) fn run(self) -> Result<()> {
        shell::step(if self.check {
            "checking the format"
        } else {
            "formatting"
        });
        for workspace in [project::root()]
            .into_iter()
            .chain(project::guest_workspaces())
            .chain([project::fuzz(), project::interop()])
        {
            let mut format = Command::new(project::cargo());
            format.args(["fmt", "--all"]).current_dir(workspace);
            if self.check {
                format.arg("--check");
            }
            shell::run(&mut format)?;
        }
        Ok(())
    }
}
