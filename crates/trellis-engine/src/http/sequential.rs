//! Requests into components of WASI 0.2: one at a time in an instance.

use std::sync::Arc;
use std::task::Poll;

use ::http::{Request, Response};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use trellis_core::ErrorClass;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::response_body::{GuestTask, ResponseBody, Rest};
use crate::call_error::CallError;
use crate::component::Permit;
use crate::cpu_meter::CpuMeter;
use crate::guarded::{Deadline, Guarded};
use crate::instance_pool::HttpGuest;

type Answer = Result<Response<WasiBody>, ErrorCode>;

/// Runs the guest on the caller's task until it has answered; what it has left to do then travels
/// with the response body.
pub(crate) async fn serve(
    permit: Permit,
    deadline: Deadline,
    request: Request<WasiBody>,
) -> Result<Response<ResponseBody>, CallError> {
    let (sender, mut answer) = oneshot::channel();
    let generation = permit.generation.clone();
    let meter = CpuMeter::new(&generation.figures);
    let call = run(permit, request, meter.clone(), sender);
    let mut task: Option<GuestTask> = Some(Box::pin(Guarded::new(call, meter, deadline)));

    std::future::poll_fn(move |context| {
        let Some(running) = &mut task else {
            return Poll::Pending;
        };
        let done = running.as_mut().poll(context);
        match (answer.try_recv(), done) {
            (_, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (Ok(Ok(response)), Poll::Ready(Ok(()))) => {
                Poll::Ready(Ok(response.map(ResponseBody::finished)))
            }
            (Ok(Ok(response)), Poll::Pending) => {
                let rest = Rest {
                    component: generation.id.clone(),
                    task: task.take(),
                    permit: None,
                };
                Poll::Ready(Ok(response.map(|body| ResponseBody::streaming(body, rest))))
            }
            (Ok(Err(code)), _) => Poll::Ready(Err(answered_with_error(&code))),
            (Err(_), Poll::Ready(Ok(()))) => Poll::Ready(Err(no_answer())),
            (Err(TryRecvError::Empty | TryRecvError::Closed), Poll::Pending) => Poll::Pending,
        }
    })
    .await
}

/// Takes an instance, calls its handler and gives it back.
async fn run(
    permit: Permit,
    request: Request<WasiBody>,
    meter: Arc<CpuMeter>,
    answer: oneshot::Sender<Answer>,
) -> Result<(), CallError> {
    let pool = &permit.generation.pool;
    let mut live = pool.take(&meter).await?;
    live.calls_left = live.calls_left.saturating_sub(1);
    let state = live.store.data_mut();
    state.begin(meter, super::request_id(request.headers()));
    let mut view = state.http();
    let request = view
        .new_incoming_request(Scheme::Http, request)
        .map_err(CallError::from_guest)?;
    let outparam = view
        .new_response_outparam(answer)
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
            pool.give_back(live);
            Ok(())
        }
        Err(error) => Err(pool.explain(CallError::from_guest(error), &live.store)),
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
