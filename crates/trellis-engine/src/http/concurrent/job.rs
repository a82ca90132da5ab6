//! A request on its way into an instance, and what the outside holds of it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Instant;

use ::http::{HeaderValue, Method, Request, Response, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use tokio::sync::oneshot;
use wasmtime_wasi_http::{FieldMap, WasiBody, WasiHttpHooks};

use crate::call_error::CallError;
use crate::guarded::Deadline;
use crate::http::bodies::Body;

/// How a request ended, for the one who sent it.
pub(super) type Answer = Result<Response<Body>, CallError>;

/// A request on its way into an instance.
pub(super) struct Job {
    pub(super) request: Incoming,
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
    pub(super) replay: Mutex<Option<Head>>,
}

impl Ticket {
    pub(super) fn keep_for_replay(&self, head: &Head) {
        *self.replay.lock().unwrap_or_else(PoisonError::into_inner) = Some(head.clone());
    }

    pub(super) fn take_replay(&self) -> Option<Head> {
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
    pub(super) fn replay(head: Head, ticket: &Arc<Ticket>) -> Self {
        let empty = Empty::new();
        let body = WasiBody::new(empty.map_err(|never: Infallible| match never {}));
        let request_id = super::super::request_id(&head.fields);
        Self {
            request: Incoming::Again(head, body),
            request_id,
            ticket: ticket.clone(),
            alone: true,
        }
    }
}

/// A request as it comes to an instance: as the gateway made it, or kept from an earlier attempt.
pub(super) enum Incoming {
    First(Request<WasiBody>),
    Again(Head, WasiBody),
}

/// The head of a request, cheap to clone.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) fields: FieldMap,
}

impl Incoming {
    /// Takes the request apart, without the headers that guests must not see.
    pub(super) fn into_parts(self, hooks: &mut dyn WasiHttpHooks) -> (Head, WasiBody) {
        match self {
            Self::Again(head, body) => (head, body),
            Self::First(request) => {
                let (parts, body) = request.into_parts();
                let head = Head {
                    method: parts.method,
                    uri: parts.uri,
                    fields: FieldMap::new_immutable(hooks, parts.headers),
                };
                (head, body)
            }
        }
    }
}

/// Tells whether a request can be sent again without harm: it changes nothing and has no body.
pub(super) fn is_replayable(head: &Head, body: &WasiBody) -> bool {
    head.method.is_safe() && body.is_end_stream()
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
