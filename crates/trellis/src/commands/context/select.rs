//! `trellis context select`: chooses the context that is used where none is named.

use clap::Args;

use crate::completion;
use crate::context::Contexts;
use crate::failure::Failure;
use crate::output;

/// Use a context wherever no other is named
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    trellis context select shop\n  \
    trellis context select --none")]
pub(crate) struct Select {
    /// The context
    #[arg(value_name = "NAME", required_unless_present = "none", add = completion::contexts())]
    name: Option<String>,

    /// Select none: an embedded lattice that runs here is found again
    #[arg(long, conflicts_with = "name")]
    none: bool,
}

pub(crate) fn run(arguments: &Select) -> Result<(), Failure> {
    Contexts::open().select(arguments.name.as_deref())?;
    match &arguments.name {
        Some(name) => output::line(&format!("selected {name}")),
        None => output::line("no context is selected"),
    }
}
