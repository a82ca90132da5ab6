//! `trellis context put`: writes a context.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::connection::ConnectionOptions;
use crate::context::{Context, Contexts, EMBEDDED_PREFIX};
use crate::failure::Failure;
use crate::gateway::{self, GatewayOptions};
use crate::output;

/// Write a context, or replace it as a whole
///
/// What is not given is left to the environment and the defaults. Files are kept by their path; no
/// secret is copied. Settings of the gateway are for `trellis up --context NAME`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
    trellis context put shop --nats tls://nats.example:4222 --lattice shop \\\n    \
    --creds ~/shop-operator.creds --select")]
pub(crate) struct Put {
    /// The name of the context
    #[arg(value_name = "NAME")]
    name: String,

    /// Select it, too
    #[arg(long)]
    select: bool,

    #[command(flatten)]
    gateway: GatewayOptions,

    #[command(flatten)]
    connection: ConnectionOptions,
}

pub(crate) fn run(arguments: &Put) -> Result<(), Failure> {
    let connection = &arguments.connection;
    if arguments.name.starts_with(EMBEDDED_PREFIX) {
        let message =
            format!("contexts that begin with {EMBEDDED_PREFIX:?} are written by `trellis up`");
        return Err(Failure::usage(&message, Some("choose another name")));
    }
    if connection.context.is_some() || connection.timeout.is_some() {
        let message = "a context holds neither `--context` nor `--timeout`";
        return Err(Failure::usage(
            message,
            Some("give what it is to hold, such as `--nats URL`"),
        ));
    }
    let context = Context {
        servers: connection.nats.clone(),
        lattice: connection.lattice.as_ref().map(ToString::to_string),
        credentials: absolute(&connection.creds)?,
        jwt: absolute(&connection.jwt)?,
        seed: absolute(&connection.seed)?,
        js_domain: connection.js_domain.clone(),
        tls_ca: absolute(&connection.tls_ca)?,
        tls_cert: absolute(&connection.tls_cert)?,
        tls_key: absolute(&connection.tls_key)?,
        tls_first: connection.tls_first,
        gateway: gateway::for_context(&arguments.gateway),
        embedded: None,
    };
    let contexts = Contexts::open();
    let path = contexts.put(&arguments.name, &context)?;
    if arguments.select {
        contexts.select(Some(&arguments.name))?;
    }
    output::line(&format!("wrote {}", path.display()))
}

/// Makes a path mean the same from every folder; the file must be there.
fn absolute(path: &Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let absolute = |path: &Path| {
        std::fs::metadata(path)?;
        std::path::absolute(path)
    };
    absolute(path).map(Some).map_err(|error| {
        let message = format!("cannot use {}: {error}", path.display());
        Failure::message(&message, Some("check the path and who may read it"))
    })
}
