//! Calls of exported functions that pass streams or futures: the instance goes on after the result, until
//! everything is written.

use std::future::{Ready, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::Instrument;
use trellis_core::ErrorClass;
use wasmtime::Store;
use wasmtime::component::{Accessor, Func};

use super::{check, count, not_of_type};
use crate::call_error::CallError;
use crate::component::{Generation, Permit};
use crate::cpu_meter::CpuMeter;
use crate::exports::ExportedFunction;
use crate::guarded::{Deadline, Guarded};
use crate::state::State;
use crate::streams::{CalleeTask, Inbound, Inlets, Origin, Outbound, take_all};
use crate::wire::{Direction, HEAP, Lifted, Lowered, PARAM_SLOTS, Payload};

/// The result of a function, with streams and futures that its instance still writes.
pub struct Streaming {
    /// The result in the wRPC encoding; what is in `outbound` is pending in it.
    pub result: Bytes,
    /// The streams and futures of the result.
    pub outbound: Vec<Outbound>,
    /// The rest of the call. Nothing is written unless it is polled; dropping it ends the instance. It is
    /// done when everything was written and the component has nothing left to do.
    pub rest: Rest,
}

/// What an instance does after its result.
pub type Rest = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

/// A result as the instance gives it.
pub(crate) struct Answer {
    pub(crate) payload: Payload,
    pub(crate) outbound: Vec<Outbound>,
}

impl Generation {
    /// Calls an exported function that may pass streams and futures. Parameters and result are in the wRPC
    /// encoding; streams and futures that are pending in the parameters are opened in `inbound`.
    ///
    /// # Errors
    /// As [`Self::call_wire`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the call and the instance that it runs in.
    pub async fn call_streaming(
        self: &Arc<Self>,
        function: &ExportedFunction,
        params: Bytes,
        inbound: Arc<dyn Inbound>,
    ) -> Result<Streaming, CallError> {
        check(self, function, function.plan.params, &params)
            .map_err(|error| not_of_type("parameters", &error))?;
        let deadline = Deadline::start(self.pool.limits().deadline);
        let permit = Permit::enter(self.clone(), deadline).await?;
        let (sender, mut answer) = oneshot::channel();
        let params = Params {
            payload: Payload::Scanned(params),
            origin: Origin::elsewhere(inbound, Vec::new(), None),
        };
        let mut rest: Rest = Box::pin(run(permit, deadline, function.clone(), params, sender));
        let mut end = None;
        let answer = poll_fn(|context| {
            if end.is_none()
                && let Poll::Ready(result) = rest.as_mut().poll(context)
            {
                end = Some(result);
            }
            Pin::new(&mut answer).poll(context)
        });
        let answer = answer.await;
        let (answer, rest) = match (answer, end) {
            (Ok(answer), None) => (answer, rest),
            (Ok(answer), Some(end)) => (answer, done(end)),
            (Err(_), Some(Err(error))) => return Err(error),
            (Err(_), _) => return Err(ended()),
        };
        Ok(Streaming {
            result: answer.payload.into_bytes(),
            outbound: answer.outbound,
            rest,
        })
    }
}

/// The rest of a call that has ended.
fn done(end: Result<(), CallError>) -> Rest {
    let done: Ready<_> = ready(end);
    Box::pin(done)
}

fn ended() -> CallError {
    CallError::new(ErrorClass::Trap, "the call ended unexpectedly")
}

impl Permit {
    /// Makes the call that this place is for, on a task of its own: it goes on after the result. `outbound`
    /// are the streams and futures of the parameters.
    ///
    /// # Cancel safety
    /// Dropping the future ends the call.
    pub(crate) async fn call_streaming(
        self,
        deadline: Deadline,
        function: ExportedFunction,
        payload: Payload,
        outbound: Vec<Outbound>,
    ) -> Result<(Payload, Origin), CallError> {
        let (sender, answer) = oneshot::channel();
        let params = Params {
            payload,
            origin: Origin::guest(outbound, None),
        };
        let call = run(self, deadline, function, params, sender);
        let mut tasks = JoinSet::new();
        let task = tasks.spawn(call.in_current_span());
        if let Ok(answer) = answer.await {
            // From here on its streams hold it: it ends with them, with its caller, or at its deadline.
            tasks.detach_all();
            let task = Arc::new(CalleeTask(task));
            return Ok((answer.payload, Origin::guest(answer.outbound, Some(task))));
        }
        match tasks.join_next().await {
            Some(Ok(Err(error))) => Err(error),
            _ => Err(ended()),
        }
    }
}

/// The parameters of a call.
struct Params {
    payload: Payload,
    origin: Origin,
}

/// Runs one call to the end of all that it writes. How it ended is also the end of its streams.
async fn run(
    mut permit: Permit,
    deadline: Deadline,
    function: ExportedFunction,
    params: Params,
    sender: oneshot::Sender<Answer>,
) -> Result<(), CallError> {
    let tally = permit.take_tally();
    let generation = &permit.generation;
    let meter = CpuMeter::new(&generation.figures);
    let life = OnceLock::new();
    let work = async {
        let (mut live, func) = generation.begin(&function, &meter, deadline).await?;
        let life = life.get_or_init(|| live.life.0.clone());
        let params = Lowered {
            plan: function.plan.clone(),
            direction: Direction::Params,
            payload: params.payload,
            inlets: Some(Inlets::new(life.clone(), params.origin)),
        };
        let call = Call {
            func,
            function: &function,
            sender,
        };
        let ran = call.make(&mut live.store, params).await;
        generation.end(live, ran)
    };
    let mut work = pin!(work);
    let flavour = generation.compiled().flavour;
    let end = Guarded::new(work.as_mut(), flavour, meter.clone(), deadline).await;
    count(tally, &end);
    if let (Err(error), Some(life)) = (&end, life.get()) {
        // Before the store goes, so that its streams break with the reason.
        life.end(error);
    }
    end
}

/// One call in its store.
struct Call<'a> {
    func: Func,
    function: &'a ExportedFunction,
    sender: oneshot::Sender<Answer>,
}

impl Call<'_> {
    /// Makes the call by the type that has as many core values in its result.
    async fn make(
        self,
        store: &mut Store<State>,
        params: Lowered<PARAM_SLOTS>,
    ) -> wasmtime::Result<()> {
        macro_rules! by_slots {
            ($($slots:literal)*) => {
                match self.function.result_slots {
                    $($slots => self.make_as::<$slots>(store, params).await,)*
                    _ => self.make_as::<HEAP>(store, params).await,
                }
            };
        }
        by_slots!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    }

    async fn make_as<const N: usize>(
        self,
        store: &mut Store<State>,
        params: Lowered<PARAM_SLOTS>,
    ) -> wasmtime::Result<()> {
        let func = self
            .func
            .typed::<Lowered<PARAM_SLOTS>, Lifted<N>>(&*store)?;
        let run = store.run_concurrent(async |accessor| {
            let Lifted(buffer, handles) = func.call_concurrent(accessor, params).await?;
            let plan = &self.function.plan;
            let outbound =
                accessor.with(|store| take_all(store, plan, Direction::Results, handles))?;
            // Nobody waits for the answer where the call is being dropped.
            let _ = self.sender.send(Answer {
                payload: Payload::Lifted(buffer),
                outbound,
            });
            finish(accessor).await;
            Ok(())
        });
        run.await?
    }
}

/// Waits until the guest has nothing left to do and everything that it gave away is written.
async fn finish(accessor: &Accessor<State>) {
    let life = accessor.with(|mut store| store.get().life().clone());
    poll_fn(|context| {
        let at_rest = accessor.poll_no_interesting_tasks(context).is_ready();
        let written = life.poll_written(context).is_ready();
        if at_rest && written {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
