//! Requests into components of WASI 0.2: one at a time in an instance.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use trellis_core::{ComponentId, ErrorClass};
use wasmtime_wasi_http::WasiBody;

use super::body_pipe::BodyReader;
use super::response_body::{GuestTask, ResponseBody, Rest};
use super::served::AnswerSlot;
use crate::call_error::CallError;
use crate::component::{Generation, Permit};
use crate::cpu_meter::CpuMeter;
use crate::guarded::{Deadline, Guarded};
use crate::instance_pool::HttpGuest;

/// Runs the guest on the caller's task until it has answered; what it has left to do then travels
/// with the response body.
pub(crate) fn serve(permit: Permit, deadline: Deadline, request: Request<WasiBody>) -> Serving {
    let slot = Arc::<AnswerSlot>::default();
    let generation = permit.generation.clone();
    let meter = CpuMeter::new(&generation.figures);
    let flavour = generation.compiled().flavour;
    let call = run(permit, request, meter.clone(), slot.clone());
    Serving {
        task: Some(Box::pin(Guarded::new(call, flavour, meter, deadline))),
        deadline,
        slot,
        generation,
    }
}

/// A request in an instance. Small, because it moves; the guest's work stays where it began.
pub(crate) struct Serving {
    task: Option<GuestTask>,
    deadline: Deadline,
    slot: Arc<AnswerSlot>,
    generation: Arc<Generation>,
}

impl Future for Serving {
    type Output = Result<Response<ResponseBody>, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(running) = &mut this.task else {
            return Poll::Pending;
        };
        let done = running.as_mut().poll(context)?;
        let response = match this.slot.take() {
            Some(Ok(response)) => response,
            Some(Err(code)) => return Poll::Ready(Err(answered_with_error(&code))),
            None if done.is_ready() => return Poll::Ready(Err(no_answer())),
            None => return Poll::Pending,
        };
        let task = this.task.take().map(|task| (task, this.deadline));
        let component = &this.generation.id;
        let rest = done.is_pending().then(|| Rest {
            component: component.clone(),
            task,
            permit: None,
        });
        let response = response.map(|body| response_body(body, component, rest));
        Poll::Ready(Ok(response))
    }
}

/// Makes the body of a response, with what the guest has left to do.
fn response_body(
    body: Option<BodyReader>,
    component: &ComponentId,
    rest: Option<Rest>,
) -> ResponseBody {
    let whole = match (body, &rest) {
        (None, _) => Ok(Bytes::new()),
        (Some(body), None) => body.into_whole(),
        (Some(body), Some(_)) => Err(body),
    };
    match (whole, rest) {
        (Ok(bytes), None) => ResponseBody::whole(bytes),
        (Ok(bytes), Some(rest)) => ResponseBody::streaming(
            WasiBody::new(Full::new(bytes).map_err(|it| match it {})),
            rest,
        ),
        (Err(body), None) => ResponseBody::finished(WasiBody::new(body)).of(component),
        (Err(body), Some(rest)) => ResponseBody::streaming(WasiBody::new(body), rest),
    }
}

/// Takes an instance, calls its handler and gives it back.
async fn run(
    permit: Permit,
    request: Request<WasiBody>,
    meter: Arc<CpuMeter>,
    slot: Arc<AnswerSlot>,
) -> Result<(), CallError> {
    let pool = &permit.generation.pool;
    let mut live = pool.take(&meter).await?;
    live.calls_left = live.calls_left.saturating_sub(1);
    let state = live.store.data_mut();
    state.begin(meter, super::request_id(request.headers()));
    let (request, outparam) = state
        .served
        .begin(request, slot)
        .map_err(CallError::from_guest)?;
    live.store.set_epoch_deadline(1);
    let Some(HttpGuest::P2(proxy)) = &live.http else {
        return Err(no_answer());
    };
    let result = proxy
        .wasi_http_incoming_handler()
        .call_handle(&mut live.store, request, outparam)
        .await;
    match result {
        Ok(()) => {
            if live.store.data_mut().served().end() {
                pool.give_back(live);
            }
            Ok(())
        }
        Err(error) => {
            // Whatever it was, a refused call of its own included: the handler had begun.
            let error = CallError::from_guest(error).having_run();
            Err(pool.explain(error, &live.store))
        }
    }
}

pub(super) fn no_answer() -> CallError {
    CallError::new(ErrorClass::Trap, "the component returned without answering")
}

pub(super) fn answered_with_error(code: &dyn std::fmt::Debug) -> CallError {
    CallError::new(
        ErrorClass::Trap,
        format!("the component answered with the error {code:?}"),
    )
}
