//! `cargo xtask tidy`: the rules of the house.

use anyhow::{Result, ensure};
use clap::Args;

use crate::{shell, tidy};

/// Checks the rules that no compiler knows.
#[derive(Args, Default)]
pub(crate) struct Tidy {}

impl Tidy {
    /// Prints every finding as `file:line: what is wrong`, and fails when there is one.
    pub(crate) fn run(self) -> Result<()> {
        let findings = tidy::check()?;
        for finding in &findings {
            println!("{finding}");
        }
        ensure!(findings.is_empty(), "{} findings", findings.len());
        shell::step("tidy");
        Ok(())
    }
}
