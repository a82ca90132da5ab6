//! `cargo xtask guests`: builds the components.

use anyhow::Result;
use clap::Args;

use crate::guest_toolchain::Choice;
use crate::guests;

/// Builds the components of examples and tests.
#[derive(Args)]
pub(crate) struct Guests {
    /// Compiler to build with
    #[arg(long, value_enum, default_value_t)]
    toolchain: Choice,
}

impl Guests {
    /// Builds what is out of date and prints the folder that holds all components.
    pub(crate) fn run(self) -> Result<()> {
        println!("{}", guests::build(self.toolchain)?.display());
        Ok(())
    }
}
