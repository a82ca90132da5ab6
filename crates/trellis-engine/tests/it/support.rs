//! Deploys guests and calls them.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use tokio::sync::mpsc;
use trellis_core::{ComponentId, Limits, Reuse};
use trellis_engine::{
    CallError, ComponentHandle, ComponentSpec, Engine, EngineConfig, Unsatisfied, WasiBody,
};

/// Returns the bytes of a guest that `cargo xtask guests` built.
pub(crate) fn guest(name: &str) -> Bytes {
    let folder = std::env::var_os("TRELLIS_GUESTS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests")),
        PathBuf::from,
    );
    let path = folder.join(format!("{name}.wasm"));
    let bytes = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", path.display()));
    bytes.into()
}

pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).into()
}

pub(crate) fn engine() -> Engine {
    Engine::new(EngineConfig::default()).unwrap()
}

pub(crate) fn spec(id: &str) -> ComponentSpec {
    ComponentSpec {
        id: ComponentId::new(id).unwrap(),
        limits: Limits::default(),
        reuse: None,
        environment: Vec::new(),
        outgoing: None,
        imports: Vec::new(),
        explain_unsatisfied: |id: &ComponentId, missing: &Unsatisfied| {
            format!("{id} needs a link for {}", missing.import)
        },
    }
}

/// Deploys the guest `name` with `limits` and `reuse`.
pub(crate) async fn deploy(
    engine: &Engine,
    name: &str,
    limits: Limits,
    reuse: Option<Reuse>,
) -> Arc<ComponentHandle> {
    let bytes = guest(name);
    let hash = digest(&bytes);
    let compiled = engine.compile(bytes, hash).await.unwrap();
    let spec = ComponentSpec {
        limits,
        reuse,
        ..spec(&name.replace('_', "-"))
    };
    let handle = ComponentHandle::new(spec.id.clone());
    handle.publish(engine.deploy(compiled, spec).await.unwrap());
    handle
}

/// Sends `GET path` and returns status and body.
pub(crate) async fn get(handle: &ComponentHandle, path: &str) -> Result<(u16, String), CallError> {
    let body = WasiBody::new(Empty::new().map_err(|never| match never {}));
    let request = http::Request::get(format!("http://test{path}"))
        .body(body)
        .unwrap();
    let response = handle.handle_http(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// A body of which the test sends each piece.
pub(crate) fn pieces() -> (mpsc::UnboundedSender<Bytes>, WasiBody) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Bytes>();
    let stream = futures_util::stream::poll_fn(move |context| {
        receiver
            .poll_recv(context)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    });
    (sender, WasiBody::new(StreamBody::new(stream)))
}
