//! `cargo xtask ci`: every check, in the order in which a failure is worth knowing.

use anyhow::Result;
use clap::Args;

use super::{clippy::Clippy, deny::Deny, fmt::Fmt, test::Test, tidy::Tidy};
use crate::shell;

/// Runs every check.
#[derive(Args)]
pub(crate) struct Ci {}

impl Ci {
    /// Stops at the first check that fails.
    pub(crate) fn run(self) -> Result<()> {
        Test::default().run()?;
        Fmt { check: true }.run()?;
        Clippy::default().run()?;
        Deny::default().run()?;
        Tidy::default().run()?;
        shell::step("every check passed");
        Ok(())
    }
}
