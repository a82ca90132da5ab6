//! A request on its way into an instance, and what the outside holds of it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Instant;

use ::http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

use crate::call_error::CallError;
use crate::guarded::Deadline;

/// How a request ended, for the one who sent it.
pub(super) type Answer = Result<Response<WasiBody>, CallError>;

/// A request on its way into an instance.
pub(super) struct Job {
    pub(super) request: Request<WasiBody>,
    pub(super) request_id: Option<HeaderValue>,
    pub(super) ticket: Arc<Ticket>,
    /// It gets an instance to itself.
    pub(super) alone: bool,
}

/// What the outside holds of a request: where its answer goes, and until when.
pub(super) struct Ticket {
    pub(super) answer: Mutex<Option<oneshot::Sender<Answer>>>,
    pub(super) deadline: Deadline,
    /// The head of a request that may be sent to another instance when a neighbour traps: it changes
    /// nothing and has no body.
    pub(super) replay: Mutex<Option<Box<::http::request::Parts>>>,
}

impl Ticket {
    pub(super) fn take_replay(&self) -> Option<Box<::http::request::Parts>> {
        self.replay
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<oneshot::Sender<Answer>>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answer(&self, answer: Answer) {
        if let Some(sender) = self.lock().take() {
            // A receiver that is gone has cancelled its request.
            let _ = sender.send(answer);
        }
    }

    /// Tells whether somebody still waits for the answer, and wakes `context` when that ends.
    pub(super) fn poll_open(&self, context: &mut Context<'_>) -> bool {
        self.lock()
            .as_mut()
            .is_some_and(|sender| sender.poll_closed(context).is_pending())
    }
}

impl Job {
    pub(super) fn replay(parts: ::http::request::Parts, ticket: &Arc<Ticket>) -> Self {
        let empty = Empty::new();
        let body = WasiBody::new(empty.map_err(|never: Infallible| match never {}));
        let request = Request::from_parts(parts, body);
        Self {
            request_id: super::super::request_id(&request),
            request,
            ticket: ticket.clone(),
            alone: true,
        }
    }
}

/// Keeps the head of a request that can be sent again, as far as that is harmless.
pub(super) fn replayable(request: &Request<WasiBody>) -> Option<Box<::http::request::Parts>> {
    let harmless = request.method().is_safe() && request.body().is_end_stream();
    if !harmless {
        return None;
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = request.uri().clone();
    parts.version = request.version();
    parts.headers = request.headers().clone();
    Some(Box::new(parts))
}

/// The requests in one instance, as seen from outside.
pub(super) struct Tickets {
    pub(super) open: Vec<Arc<Ticket>>,
    /// By when the guest must have done everything, bodies included.
    pub(super) last_expires: Instant,
}

pub(super) fn lock(tickets: &Mutex<Tickets>) -> MutexGuard<'_, Tickets> {
    tickets.lock().unwrap_or_else(PoisonError::into_inner)
}
