//! A request on its way into an instance, and what the outside holds of it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ::http::{HeaderValue, Method, Request, Response, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use wasmtime_wasi_http::{FieldMap, WasiBody, WasiHttpHooks};

use crate::call_error::CallError;
use crate::guarded::Deadline;
use crate::http::bodies::{Body, Writing};

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

/// What the outside holds of a request: where its answer goes, and until when. It is the channel of the
/// answer too.
pub(super) struct Ticket {
    state: Mutex<Wait>,
    pub(super) deadline: Deadline,
}

/// How far the waiting for an answer is.
#[derive(Default)]
struct Wait {
    answer: Option<Answer>,
    is_answered: bool,
    /// Whoever waited went away without an answer.
    is_cancelled: bool,
    /// The body of the answer, where a guest writes it.
    body: Option<Writing>,
    /// Who waits.
    asker: Option<Waker>,
    /// Who runs the request, and wants to know when nobody waits any more.
    watcher: Option<Waker>,
    /// The head of a request that may be sent to another instance when a neighbour traps: it changes
    /// nothing and has no body.
    replay: Option<Head>,
}

/// How far a request is, for the driver that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Somebody waits for the answer.
    Waits,
    /// Nobody does, without having had it.
    Left,
    /// It has its answer, and all of the body that it will get.
    Answered,
    /// Somebody reads the body of its answer, and the guest has not written all of it.
    Streams,
}

impl Ticket {
    /// Makes the ticket of a request, and what waits for its answer.
    pub(super) fn new(deadline: Deadline) -> (Arc<Self>, Asked) {
        let ticket = Arc::new(Self {
            state: Mutex::default(),
            deadline,
        });
        (ticket.clone(), Asked(ticket))
    }

    fn lock(&self) -> MutexGuard<'_, Wait> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep_for_replay(&self, head: &Head) {
        self.lock().replay = Some(head.clone());
    }

    pub(super) fn take_replay(&self) -> Option<Head> {
        self.lock().replay.take()
    }

    /// Answers the request. The first answer stays.
    pub(super) fn answer(&self, answer: Answer) {
        let mut wait = self.lock();
        if wait.is_answered {
            return;
        }
        wait.is_answered = true;
        wait.watcher = None;
        if !wait.is_cancelled {
            wait.body = answer.as_ref().ok().and_then(|it| it.body().writing());
            wait.answer = Some(answer);
        }
        let asker = wait.asker.take();
        drop(wait);
        if let Some(asker) = asker {
            asker.wake();
        }
    }

    /// Tells whether somebody waits for an answer.
    pub(super) fn is_open(&self) -> bool {
        let wait = self.lock();
        !wait.is_answered && !wait.is_cancelled
    }

    /// Tells how far the request is, and wakes `context` when whoever waits for it goes away.
    pub(super) fn standing(&self, context: &Context<'_>) -> Standing {
        let mut wait = self.lock();
        if wait.is_cancelled {
            return Standing::Left;
        }
        if !wait.is_answered {
            wait.watcher = Some(context.waker().clone());
            return Standing::Waits;
        }
        match &wait.body {
            Some(body) if body.goes_on() => Standing::Streams,
            _ => {
                wait.body = None;
                Standing::Answered
            }
        }
    }

    /// Ends the request at its deadline. Returns whether that cut its body off.
    pub(super) fn expire(&self) -> bool {
        let body = self.lock().body.take();
        if let Some(body) = &body {
            body.expire();
        }
        self.answer(Err(self.deadline.error()));
        body.is_some()
    }
}

/// Waits for the answer of a request. Dropping it cancels the request.
pub(super) struct Asked(Arc<Ticket>);

impl Future for Asked {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let mut wait = self.0.lock();
        match wait.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                wait.asker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut wait = self.0.lock();
        wait.is_cancelled = !wait.is_answered || wait.answer.is_some();
        // An answer that came too late.
        let answer = wait.answer.take();
        let watcher = wait.watcher.take();
        drop(wait);
        drop(answer);
        if let Some(watcher) = watcher {
            watcher.wake();
        }
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
