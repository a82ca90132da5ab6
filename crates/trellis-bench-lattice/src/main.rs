//! Probes of the benchmark for what happens between processes, over NATS.
//!
//! `trellis-bench` runs them and makes the table; each probe prints one JSON object to stdout, name of a measure to
//! number. They are a binary of their own, without the engine, so that who works on the transport builds in a
//! minute what measures it.

mod caller;
mod calls;
mod heartbeats;
mod hosts;
mod http_client;
mod measures;
mod nats_server;
mod peer;
mod site;
mod ways;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The same allocator in every process, as `trellis` has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure what happens between processes, over NATS
#[derive(Parser)]
#[command(max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure calls between two processes: plain NATS, wRPC of Trellis, published wRPC
    Calls(calls::Calls),
    /// Measure calls from a component to one on another host
    Hosts(hosts::Hosts),
    /// Measure what the signs of life of 500 hosts cost one host
    Heartbeats(heartbeats::Heartbeats),
    /// Be the called end of `calls`
    Serve(ways::End),
    /// Be the calling end of `calls`
    Call(ways::End),
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
    match task {
        Task::Calls(it) => it.measure()?.print(),
        Task::Hosts(it) => it.measure()?.print(),
        Task::Heartbeats(it) => it.measure()?.print(),
        Task::Serve(it) => it.serve(),
        Task::Call(it) => it.call(),
    }
}
