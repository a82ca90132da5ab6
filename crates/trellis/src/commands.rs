//! One module for each command.

mod inspect;
mod up;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

/// Runs what was typed.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Up(up) => up::run(up),
        Command::Inspect(inspect) => inspect::run(&inspect),
    }
}
