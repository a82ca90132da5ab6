//! Measures Trellis against its peers in the same run.
//!
//! One binary beside `trellis`: the peers' servers, probes that measure inside one process, and the run
//! that starts them all, loads them in turn and prints one table. Nothing here is part of Trellis.

mod guest;
mod harness;
mod in_process;
mod peer;
mod probe;
mod server;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The same allocator in every server, as `trellis` has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure Trellis against its peers in the same run
#[derive(Parser)]
#[command(max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure everything and print one table
    Run(harness::Run),
    /// Serve the greeting with bare hyper
    Hyper,
    /// Serve a component with wasmtime's own ProxyHandler
    ProxyHandler(server::proxy_handler::ProxyHandlerServer),
    /// Measure calls of the hello component inside one process
    Calls(probe::calls::Calls),
    /// Measure calls from component to component
    Links(probe::links::Links),
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    if let Task::Run(it) = task {
        return it.run();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match task {
            Task::Run(it) => it.run(),
            Task::Hyper => server::hyper::serve().await,
            Task::ProxyHandler(it) => it.serve().await,
            Task::Calls(it) => it.measure().await,
            Task::Links(it) => it.measure().await,
        }
    })
}
