//! The `trellis` command: one binary that is host and client.

mod arguments;
mod commands;
mod completion;
mod connection;
mod context;
mod duration;
mod failure;
mod folders;
mod gateway;
mod hosts;
mod output;
mod placement;
mod progress;
mod reference;
mod signals;
mod size;
mod suggestion;
mod told;
mod waiting;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A shell that asks for completions gets them, and nothing else happens.
    clap_complete::CompleteEnv::with_factory(arguments::Arguments::command)
        .var(completion::VARIABLE)
        .complete();
    let arguments = arguments::Arguments::parse();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
