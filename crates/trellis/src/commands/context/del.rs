//! `trellis context del`: removes a context.

use clap::Args;

use crate::completion;
use crate::context::Contexts;
use crate::failure::Failure;
use crate::output;

/// Remove a context; the lattice and the credentials stay as they are
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis context del shop")]
pub(crate) struct Del {
    /// The context
    #[arg(value_name = "NAME", add = completion::contexts())]
    name: String,
}

pub(crate) fn run(arguments: &Del) -> Result<(), Failure> {
    Contexts::open().delete(&arguments.name)?;
    output::line(&format!("deleted {}", arguments.name))
}
