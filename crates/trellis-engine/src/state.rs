//! Host state of one instance: what the store of wasmtime carries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::HeaderValue;
use trellis_core::{ComponentId, Limits};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::budget::{InstanceLimiter, MemoryBudget, MemoryRefusal};
use crate::cpu_meter::CpuMeter;
use crate::figures::{Figures, InstanceCount};
use crate::generations::Generations;
use crate::guest_log::{GuestLog, GuestStream};
use crate::http::bodies::Bodies;
use crate::http::served::{FIELDS_BYTES_MAX, ServedView, Tables};
use crate::outgoing::{HttpHooks, OutgoingHttp};
use crate::streams::Life;

/// What every instance of a generation has in common.
pub(crate) struct Template {
    pub(crate) id: Arc<ComponentId>,
    pub(crate) limits: Limits,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) outgoing: Option<Arc<dyn OutgoingHttp>>,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) figures: Arc<Figures>,
    /// Who may make room for an instance.
    pub(crate) generations: Arc<Generations>,
}

/// Host state of one instance.
pub struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: HttpHooks,
    bodies: Bodies,
    pub(crate) served: Tables,
    component: Arc<ComponentId>,
    request_id: Option<HeaderValue>,
    pub(crate) limiter: InstanceLimiter,
    pub(crate) meter: Arc<CpuMeter>,
    patience: Duration,
    /// When the call being served must have ended, where that is known.
    pub(crate) expires: Option<Instant>,
    life: Arc<Life>,
    _count: InstanceCount,
}

impl State {
    pub(crate) fn new(template: &Template, meter: Arc<CpuMeter>) -> Self {
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(GuestLog::new(template.id.clone(), GuestStream::Stdout))
            .stderr(GuestLog::new(template.id.clone(), GuestStream::Stderr));
        if !template.environment.is_empty() {
            wasi.envs(&template.environment);
        }
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES_MAX);
        Self {
            table: ResourceTable::new(),
            wasi: wasi.build(),
            http,
            served: Tables::default(),
            hooks: HttpHooks::new(template.outgoing.clone()),
            bodies: Bodies::default(),
            component: template.id.clone(),
            request_id: None,
            limiter: InstanceLimiter::new(template.budget.clone(), &template.limits),
            meter,
            patience: template.limits.deadline,
            expires: None,
            life: Arc::default(),
            _count: InstanceCount::new(&template.figures),
        }
    }

    /// Returns whether the store runs as it should.
    pub(crate) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Makes the instance ready for its next call.
    pub(crate) fn begin(&mut self, meter: Arc<CpuMeter>, request_id: Option<HeaderValue>) {
        self.meter = meter;
        self.request_id = request_id;
        self.expires = None;
        self.limiter.refused = None;
    }

    /// Returns when a call that the guest makes now must have ended at the latest.
    pub(crate) fn call_expires(&self) -> Instant {
        self.expires
            .unwrap_or_else(|| Instant::now() + self.patience)
    }

    /// Returns what the HTTP of WASI 0.2 works on.
    pub(crate) fn served(&mut self) -> ServedView<'_> {
        ServedView {
            tables: &mut self.served,
            other: WasiHttpCtxView {
                ctx: &mut self.http,
                table: &mut self.table,
                hooks: &mut self.hooks,
            },
        }
    }

    /// Returns the table that holds the host side of the guest's resources.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Returns the bodies of the heads in the table.
    pub(crate) fn bodies(&mut self) -> &mut Bodies {
        &mut self.bodies
    }

    /// Returns the id of the component that this is an instance of.
    pub fn component(&self) -> &ComponentId {
        &self.component
    }

    /// Returns the id of the request being served. In an instance that serves several requests at
    /// once it is that of the request which started last.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_ref().and_then(|id| id.to_str().ok())
    }

    /// Returns the explanation of a memory refusal during this call, if there was one.
    pub(crate) fn memory_note(&self, limits: &Limits) -> Option<String> {
        Some(match self.limiter.refused? {
            MemoryRefusal::Component => format!(
                "its memory limit of {} KiB was reached (limits.memory)",
                limits.memory_bytes_max >> 10
            ),
            MemoryRefusal::Host => "the host's memory budget for guests was reached".to_owned(),
            MemoryRefusal::Table => format!(
                "its limit of {} table elements was reached (limits.tableElements)",
                limits.table_elements_max
            ),
        })
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}
