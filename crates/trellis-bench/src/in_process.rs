//! Deploys components on the engine of Trellis in this process, without a manifest or a host.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use trellis_core::{ComponentId, Limits, Reuse};
use trellis_engine::{
    Compiled, ComponentHandle, ComponentSpec, Engine, EngineConfig, Generation, Import,
    Unsatisfied, WasiBody,
};

use crate::guest::{self, Guests};

/// Instances that serve one request after the other, 1,024 before they are replaced.
pub(crate) const REUSED: Reuse = Reuse {
    calls_max: 1_024,
    concurrency_max: 1,
};

/// Starts an engine that compiles in memory.
pub(crate) fn engine() -> Result<Engine> {
    Ok(Engine::new(EngineConfig::default())?)
}

/// Compiles a component.
pub(crate) async fn compile(engine: &Engine, guests: &Guests, name: &str) -> Result<Compiled> {
    let bytes = guests.read(name)?;
    let digest = guest::digest(&bytes);
    Ok(engine.compile(bytes, digest).await?)
}

/// What a component gets besides its defaults.
#[derive(Clone)]
pub(crate) struct Grant {
    /// How its instances are reused; none takes the default of its WASI level.
    pub(crate) reuse: Option<Reuse>,
    /// What it may spend.
    pub(crate) limits: Limits,
    /// What satisfies its imports.
    pub(crate) imports: Vec<Import>,
}

impl Grant {
    /// Gives nothing but `reuse`.
    pub(crate) fn reuse(reuse: Option<Reuse>) -> Self {
        Self {
            reuse,
            limits: Limits::default(),
            imports: Vec::new(),
        }
    }
}

/// Deploys `compiled` under `id`.
pub(crate) async fn deploy(
    engine: &Engine,
    compiled: Compiled,
    id: &str,
    grant: Grant,
) -> Result<Arc<ComponentHandle>> {
    let spec = ComponentSpec {
        id: ComponentId::new(id)?,
        limits: grant.limits,
        reuse: grant.reuse,
        environment: Vec::new(),
        outgoing: None,
        imports: grant.imports,
        explain_unsatisfied: |id: &ComponentId, missing: &Unsatisfied| {
            format!("{id} was given nothing for {}", missing.import)
        },
    };
    let handle = ComponentHandle::new(spec.id.clone());
    let generation: Arc<Generation> = engine.deploy(compiled, spec).await?;
    handle.publish(generation);
    Ok(handle)
}

/// Sends `GET path` to the component, with no socket in between, and returns the body.
///
/// # Errors
/// When the component fails or answers anything but 200.
pub(crate) async fn get(handle: &ComponentHandle, path: &'static str) -> Result<Bytes> {
    let response = handle.handle_http(get_request(path)?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    anyhow::ensure!(
        status == http::StatusCode::OK,
        "GET {path} answered {status}: {}",
        String::from_utf8_lossy(&body).trim_end()
    );
    Ok(body)
}

/// Makes the request `GET path`.
pub(crate) fn get_request(path: &'static str) -> Result<http::Request<WasiBody>> {
    Ok(http::Request::get(path)
        .header(http::header::HOST, "localhost")
        .body(empty_body())?)
}

/// Makes a body without bytes.
fn empty_body() -> WasiBody {
    WasiBody::new(Empty::new().map_err(|never| match never {}))
}
