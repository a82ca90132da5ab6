//! Development tasks, run as `cargo xtask <task>`.
//!
//! It knows how the project is built, tested and checked, and nothing of what the project does: it talks to the
//! `trellis` binary as any user would. Few dependencies, so that the first run starts within seconds.

mod commands;
mod guest_toolchain;
mod guests;
mod http_get;
mod lab;
mod project;
mod python_packages;
mod shell;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, run, test and check Trellis
#[derive(Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build everything, start the counter application and call it
    Demo(commands::demo::Demo),
    /// Build the components of examples/ and tests/guests/ from source
    Guests(commands::guests::Guests),
    /// Install what the tests need, build, and run every test
    Test(commands::test::Test),
    /// Format the code of all workspaces
    Fmt(commands::fmt::Fmt),
    /// Lint the code, warnings being errors
    Clippy(commands::clippy::Clippy),
    /// Check licences, sources and advisories of the dependencies
    Deny(commands::deny::Deny),
    /// Check the rules of the house that no compiler knows
    Tidy(commands::tidy::Tidy),
    /// Measure Trellis against its peers, in release
    Bench(commands::bench::Bench),
    /// Kill, cut off and restart real hosts and servers, and count what is lost
    Lab(commands::lab::Lab),
    /// Misuse one host: endless components, slow clients, floods, overload
    Isolation(commands::isolation::Isolation),
    /// Give arbitrary input to all that reads bytes from outside
    Fuzz(commands::fuzz::Fuzz),
    /// Run ours against published tools and providers of wasmCloud 1.x
    Interop(commands::interop::Interop),
    /// Run every check, as continuous integration does
    Ci(commands::ci::Ci),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Demo(it) => it.run(),
        Task::Guests(it) => it.run(),
        Task::Test(it) => it.run(),
        Task::Fmt(it) => it.run(),
        Task::Clippy(it) => it.run(),
        Task::Deny(it) => it.run(),
        Task::Tidy(it) => it.run(),
        Task::Bench(it) => it.run(),
        Task::Lab(it) => it.run(),
        Task::Isolation(it) => it.run(),
        Task::Fuzz(it) => it.run(),
        Task::Interop(it) => it.run(),
        Task::Ci(it) => it.run(),
    }
}
