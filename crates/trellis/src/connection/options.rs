//! The options of every command that talks to a lattice.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use trellis_core::LatticeName;

use crate::arguments::OutputFormat;
use crate::{completion, duration};

/// What every command has that talks to a lattice.
#[derive(Args, Clone, Debug)]
pub(crate) struct LatticeOptions {
    /// Write text or JSON
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,

    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,
}

/// How to reach a lattice. What is not typed comes from the environment, then from a context.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionOptions {
    /// Connect to these NATS servers [env: NATS_URL]
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub(crate) nats: Vec<String>,

    /// Talk to this lattice [env: TRELLIS_LATTICE]
    #[arg(long, value_name = "NAME", value_parser = lattice_name)]
    pub(crate) lattice: Option<LatticeName>,

    /// Take what is not given from this context [env: TRELLIS_CONTEXT]
    #[arg(long, value_name = "NAME", add = completion::contexts())]
    pub(crate) context: Option<String>,

    /// Log in with this credentials file [env: NATS_CREDS]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jwt", "seed"])]
    pub(crate) creds: Option<PathBuf>,

    /// Log in with the user JWT in this file [env: NATS_JWT, also the JWT]
    #[arg(long, value_name = "FILE")]
    pub(crate) jwt: Option<PathBuf>,

    /// Log in with the seed in this file [env: NATS_SEED, also the seed]
    #[arg(long, value_name = "FILE")]
    pub(crate) seed: Option<PathBuf>,

    /// Trust the authorities in this PEM file [env: NATS_CA]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// Show the client certificate in this PEM file [env: NATS_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Use its key in this PEM file [env: NATS_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Encrypt before the server greets
    #[arg(long)]
    pub(crate) tls_first: bool,

    /// Use the state in this JetStream domain [env: TRELLIS_JS_DOMAIN]
    #[arg(long, value_name = "NAME")]
    pub(crate) js_domain: Option<String>,

    /// Wait this long for an answer [env: TRELLIS_TIMEOUT] [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) timeout: Option<Duration>,
}

fn lattice_name(text: &str) -> Result<LatticeName, String> {
    LatticeName::new(text).map_err(|error| error.to_string())
}
