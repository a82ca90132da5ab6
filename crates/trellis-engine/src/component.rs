//! Deployed components: a compiled component with its links, limits and instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use trellis_core::{ComponentId, ErrorClass, Limits, Reuse};
use wasmtime::component::Linker;
use wasmtime::component::types::ComponentItem;
use wasmtime_wasi_http::{p2, p3};

use crate::admission::Admission;
use crate::call_error::CallError;
use crate::capability::{Capability, Unsatisfied, define_as_trap, is_wasi};
use crate::compile::Compiled;
use crate::cpu_meter::CpuMeter;
use crate::engine::Engine;
use crate::figures::{Figures, Tally};
use crate::guarded::{Deadline, Guarded};
use crate::http::bodies;
use crate::http::concurrent::Concurrent;
use crate::http::served;
use crate::instance_pool::{HttpExport, IDLE_TIME_MAX, InstancePool};
use crate::outgoing::OutgoingHttp;
use crate::settings::Flavour;
use crate::state::{State, Template};

/// Numbers the generations of this process.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

/// How often idle instances are looked through.
const IDLE_SWEEP: Duration = Duration::from_secs(5);

/// One import and what satisfies it.
#[derive(Clone)]
pub struct Import {
    /// The exact name of the import.
    pub name: String,
    /// What satisfies it.
    pub capability: Arc<dyn Capability>,
}

/// Everything about a component but its code.
#[derive(Clone)]
pub struct ComponentSpec {
    /// Its id.
    pub id: ComponentId,
    /// What it may spend.
    pub limits: Limits,
    /// How its instances are reused; none takes the default of its WASI level.
    pub reuse: Option<Reuse>,
    /// Environment variables that the guest sees.
    pub environment: Vec<(String, String)>,
    /// Where its outgoing HTTP goes; none denies all of it.
    pub outgoing: Option<Arc<dyn OutgoingHttp>>,
    /// What satisfies its imports, WASI apart.
    pub imports: Vec<Import>,
    /// Gives the text with which a call of an unsatisfied import fails.
    pub explain_unsatisfied: fn(&ComponentId, &Unsatisfied) -> String,
}

/// Why a component cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// An import is provided, but not in the form that the component wants.
    #[error("component {id} imports {import}, which cannot be given to it")]
    Import {
        /// The component.
        id: ComponentId,
        /// The import.
        import: String,
        /// Why.
        #[source]
        source: wasmtime::Error,
    },
    /// The component and what it is linked to do not fit together.
    #[error("component {id} cannot be linked")]
    Link {
        /// The component.
        id: ComponentId,
        /// Why.
        #[source]
        source: wasmtime::Error,
    },
    /// Its first instance failed.
    #[error("component {id} does not start")]
    Start {
        /// The component.
        id: ComponentId,
        /// Why.
        #[source]
        source: CallError,
    },
}

/// One version of a component, ready to be called.
pub struct Generation {
    pub(crate) id: ComponentId,
    /// Unlike that of any other generation of this process.
    pub(crate) serial: u64,
    compiled: Compiled,
    unsatisfied: Vec<Unsatisfied>,
    pub(crate) pool: InstancePool,
    pub(crate) admission: Admission,
    pub(crate) concurrent: Concurrent,
    pub(crate) figures: Arc<Figures>,
}

impl Generation {
    /// Returns the imports that nothing satisfies; calling one fails.
    pub fn unsatisfied(&self) -> &[Unsatisfied] {
        &self.unsatisfied
    }

    /// Returns the number of this generation, unlike that of any other of this process.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Tells whether the component answers HTTP.
    pub fn serves_http(&self) -> bool {
        self.pool.http().is_some()
    }

    /// Returns the compiled component.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// Returns how many calls wait for an instance now.
    pub fn calls_waiting(&self) -> u32 {
        self.admission.waiting()
    }

    /// Returns the counters of the component, which are those of its earlier generations too.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Returns how many calls run now.
    pub fn calls_running(&self) -> u32 {
        self.admission.running()
    }
}

/// A place among the calls of a generation; leaves it when dropped.
pub(crate) struct Permit {
    pub(crate) generation: Arc<Generation>,
    /// The count of the call, for whoever learns how it ends.
    tally: Option<Tally>,
}

impl Permit {
    /// Takes a place, waiting for it until `deadline` at most.
    pub(crate) async fn enter(
        generation: Arc<Generation>,
        deadline: Deadline,
    ) -> Result<Self, CallError> {
        let mut tally = Tally::begin(&generation.figures, deadline.begun());
        if let Err(error) = generation.admission.enter(deadline).await {
            tally.end(Some(error.class));
            return Err(error);
        }
        Ok(Self {
            generation,
            tally: Some(tally),
        })
    }

    /// Takes a place in `generation` if one is free at once.
    pub(crate) fn try_enter(generation: &Arc<Generation>, deadline: Deadline) -> Option<Self> {
        generation.admission.try_enter().then(|| Self {
            tally: Some(Tally::begin(&generation.figures, deadline.begun())),
            generation: generation.clone(),
        })
    }

    /// Takes the count of the call over. Where nobody does, the call counts as cancelled.
    pub(crate) fn take_tally(&mut self) -> Option<Tally> {
        self.tally.take()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.generation.admission.leave();
    }
}

impl Engine {
    /// Links `compiled` to what `spec` gives it, makes its first instance and returns the generation,
    /// ready to be published. Nothing is switched yet.
    ///
    /// # Errors
    /// When an import does not fit, or when the first instance fails to start.
    pub async fn deploy(
        &self,
        compiled: Compiled,
        spec: ComponentSpec,
    ) -> Result<Arc<Generation>, DeployError> {
        let (pre, unsatisfied) = self.link(&compiled, &spec)?;
        let http = http_export(&pre).map_err(|source| DeployError::Link {
            id: spec.id.clone(),
            source,
        })?;
        let reuse = spec.reuse.unwrap_or(match compiled.flavour {
            Flavour::Sequential => Reuse::NEVER,
            Flavour::Concurrent => Reuse::CONCURRENT,
        });
        let calls_at_once = match http {
            Some(HttpExport::P3(_)) => spec
                .limits
                .instances_max
                .saturating_mul(reuse.concurrency_max),
            _ => spec.limits.instances_max,
        };
        let admission = Admission::new(calls_at_once, spec.limits.calls_queued_max);
        let figures = self.figures().of(&spec.id);
        let template = Template {
            figures: figures.clone(),
            id: Arc::new(spec.id.clone()),
            limits: spec.limits,
            environment: spec.environment,
            outgoing: spec.outgoing,
            budget: self.budget().clone(),
            generations: self.generations().clone(),
        };
        let generation = Arc::new(Generation {
            id: spec.id,
            serial: GENERATIONS.fetch_add(1, Relaxed),
            compiled,
            unsatisfied,
            concurrent: Concurrent::new(template.limits.instances_max, reuse.concurrency_max),
            pool: InstancePool::new(template, reuse, pre, http),
            admission,
            figures,
        });
        self.generations().add(&generation);
        warm(&generation).await?;
        Ok(generation)
    }

    fn link(
        &self,
        compiled: &Compiled,
        spec: &ComponentSpec,
    ) -> Result<(wasmtime::component::InstancePre<State>, Vec<Unsatisfied>), DeployError> {
        let engine = self.wasmtime(compiled.flavour);
        let link_error = |source| DeployError::Link {
            id: spec.id.clone(),
            source,
        };
        let mut linker = Linker::<State>::new(engine);
        add_wasi(&mut linker, compiled.flavour).map_err(link_error)?;
        let ty = compiled.component.component_type();
        let mut unsatisfied = Vec::new();
        for (name, item) in ty.imports(engine) {
            let import_error = |source| DeployError::Import {
                id: spec.id.clone(),
                import: name.to_owned(),
                source,
            };
            if let Some(import) = spec.imports.iter().find(|import| import.name == name) {
                import
                    .capability
                    .link(&mut linker, name)
                    .map_err(import_error)?;
            } else if !is_wasi(name) && needs_definition(&item.ty, engine) {
                let missing = Unsatisfied {
                    import: name.to_owned(),
                };
                let text = (spec.explain_unsatisfied)(&spec.id, &missing);
                define_as_trap(&mut linker, engine, name, &item.ty, &text).map_err(import_error)?;
                unsatisfied.push(missing);
            }
        }
        let pre = linker
            .instantiate_pre(&compiled.component)
            .map_err(link_error)?;
        Ok((pre, unsatisfied))
    }
}

/// Tells whether an import has anything that could be called. Interfaces of types only need nothing.
fn needs_definition(item: &ComponentItem, engine: &wasmtime::Engine) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => instance
            .exports(engine)
            .any(|(_, item)| needs_definition(&item.ty, engine)),
        ComponentItem::Type(_) => false,
        _ => true,
    }
}

fn add_wasi(linker: &mut Linker<State>, flavour: Flavour) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    served::add_to_linker(linker)?;
    if flavour == Flavour::Concurrent {
        wasmtime_wasi::p3::add_to_linker(linker)?;
        bodies::add_to_linker(linker)?;
    }
    Ok(())
}

fn http_export(
    pre: &wasmtime::component::InstancePre<State>,
) -> wasmtime::Result<Option<HttpExport>> {
    let component = pre.component();
    let ty = component.component_type();
    let exports_http = |prefix: &str| {
        ty.exports(component.engine())
            .any(|(name, _)| name.starts_with(prefix))
    };
    if exports_http("wasi:http/handler@0.3.") {
        return p3::bindings::ServiceIndices::new(pre)
            .map(HttpExport::P3)
            .map(Some);
    }
    if exports_http("wasi:http/incoming-handler@0.2.") {
        return p2::bindings::ProxyIndices::new(pre)
            .map(HttpExport::P2)
            .map(Some);
    }
    Ok(None)
}

/// Makes the first instance: a component that cannot start is not switched to.
async fn warm(generation: &Arc<Generation>) -> Result<(), DeployError> {
    let meter = CpuMeter::new(&generation.figures);
    meter.reset();
    let start = generation.pool.instantiate(&meter);
    let deadline = Deadline::start(generation.pool.limits().deadline);
    let flavour = generation.compiled().flavour;
    let live = Guarded::new(std::pin::pin!(start), flavour, meter.clone(), deadline)
        .await
        .map_err(|source| DeployError::Start {
            id: generation.id.clone(),
            source,
        })?;
    if generation.pool.reuse().calls_max > 1 {
        generation.pool.give_back(live);
        sweep_idle(Arc::downgrade(generation));
    }
    Ok(())
}

/// Retires idle instances until the generation is gone.
fn sweep_idle(generation: std::sync::Weak<Generation>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(IDLE_SWEEP).await;
            match generation.upgrade() {
                Some(generation) => {
                    generation.pool.retire_idle(IDLE_TIME_MAX);
                }
                None => return,
            }
        }
    });
}

/// The stable address of a component on this host: holds the generation in force.
pub struct ComponentHandle {
    id: ComponentId,
    current: ArcSwapOption<Generation>,
}

impl ComponentHandle {
    /// Makes a handle without a generation; calls to it are unavailable.
    pub fn new(id: ComponentId) -> Arc<Self> {
        Arc::new(Self {
            id,
            current: ArcSwapOption::empty(),
        })
    }

    /// Returns the id of the component.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// Switches new calls to `generation`. Calls in flight end on the one they began with.
    pub fn publish(&self, generation: Arc<Generation>) {
        if let Some(old) = self.current.swap(Some(generation)) {
            old.pool.retire_idle(Duration::ZERO);
        }
    }

    /// Takes the component out of service; calls in flight end normally.
    pub fn withdraw(&self) {
        if let Some(old) = self.current.swap(None) {
            old.pool.retire_idle(Duration::ZERO);
        }
    }

    /// Returns the generation in force.
    pub fn generation(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// Returns the counters of the component, as long as it runs.
    pub fn figures(&self) -> Option<Arc<Figures>> {
        let current = self.current.load();
        current
            .as_ref()
            .map(|generation| generation.figures.clone())
    }

    /// Returns the generation in force, or the error of a call that finds none.
    pub(crate) fn require(&self) -> Result<Arc<Generation>, CallError> {
        self.generation().ok_or_else(|| {
            CallError::new(
                ErrorClass::Unavailable,
                format!("component {} is not running on this host", self.id),
            )
        })
    }
}
