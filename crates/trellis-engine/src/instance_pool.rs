//! Instances of one generation: made, kept for reuse, retired.

use std::sync::Arc;
use std::time::Duration;

use trellis_core::{ErrorClass, Limits, Reuse};
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi_http::{p2, p3};

use crate::budget::MemoryRefusal;
use crate::call_error::CallError;
use crate::cpu_meter::{CpuMeter, now_nanos};
use crate::generations::Shortage;
use crate::idle_instances::IdleInstances;
use crate::state::{State, Template};
use crate::streams::LifeGuard;

/// Idle instances kept for one component. More than this many calls at once are rare on a host of the
/// size that the pool is made for; the rest are made again.
const IDLE_MAX: usize = 64;
/// How long an instance may be idle before its memory is given back.
pub(crate) const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// Resources and other handles that one instance may hold, as a bound on host memory.
const HANDLES_MAX: usize = 100_000;

/// How the component answers HTTP, resolved at deploy.
pub(crate) enum HttpExport {
    P2(p2::bindings::ProxyIndices),
    P3(p3::bindings::ServiceIndices),
}

/// The HTTP export of one instance.
pub(crate) enum HttpGuest {
    P2(p2::bindings::Proxy),
    P3(p3::bindings::Service),
}

/// One instance with its store.
pub(crate) struct Live {
    /// Before the store, so that it is dropped first.
    pub(crate) life: LifeGuard,
    pub(crate) store: Store<State>,
    pub(crate) instance: Instance,
    pub(crate) http: Option<HttpGuest>,
    pub(crate) calls_left: u32,
    /// By the clock of the CPU meter.
    idle_since_nanos: u64,
}

impl Live {
    /// Puts an instance together again after a run that took it apart.
    pub(crate) fn reassemble(
        life: LifeGuard,
        store: Store<State>,
        instance: Instance,
        http: Option<HttpGuest>,
        calls_left: u32,
    ) -> Self {
        Self {
            life,
            store,
            instance,
            http,
            calls_left,
            idle_since_nanos: 0,
        }
    }
}

/// Makes instances and keeps the idle ones.
pub(crate) struct InstancePool {
    template: Template,
    reuse: Reuse,
    pre: InstancePre<State>,
    http: Option<HttpExport>,
    idle: IdleInstances<Live>,
}

impl InstancePool {
    pub(crate) fn new(
        template: Template,
        reuse: Reuse,
        pre: InstancePre<State>,
        http: Option<HttpExport>,
    ) -> Self {
        let idle = if reuse.calls_max > 1 {
            IDLE_MAX.min(template.limits.instances_max.max(1) as usize)
        } else {
            1 // never used: `give_back` drops instances that have no calls left
        };
        Self {
            template,
            reuse,
            pre,
            http,
            idle: IdleInstances::new(idle),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.template.limits
    }

    pub(crate) fn reuse(&self) -> Reuse {
        self.reuse
    }

    pub(crate) fn http(&self) -> Option<&HttpExport> {
        self.http.as_ref()
    }

    /// Takes an idle instance, if there is one.
    pub(crate) fn take_idle(&self) -> Option<Live> {
        self.idle.take()
    }

    /// Takes an idle instance or makes one; counts the call against it.
    pub(crate) async fn take(&self, meter: &Arc<CpuMeter>) -> Result<Live, CallError> {
        match self.take_idle() {
            Some(live) => Ok(live),
            None => self.instantiate(meter).await,
        }
    }

    /// Keeps the instance for another call, or retires it. So it does with one that has forgotten a
    /// stream whose other end is elsewhere, or a head with its body: that would stay open for as long as
    /// the instance is kept.
    pub(crate) fn give_back(&self, mut live: Live) {
        let is_self_contained = live.life.0.is_self_contained();
        if live.calls_left == 0 || !is_self_contained || !live.store.data_mut().bodies().is_empty()
        {
            return;
        }
        // It was in use a moment ago, when its last poll began: that clock reading serves here too.
        live.idle_since_nanos = live.store.data().meter.poll_started_nanos();
        // Where there is no room the instance is dropped, which is what should happen.
        self.idle.keep(live);
    }

    /// Retires instances that were idle for `idle_time`, and returns how many.
    pub(crate) fn retire_idle(&self, idle_time: Duration) -> usize {
        let now = now_nanos();
        self.idle.retire(|live| {
            let idle = Duration::from_nanos(now.saturating_sub(live.idle_since_nanos));
            idle >= idle_time
        })
    }

    /// Tells whether the instances have slots of `engine`.
    pub(crate) fn is_of(&self, engine: &wasmtime::Engine) -> bool {
        wasmtime::Engine::same(self.pre.engine(), engine)
    }

    /// Makes a fresh instance. Guest code (start functions) may run: call it under a guard. Where there is
    /// no room for it, idle instances of all components make some, once.
    pub(crate) async fn instantiate(&self, meter: &Arc<CpuMeter>) -> Result<Live, CallError> {
        let mut may_make_room = true;
        loop {
            let failure = match self.try_instantiate(meter).await {
                Ok(live) => return Ok(live),
                Err(failure) => failure,
            };
            let generations = &self.template.generations;
            let has_room = failure.shortage.is_some_and(|shortage| {
                may_make_room && generations.make_room(shortage, self.pre.engine())
            });
            if !has_room {
                return Err(failure.error);
            }
            may_make_room = false;
        }
    }

    async fn try_instantiate(&self, meter: &Arc<CpuMeter>) -> Result<Live, Failure> {
        let mut store = Store::new(self.pre.engine(), State::new(&self.template, meter.clone()));
        let limits = &self.template.limits;
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(usize::try_from(limits.hostcall_bytes_max).unwrap_or(usize::MAX));
        store.set_max_component_handles(HANDLES_MAX);
        limit_cpu(&mut store, limits.cpu_time_max);
        let instance = match self.pre.instantiate_async(&mut store).await {
            Ok(instance) => instance,
            Err(error) => return Err(self.instantiation_error(error, &store)),
        };
        let http = match &self.http {
            None => None,
            Some(HttpExport::P2(indices)) => Some(
                indices
                    .load(&mut store, &instance)
                    .map(HttpGuest::P2)
                    .map_err(Failure::of_guest)?,
            ),
            Some(HttpExport::P3(indices)) => Some(
                indices
                    .load(&mut store, &instance)
                    .map(HttpGuest::P3)
                    .map_err(Failure::of_guest)?,
            ),
        };
        let life = LifeGuard(store.data().life().clone());
        let calls = self.draw_calls();
        Ok(Live::reassemble(life, store, instance, http, calls))
    }

    /// Draws how many calls the instance will serve: from the upper half of the configured range, so
    /// that instances made together do not retire together.
    fn draw_calls(&self) -> u32 {
        let max = self.reuse.calls_max.max(1);
        fastrand::u32(max - max / 2..=max)
    }

    fn instantiation_error(&self, error: wasmtime::Error, store: &Store<State>) -> Failure {
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            let text = "the host has no room for another instance";
            return Failure {
                error: CallError::new(ErrorClass::Overloaded, text),
                shortage: Some(Shortage::Slots),
            };
        }
        let lacks_memory = store.data().limiter.refused == Some(MemoryRefusal::Host);
        let error = self.explain(CallError::from_guest(error), store);
        match lacks_memory {
            true => Failure {
                error: error.before_start(ErrorClass::Overloaded),
                shortage: Some(Shortage::Memory),
            },
            // What starts may call others already, and fail with their error.
            false => Failure {
                error: error.having_run(),
                shortage: None,
            },
        }
    }

    /// Adds to an error what the limiter of the instance knows about it.
    pub(crate) fn explain(&self, error: CallError, store: &Store<State>) -> CallError {
        match store.data().memory_note(&self.template.limits) {
            Some(note) => error.with_note(&note),
            None => error,
        }
    }
}

/// Why there is no instance.
struct Failure {
    error: CallError,
    /// What others could give up for it.
    shortage: Option<Shortage>,
}

impl Failure {
    fn of_guest(error: wasmtime::Error) -> Self {
        Self {
            error: CallError::from_guest(error),
            shortage: None,
        }
    }
}

/// Makes every epoch tick let others run, and the end of the CPU budget end the call.
fn limit_cpu(store: &mut Store<State>, cpu_time_max: Duration) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |context| {
        if context.data().meter.used() > cpu_time_max {
            return Err(CallError::new(
                ErrorClass::Trap,
                format!("the component spent its CPU time of {cpu_time_max:?} (limits.cpuTime)"),
            )
            .into());
        }
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    });
}
