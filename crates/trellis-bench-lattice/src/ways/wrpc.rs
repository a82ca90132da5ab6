//! wRPC of Trellis, as two of its hosts speak it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use trellis_wrpc::{
    CallError, CallOptions, Client, Config, Export, Invocation, Reply, Served, Server,
    ServerConfig, Target, Transport,
};

use crate::caller::Caller;

const LATTICE: &str = "bench";
const COMPONENT: &str = "callee";
const INSTANCE: &str = "trellis-bench:calls/echo@0.1.0";
const FUNCTION: &str = "echo";

/// As a component has it by default.
const DEADLINE: Duration = Duration::from_secs(30);

async fn echo(invocation: Invocation) -> Result<Reply, CallError> {
    Ok(Reply::value(invocation.params().await?))
}

/// Answers calls with their parameters.
pub(super) async fn serve(url: &str) -> Result<(Server, Served)> {
    let nats = async_nats::connect(url).await?;
    let transport = Transport::open(nats, Config::new("BENCHCALLEE")).await?;
    let server = Server::new(&transport, ServerConfig::default());
    let export = Export::new(LATTICE, COMPONENT, INSTANCE, FUNCTION)?;
    let served = server.serve(&export, echo).await?;
    transport.settle().await?;
    Ok((server, served))
}

/// Makes calls.
#[derive(Clone)]
pub(super) struct Wrpc {
    client: Client,
    target: Arc<Target>,
    options: CallOptions,
}

/// Connects the calling end.
pub(super) async fn connect(url: &str) -> Result<Wrpc> {
    let nats = async_nats::connect(url).await?;
    let transport = Transport::open(nats, Config::new("BENCHCALLER")).await?;
    let mut options = CallOptions::new(DEADLINE);
    // What a host sends along with every call.
    options.headers.insert("source-id", "caller")?;
    options.headers.insert("link-name", "default")?;
    transport.settle().await?;
    Ok(Wrpc {
        client: Client::new(&transport),
        target: Arc::new(Target::new(LATTICE, COMPONENT, INSTANCE, FUNCTION)?),
        options,
    })
}

impl Caller for Wrpc {
    async fn call(&self, payload: Bytes) -> Result<Bytes> {
        let called = self
            .client
            .call(&self.target, payload, self.options.clone());
        Ok(called.await?)
    }
}
