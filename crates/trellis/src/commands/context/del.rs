//! `trellis context del`: removes a context.

use clap::Args;

use crate::completion;
use crate::context::{Contexts, is_live};
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
    let contexts = Contexts::open();
    if contexts.load(&arguments.name).is_ok_and(|it| is_live(&it)) {
        let message = format!(
            "context {} belongs to a host that runs here, and no terminal would find that without it",
            arguments.name
        );
        let hint =
            "end that host, which removes it; `trellis context select NAME` uses another context";
        return Err(Failure::message(&message, Some(hint)));
    }
    contexts.delete(&arguments.name)?;
    output::line(&format!("deleted {}", arguments.name))
}
