//! The command line: what can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    call, completions, config, context, doctor, drain, events, get, label, link, logs, ping, scale,
    start, stop, update,
};
use crate::connection::ConnectionOptions;
use crate::gateway::GatewayOptions;
use crate::size;

/// Run WebAssembly components anywhere, in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "trellis",
    version,
    max_term_width = 80,
    propagate_version = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(Box<Up>),
    Inspect(Inspect),
    Get(get::Get),
    Start(start::Start),
    Scale(scale::Scale),
    Update(update::Update),
    Stop(stop::Stop),
    Drain(drain::Drain),
    Resume(drain::Resume),
    Link(link::Link),
    Config(config::Config),
    Label(label::Label),
    Events(events::Events),
    Logs(logs::Logs),
    Call(call::Call),
    Ping(ping::Ping),
    Doctor(doctor::Doctor),
    Context(context::Context),
    Completions(completions::Completions),
}

/// Start a host and the applications at the given paths
///
/// A path is a component (`.wasm`), a folder with a manifest (`trellis.yaml` or `wadm.yaml`), or a
/// manifest. Several are started side by side. Without a path the host starts with nothing to run.
///
/// Without `--nats`, `NATS_URL` or `--context` the host keeps a lattice of its own on this machine, which
/// other terminals find by themselves. With one of them it joins that lattice.
///
/// Ctrl-C finishes the requests in flight and exits; a second Ctrl-C exits at once.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    trellis up hello.wasm\n  \
    trellis up examples/http-kvcounter\n  \
    trellis up shop.yaml payments.yaml --http 127.0.0.1:9000\n  \
    trellis up --nats nats://10.0.0.5:4222 --label zone=eu-1")]
pub(crate) struct Up {
    /// A component, a folder with a manifest, or a manifest
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Listen here for components whose link names no address
    #[arg(
        long,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:8000",
        env = "TRELLIS_HTTP",
        value_parser = socket_address
    )]
    pub(crate) http: SocketAddr,

    /// Keep durable state in this folder [default: trellis in the XDG data folder]
    #[arg(long, value_name = "FOLDER", env = "TRELLIS_DATA")]
    pub(crate) data: Option<PathBuf>,

    /// Keep compiled code in this folder [default: trellis in the XDG cache folder]
    #[arg(long, value_name = "FOLDER", env = "TRELLIS_CACHE")]
    pub(crate) cache: Option<PathBuf>,

    /// Let all components together use this much memory, in MiB or as `2GiB` [default: half]
    #[arg(long, value_name = "MIB", env = "TRELLIS_GUEST_MEMORY", value_parser = mebibytes)]
    pub(crate) guest_memory: Option<u64>,

    /// Serve metrics of the host here, at `/metrics`, in the text format of OpenMetrics
    #[arg(long, value_name = "IP:PORT", env = "TRELLIS_METRICS", value_parser = socket_address)]
    pub(crate) metrics: Option<SocketAddr>,

    /// Give the host a label, such as `zone=eu-1`; hosts are chosen by them
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) labels: Vec<(String, String)>,

    #[command(flatten)]
    pub(crate) gateway: GatewayOptions,

    /// Join a lattice instead of starting one on this machine
    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,

    /// Log at this level, or by target, such as `info,guest=debug`
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info,async_nats=warn,async_nats::connector=off",
        env = "TRELLIS_LOG"
    )]
    pub(crate) log: String,

    /// Write what started as text or as one line of JSON
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

/// Show what a component imports and exports, and what would satisfy it
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis inspect hello.wasm --output json")]
pub(crate) struct Inspect {
    /// The component
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Write text or JSON
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

/// Reads an address and a port.
fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let hint = "write an IP address and a port, such as 127.0.0.1:8000";
    text.parse().map_err(|_| hint.to_owned())
}

/// More than any machine has, in MiB.
const MEBIBYTES_MAX: u64 = 1 << 24;

/// Reads a number of mebibytes, or a size with its unit.
fn mebibytes(text: &str) -> Result<u64, String> {
    let wrong = |_| "write a number of MiB, such as 512, or a size such as 2GiB".to_owned();
    let mebibytes = match text.parse() {
        Ok(number) => number,
        Err(_) => size::parse(text).map_err(wrong)? >> 20,
    };
    if (1..=MEBIBYTES_MAX).contains(&mebibytes) {
        Ok(mebibytes)
    } else {
        Err("it is not between 1MiB and 16TiB".to_owned())
    }
}

/// Takes `KEY=VALUE` apart.
fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write KEY=VALUE, such as zone=eu-1".to_owned()),
    }
}

/// How a command writes its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn memory_is_a_number_of_mebibytes_or_a_size() {
        for (typed, mebibytes) in [("512", 512), ("512MiB", 512), ("2GiB", 2_048)] {
            assert_eq!(super::mebibytes(typed), Ok(mebibytes));
        }
        for wrong in ["", "0", "-1", "1KiB", "2GB", "16777217", "32TiB"] {
            assert!(super::mebibytes(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
