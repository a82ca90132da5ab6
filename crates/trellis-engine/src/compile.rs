//! From the bytes of a component to native code, by way of the cache.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::component::Component;

use crate::cache::CompileCache;
use crate::engine::Engine;
use crate::settings::Flavour;

/// Which WASI a component was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WasiLevel {
    /// 0.2: synchronous functions, one call at a time in an instance.
    P2,
    /// 0.3: asynchronous functions, many calls at a time in an instance.
    P3,
}

impl WasiLevel {
    /// Returns the version as people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P2 => "0.2",
            Self::P3 => "0.3",
        }
    }
}

/// Why a component cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The bytes are not a valid component, or use a feature that the engine refuses.
    #[error("not a component that this engine can compile")]
    Invalid {
        /// What the compiler says.
        #[source]
        source: wasmtime::Error,
    },
    /// The compiler itself failed.
    #[error("the compiler ended unexpectedly")]
    Internal,
}

/// A compiled component, not yet linked to anything.
#[derive(Clone)]
pub struct Compiled {
    pub(crate) component: Component,
    pub(crate) flavour: Flavour,
    /// Whether the code came from the cache.
    pub from_cache: bool,
    /// How long compiling or loading took.
    pub elapsed: Duration,
}

impl Compiled {
    /// Returns the exact names of the component's imports.
    pub fn imports(&self) -> Vec<String> {
        let ty = self.component.component_type();
        ty.imports(self.component.engine())
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// Returns the exact names of the component's exports.
    pub fn exports(&self) -> Vec<String> {
        let ty = self.component.component_type();
        ty.exports(self.component.engine())
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// Returns which WASI the component was built for.
    pub fn wasi_level(&self) -> WasiLevel {
        match self.flavour {
            Flavour::Sequential => WasiLevel::P2,
            Flavour::Concurrent => WasiLevel::P3,
        }
    }
}

impl Engine {
    /// Compiles a component, or loads what an earlier run compiled.
    ///
    /// Runs on a thread for blocking work; at most as many compilations run at once as the engine was
    /// configured for, each on all cores.
    ///
    /// # Errors
    /// When the bytes are not a valid component. A cache that cannot be read or written is logged
    /// and worked around.
    pub async fn compile(&self, bytes: Bytes, digest: [u8; 32]) -> Result<Compiled, CompileError> {
        let _permit = self
            .compile_permits()
            .acquire()
            .await
            .map_err(|_| CompileError::Internal)?;
        let engine = self.clone();
        tokio::task::spawn_blocking(move || compile_blocking(&engine, &bytes, digest))
            .await
            .map_err(|_| CompileError::Internal)?
    }
}

fn compile_blocking(
    engine: &Engine,
    bytes: &[u8],
    digest: [u8; 32],
) -> Result<Compiled, CompileError> {
    let started = Instant::now();
    let flavour = if needs_concurrency(bytes) {
        Flavour::Concurrent
    } else {
        Flavour::Sequential
    };
    let wasmtime = engine.wasmtime(flavour);
    let key = cache_key(wasmtime, flavour, digest);
    let cached = engine.cache().and_then(|cache| load(wasmtime, cache, &key));
    let from_cache = cached.is_some();
    let component = match cached {
        Some(component) => component,
        None => compile_and_store(wasmtime, engine.cache(), &key, bytes)?,
    };
    Ok(Compiled {
        component,
        flavour,
        from_cache,
        elapsed: started.elapsed(),
    })
}

/// Tells whether the component uses the concurrent part of the component model.
fn needs_concurrency(bytes: &[u8]) -> bool {
    let features = wasmparser::WasmFeatures::default() - wasmparser::WasmFeatures::CM_ASYNC;
    wasmparser::Validator::new_with_features(features)
        .validate_all(bytes)
        .is_err()
}

/// Names a cache entry by all that its content depends on.
fn cache_key(engine: &wasmtime::Engine, flavour: Flavour, digest: [u8; 32]) -> String {
    use sha2::{Digest, Sha256};
    use std::hash::{Hash, Hasher};
    // The compatibility hash covers target, settings and version of the compiler.
    struct Feed<'a>(&'a mut Sha256);
    impl Hasher for Feed<'_> {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0 // never asked for: the digest is read from the hash itself
        }
    }
    let mut hash = Sha256::new();
    hash.update(digest);
    hash.update([flavour as u8]);
    engine
        .precompile_compatibility_hash()
        .hash(&mut Feed(&mut hash));
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn load(engine: &wasmtime::Engine, cache: &CompileCache, key: &str) -> Option<Component> {
    let file = cache.find(key)?;
    // SAFETY: the file lies in a folder that only we can write to, and the cache checked that its
    // content is what an engine with this very key wrote.
    match unsafe { Component::deserialize_file(engine, file) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(key, %error, "compiled code does not fit this engine, compiling again");
            None
        }
    }
}

fn compile_and_store(
    engine: &wasmtime::Engine,
    cache: Option<&Arc<CompileCache>>,
    key: &str,
    bytes: &[u8],
) -> Result<Component, CompileError> {
    let invalid = |source| CompileError::Invalid { source };
    let Some(cache) = cache else {
        return Component::from_binary(engine, bytes).map_err(invalid);
    };
    let code = engine.precompile_component(bytes).map_err(invalid)?;
    match cache.store(key, &code) {
        // Mapped from the file its pages are shared and need not stay in memory.
        Ok(()) => {
            if let Some(component) = load(engine, cache, key) {
                return Ok(component);
            }
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "compiled code is not kept for the next start");
        }
    }
    // SAFETY: this engine made these bytes a moment ago.
    unsafe { Component::deserialize(engine, &code) }.map_err(invalid)
}
