//! wasmtime by itself, set up as `wasmtime serve` sets it up: the peer that Trellis is measured against.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreLimits,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView, p2,
    p3,
};

/// The interval of the epoch thread of `wasmtime serve`.
const EPOCH_INTERVAL: Duration = Duration::from_millis(50);

/// What Spin keeps resident of each memory and of each table.
const SPIN_MEMORY_KEEP_RESIDENT: usize = 2 << 20;
const SPIN_TABLE_KEEP_RESIDENT: usize = 512 << 10;

/// Which WASI a component was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// WASI 0.2
    P2,
    /// WASI 0.3
    P3,
}

/// What the pool keeps of a slot between two instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    /// Nothing, as `wasmtime serve` has it.
    Defaults,
    /// As much as Spin does.
    Resident,
}

/// The peer's host state of one instance.
pub(crate) struct Host {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoOutgoing,
    limits: StoreLimits,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}

/// Denies outgoing requests; the components measured make none.
struct NoOutgoing;

type IoResult = Box<dyn Future<Output = Result<(), Error>> + Send>;
type SendResult = Result<(http::Response<WasiBody>, IoResult), Error>;

impl WasiHttpHooks for NoOutgoing {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _body_result: IoResult,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

/// A component ready to be instantiated by wasmtime itself.
pub(crate) struct Peer {
    engine: Engine,
    /// Resolved as far as wasmtime can.
    pub(crate) pre: ProxyPre<Host>,
}

impl Peer {
    /// Compiles and links `component`.
    ///
    /// # Errors
    /// When it is not an HTTP component of this level.
    pub(crate) fn new(component: &[u8], level: Level, pool: Pool) -> Result<Self> {
        Self::build(component, level, pool)
            .map_err(plain)
            .context("cannot set up the peer")
    }

    fn build(component: &[u8], level: Level, pool: Pool) -> wasmtime::Result<Self> {
        let engine = Engine::new(&config(pool))?;
        start_ticker(&engine);
        let component = Component::from_binary(&engine, component)?;
        let mut linker = Linker::<Host>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        p2::add_only_http_to_linker_async(&mut linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        p3::add_to_linker(&mut linker)?;
        let pre = linker.instantiate_pre(&component)?;
        let pre = match level {
            Level::P2 => ProxyPre::P2(p2::bindings::ProxyPre::new(pre)?),
            Level::P3 => ProxyPre::P3(p3::bindings::ServicePre::new(pre)?),
        };
        Ok(Self { engine, pre })
    }

    /// Makes the store of one instance.
    pub(crate) fn store(&self) -> Store<Host> {
        let host = Host {
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            hooks: NoOutgoing,
            limits: StoreLimits::default(),
        };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }
}

fn config(pool: Pool) -> Config {
    let mut pooling = PoolingAllocationConfig::new();
    if pool == Pool::Resident {
        pooling
            .linear_memory_keep_resident(SPIN_MEMORY_KEEP_RESIDENT)
            .table_keep_resident(SPIN_TABLE_KEEP_RESIDENT);
    }
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    config
}

/// Starts the one thread that advances the epoch, for as long as the process lives.
fn start_ticker(engine: &Engine) {
    let engine = engine.weak();
    std::thread::spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(EPOCH_INTERVAL);
        }
    });
}

/// Makes an error of wasmtime one of ours.
pub(crate) fn plain(error: wasmtime::Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into_boxed_dyn_error())
}
