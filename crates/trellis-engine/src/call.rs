//! Calls of exported functions: an instance is taken, called with the bytes of its parameters, and
//! given back.

mod streaming;

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use tracing::Instrument;
use trellis_core::ErrorClass;
use trellis_wire::plan::PlanId;
use trellis_wire::{Dialect, scan_whole};
use wasmtime::Store;
use wasmtime::component::{Func, Val};

pub use streaming::{Rest, Streaming};

use crate::call_error::CallError;
use crate::component::{Generation, Permit};
use crate::cpu_meter::CpuMeter;
use crate::event_loop;
use crate::exports::{ExportedFunction, FunctionError};
use crate::figures::Tally;
use crate::guarded::{Deadline, Guarded};
use crate::instance_pool::Live;
use crate::settings::Flavour;
use crate::state::State;
use crate::wire::{Direction, HEAP, Lifted, Lowered, PARAM_SLOTS, Payload};

impl Generation {
    /// Finds an exported function of this generation; see [`crate::Compiled::function`].
    ///
    /// # Errors
    /// When there is none, or when it passes resources, or streams or futures that cannot cross.
    pub fn function(
        &self,
        interface: &str,
        function: &str,
    ) -> Result<ExportedFunction, FunctionError> {
        self.compiled().function(interface, function)
    }

    /// Calls an exported function with parameters in the wRPC encoding, and returns its result in it.
    ///
    /// The bytes may come from anywhere: they are checked as a whole before the guest sees any of them.
    ///
    /// # Errors
    /// By class: unavailable when the bytes are not the parameters of the function, or it is of another
    /// generation; overloaded, deadline and trap as in every call.
    ///
    /// # Cancel safety
    /// Dropping the future ends the call and the instance that it runs in.
    pub async fn call_wire(
        self: &Arc<Self>,
        function: &ExportedFunction,
        params: Bytes,
    ) -> Result<Bytes, CallError> {
        let payload = self.checked(function, params)?;
        let result = self.call(function, payload).await?;
        Ok(result.into_bytes())
    }

    /// Calls an exported function as [`Self::call_wire`] does, but only where it need not wait for its turn.
    ///
    /// # Errors
    /// As [`Self::call_wire`]; overloaded where all instances are busy.
    ///
    /// # Cancel safety
    /// As [`Self::call_wire`].
    pub async fn call_wire_at_once(
        self: &Arc<Self>,
        function: &ExportedFunction,
        params: Bytes,
    ) -> Result<Bytes, CallError> {
        let payload = self.checked(function, params)?;
        let deadline = Deadline::start(self.pool.limits().deadline);
        let Some(permit) = Permit::try_enter(self, deadline) else {
            Tally::begin(&self.figures, deadline.begun()).end(Some(ErrorClass::Overloaded));
            return Err(CallError::new(
                ErrorClass::Overloaded,
                "all instances are busy",
            ));
        };
        let result = permit.call(deadline, function, payload).await?;
        Ok(result.into_bytes())
    }

    /// Checks that bytes from outside are the parameters of a function that passes nothing but values.
    fn checked(&self, function: &ExportedFunction, params: Bytes) -> Result<Payload, CallError> {
        only_values(function)?;
        check(self, function, function.plan.params, &params)
            .map_err(|error| not_of_type("parameters", &error))?;
        Ok(Payload::Scanned(params))
    }

    /// Calls an exported function with dynamic values, which is tens to thousands of times slower than
    /// bytes: each element of a list becomes a value of its own on the way. What is faster is measured
    /// and tested against it.
    ///
    /// # Errors
    /// As [`Self::call_wire`]; values of other types than the function's are a trap.
    pub async fn call_values(
        self: &Arc<Self>,
        function: &ExportedFunction,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), CallError> {
        only_values(function)?;
        let deadline = Deadline::start(self.pool.limits().deadline);
        let mut permit = Permit::enter(self.clone(), deadline).await?;
        let tally = permit.take_tally();
        let meter = CpuMeter::new(&self.figures);
        let flavour = self.compiled().flavour;
        let call = async {
            let (mut live, func) = self.begin(function, &meter, deadline).await?;
            let called = func.call_async(&mut live.store, params, results).await;
            self.end(live, called)
        };
        let result = Guarded::new(pin!(call), flavour, meter.clone(), deadline).await;
        count(tally, &result);
        result
    }

    /// Calls an exported function with a payload that is known to be of its parameters.
    pub(crate) async fn call(
        self: &Arc<Self>,
        function: &ExportedFunction,
        params: Payload,
    ) -> Result<Payload, CallError> {
        let deadline = Deadline::start(self.pool.limits().deadline);
        let permit = Permit::enter(self.clone(), deadline).await?;
        permit.call(deadline, function, params).await
    }

    /// Takes an instance for a call.
    async fn begin(
        &self,
        function: &ExportedFunction,
        meter: &Arc<CpuMeter>,
        deadline: Deadline,
    ) -> Result<(Live, Func), CallError> {
        let mut live = self.pool.take(meter).await?;
        live.store.data_mut().begin(meter.clone(), None);
        live.store.data_mut().expires = Some(deadline.expires);
        live.store.set_epoch_deadline(1);
        live.calls_left = live.calls_left.saturating_sub(1);
        let func = live.instance.get_func(&mut live.store, function.index);
        let func = func.ok_or_else(|| {
            CallError::new(
                ErrorClass::Unavailable,
                "the function is of another generation",
            )
        })?;
        Ok((live, func))
    }

    /// Gives the instance of a call back; one that failed is dropped.
    fn end<T>(&self, live: Live, called: wasmtime::Result<T>) -> Result<T, CallError> {
        match called {
            Ok(result) => {
                self.pool.give_back(live);
                Ok(result)
            }
            Err(error) => {
                let error = CallError::from_guest(error).having_run();
                let error = self.pool.explain(error, &live.store);
                live.life.0.end(&error);
                Err(error)
            }
        }
    }
}

impl Permit {
    /// Makes the call that this place is for.
    pub(crate) async fn call(
        self,
        deadline: Deadline,
        function: &ExportedFunction,
        params: Payload,
    ) -> Result<Payload, CallError> {
        let has_event_loop = self.generation.compiled().flavour == Flavour::Concurrent;
        if has_event_loop && event_loop::is_inside() {
            return self.call_apart(deadline, function.clone(), params).await;
        }
        self.call_here(deadline, function, params).await
    }

    async fn call_here(
        mut self,
        deadline: Deadline,
        function: &ExportedFunction,
        params: Payload,
    ) -> Result<Payload, CallError> {
        let tally = self.take_tally();
        let generation = &self.generation;
        let meter = CpuMeter::new(&generation.figures);
        let flavour = generation.compiled().flavour;
        let call = async {
            let (mut live, func) = generation.begin(function, &meter, deadline).await?;
            let params = Lowered {
                plan: function.plan.clone(),
                direction: Direction::Params,
                payload: params,
                inlets: None,
            };
            let called = invoke(func, &mut live.store, function.result_slots, params).await;
            generation.end(live, called)
        };
        let result = Guarded::new(pin!(call), flavour, meter.clone(), deadline).await;
        count(tally, &result);
        result
    }

    /// Makes the call on a task of its own, which ends with this future.
    async fn call_apart(
        self,
        deadline: Deadline,
        function: ExportedFunction,
        params: Payload,
    ) -> Result<Payload, CallError> {
        let mut task = JoinSet::new();
        let call = async move { self.call_here(deadline, &function, params).await };
        task.spawn(call.in_current_span());
        let ended = || CallError::new(ErrorClass::Trap, "the call ended unexpectedly");
        match task.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(ended()),
        }
    }
}

/// Counts how a call ended.
pub(crate) fn count<T>(tally: Option<Tally>, result: &Result<T, CallError>) {
    if let Some(mut tally) = tally {
        tally.end(result.as_ref().err().map(|error| error.class));
    }
}

/// Calls `func` by the type that has as many core values in its result.
async fn invoke(
    func: Func,
    store: &mut Store<State>,
    result_slots: usize,
    params: Lowered<PARAM_SLOTS>,
) -> wasmtime::Result<Payload> {
    macro_rules! by_slots {
        ($($slots:literal)*) => {
            match result_slots {
                $($slots => invoke_as::<$slots>(func, store, params).await,)*
                _ => invoke_as::<HEAP>(func, store, params).await,
            }
        };
    }
    by_slots!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
}

async fn invoke_as<const N: usize>(
    func: Func,
    store: &mut Store<State>,
    params: Lowered<PARAM_SLOTS>,
) -> wasmtime::Result<Payload> {
    let func = func.typed::<Lowered<PARAM_SLOTS>, Lifted<N>>(&*store)?;
    let Lifted(result, _no_streams) = func.call_async(store, params).await?;
    Ok(Payload::Lifted(result))
}

/// Refuses a function whose streams nobody would write or read.
fn only_values(function: &ExportedFunction) -> Result<(), CallError> {
    if function.plan.has_async {
        return Err(CallError::new(
            ErrorClass::Unavailable,
            "the function passes streams or futures, so that only components can call it",
        ));
    }
    Ok(())
}

/// Checks bytes from outside against a tuple of `function`, within the limits of `generation`.
fn check(
    generation: &Generation,
    function: &ExportedFunction,
    tuple: PlanId,
    bytes: &[u8],
) -> Result<(), trellis_wire::DecodeError> {
    let limits = generation.pool.limits();
    let clamp = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let limits = trellis_wire::Limits {
        wire_bytes_max: clamp(limits.hostcall_bytes_max),
        memory_bytes_max: clamp(limits.memory_bytes_max),
        ..trellis_wire::Limits::default()
    };
    scan_whole(&function.plan.plan, tuple, bytes, Dialect::A, &limits).map(|_| ())
}

/// Returns the error for bytes that are not what they should be.
pub(crate) fn not_of_type(what: &str, error: &trellis_wire::DecodeError) -> CallError {
    CallError::new(
        ErrorClass::Unavailable,
        format!("the {what} are not of the function's type: {error}"),
    )
}
