//! Functions that others call: subscriptions, admission, the course of each call, and the stop.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use async_nats::{Message, Subject, Subscriber};
use futures_util::future::poll_immediate;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trellis_core::{ErrorClass, takes_answers};

use crate::call_error::CallError;
use crate::call_state::{Accepted, CallState, Dialect, Piece, Side, window_of};
use crate::config::{ACCEPT_EXTENDED_AFTER, ACCEPT_LEGACY_AFTER, ServerConfig};
use crate::extension::Note;
use crate::headers::Headers;
use crate::invocation::{Handler, Invocation, Reply};
use crate::open_call::OpenCall;
use crate::subject::Export;
use crate::transport::Transport;

/// Messages that the NATS server may have on the way to us when we leave a subject.
const IN_FLIGHT_MAX: u64 = 256;
/// Without a message for so long, nothing is on the way.
const QUIET: Duration = Duration::from_millis(20);
/// The longest that leaving a busy subject waits for its last messages.
const LEAVE_MAX: Duration = Duration::from_millis(250);

/// A function that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The server was stopped.
    #[error("the server is stopping")]
    Stopping,
    /// The connection does not take the subscription.
    #[error("cannot subscribe to `{subject}`")]
    Subscribe {
        /// What should be subscribed to.
        subject: String,
        /// Why not.
        #[source]
        source: async_nats::SubscribeError,
    },
}

/// Serves functions on one transport, with one admission for all of them.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Transport,
    config: ServerConfig,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    calls: TaskTracker,
    subscriptions: TaskTracker,
    stopping: CancellationToken,
    aborting: CancellationToken,
}

/// A function in service. Dropping it takes the function out of service; calls in flight go on.
pub struct Served {
    leaving: CancellationToken,
    left: CancellationToken,
}

impl Served {
    /// Takes the function out of service and waits until no more calls can come. What was sent
    /// before is still served.
    pub async fn leave(self) {
        self.leaving.cancel();
        self.left.cancelled().await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.leaving.cancel();
    }
}

impl Server {
    /// Makes a server on this transport.
    pub fn new(transport: &Transport, config: ServerConfig) -> Self {
        Self {
            inner: Arc::new(Inner {
                transport: transport.clone(),
                running: Arc::new(Semaphore::new(config.calls_running_max.max(1))),
                config,
                waiting: AtomicUsize::new(0),
                calls: TaskTracker::new(),
                subscriptions: TaskTracker::new(),
                stopping: CancellationToken::new(),
                aborting: CancellationToken::new(),
            }),
        }
    }

    /// Serves `export` with `handler`. Calls come as soon as the NATS server knows the subscription;
    /// [`Transport::settle`] waits for that.
    ///
    /// # Errors
    /// A connection that was closed, or a server that is stopping.
    pub async fn serve(
        &self,
        export: &Export,
        handler: impl Handler,
    ) -> Result<Served, ServeError> {
        let inner = &self.inner;
        if inner.stopping.is_cancelled() {
            return Err(ServeError::Stopping);
        }
        let nats = inner.transport.shared.nats();
        let subscription = nats
            .queue_subscribe(export.subject.clone(), export.group.clone())
            .await;
        let subscription = subscription.map_err(|source| ServeError::Subscribe {
            subject: export.subject.to_string(),
            source,
        })?;
        let leaving = inner.stopping.child_token();
        let left = CancellationToken::new();
        let guard = left.clone().drop_guard();
        let serve = serve_all(
            inner.clone(),
            Arc::new(handler),
            subscription,
            leaving.clone(),
        );
        inner.subscriptions.spawn(async move {
            let _guard = guard;
            serve.await;
        });
        Ok(Served { leaving, left })
    }

    /// Takes all functions out of service and waits for the calls in flight, for `grace` at most.
    /// Calls that are left then end as unavailable. Returns how many those were.
    pub async fn stop(&self, grace: Duration) -> usize {
        let inner = &self.inner;
        inner.stopping.cancel();
        inner.subscriptions.close();
        inner.subscriptions.wait().await;
        inner.calls.close();
        let mut left = 0;
        if timeout(grace, inner.calls.wait()).await.is_err() {
            left = inner.calls.len();
            inner.aborting.cancel();
            inner.calls.wait().await;
        }
        // The client drops what it has not written when the process or its last handle ends.
        let _ = timeout(LEAVE_MAX, inner.transport.shared.nats().flush()).await;
        left
    }

    /// Returns how many calls run or wait.
    pub fn calls(&self) -> usize {
        self.inner.calls.len()
    }
}

async fn serve_all<H: Handler>(
    inner: Arc<Inner>,
    handler: Arc<H>,
    mut subscription: Subscriber,
    leaving: CancellationToken,
) {
    let mut received = 0;
    loop {
        let message = tokio::select! {
            biased;
            () = leaving.cancelled() => break,
            message = subscription.next() => message,
        };
        let Some(message) = message else {
            return; // the connection was closed
        };
        received += 1;
        take(&inner, &handler, message);
    }
    leave(&mut subscription, received, |message| {
        take(&inner, &handler, message)
    })
    .await;
}

/// Leaves a subject without losing what is on the way.
///
/// The client forgets a subscription when it has written its end, not when the server has read it,
/// so what comes in between would be lost. Asking for a last number of messages makes both sides
/// agree on the last one. Where so many do not come, nothing is on the way, and the plain end is safe.
///
/// While there is no connection the client takes no commands once its queue is full, and nothing is on
/// the way: dropping the subscription ends it then.
async fn leave(subscription: &mut Subscriber, received: u64, mut take: impl FnMut(Message)) {
    let until = Instant::now() + LEAVE_MAX;
    let last = subscription.unsubscribe_after(received + IN_FLIGHT_MAX);
    let Ok(Ok(())) = timeout_at(until.into(), last).await else {
        return; // the connection is lost, or was closed
    };
    loop {
        let quiet = until.min(Instant::now() + QUIET);
        match timeout_at(quiet.into(), subscription.next()).await {
            Ok(Some(message)) => take(message),
            Ok(None) => return,
            Err(_) => break,
        }
    }
    let until = Instant::now() + LEAVE_MAX;
    let Ok(Ok(())) = timeout_at(until.into(), subscription.drain()).await else {
        return;
    };
    // While disconnected the end does not come; then nothing else comes either.
    while let Ok(Some(message)) = timeout_at(until.into(), subscription.next()).await {
        take(message);
    }
}

/// Begins the call of one message, or refuses it.
fn take<H: Handler>(inner: &Arc<Inner>, handler: &Arc<H>, message: Message) {
    let Some((open, invocation)) = open(inner, message) else {
        return;
    };
    let permit = inner.running.clone().try_acquire_owned().ok();
    let one_more = |waiting| (waiting < inner.config.calls_queued_max).then_some(waiting + 1);
    if permit.is_none()
        && inner
            .waiting
            .fetch_update(SeqCst, SeqCst, one_more)
            .is_err()
    {
        open.answer_error(&CallError::before_start(
            ErrorClass::Overloaded,
            "this host has too many calls",
        ));
        return;
    }
    let (inner, handler) = (inner.clone(), handler.clone());
    let calls = inner.calls.clone();
    calls.spawn(async move {
        let aborting = inner.aborting.clone();
        let course = run(&inner, &*handler, &open, invocation, permit);
        tokio::select! {
            biased;
            () = course => {}
            () = aborting.cancelled() => {} // dropping the call answers it
        }
    });
}

/// Makes the called end of a call out of its first message.
fn open(inner: &Inner, message: Message) -> Option<(Arc<OpenCall>, Invocation)> {
    let Message {
        subject,
        reply,
        payload,
        headers,
        ..
    } = message;
    // Who wants no answer, or not where answers go, did not mean wRPC.
    let control: Subject = reply.filter(|it| takes_answers(it))?;
    let shared = &inner.transport.shared;
    let now = Instant::now();
    let note = Note::read(headers.as_ref());
    let asked = note.as_ref().and_then(|note| note.deadline);
    let deadline = now + asked.unwrap_or(inner.config.deadline_default);
    let mut state = CallState::new(Side::Callee, deadline, shared.bounds());
    state.expects_streams = note.as_ref().is_some_and(|note| note.more);
    let accepted = Accepted {
        control,
        dialect: match note {
            Some(_) => Dialect::Extended,
            None => Dialect::Legacy,
        },
        peer: None,
        window: note.as_ref().map_or(u64::MAX, window_of),
    };
    let awaits_more = note.as_ref().is_some_and(|note| note.more || !note.end);
    let open = Arc::new(OpenCall::callee(shared.clone(), Arc::new(state), accepted));
    // An empty first message of 1.x is not the end of the parameters.
    if note.is_some() || !payload.is_empty() {
        let note = note.map(|note| Note { at: 0, ..note });
        let first = Piece {
            payload,
            note,
            error: None,
        };
        open.state.receive(None, first);
    }
    if awaits_more {
        open.accept();
    }
    Some((
        open.clone(),
        invocation(open, subject, headers.unwrap_or_default()),
    ))
}

fn invocation(open: Arc<OpenCall>, subject: Subject, headers: async_nats::HeaderMap) -> Invocation {
    Invocation {
        open,
        subject,
        headers: Headers::from_map(headers),
    }
}

/// Runs one call to its end.
async fn run<H: Handler>(
    inner: &Inner,
    handler: &H,
    open: &Arc<OpenCall>,
    invocation: Invocation,
    permit: Option<OwnedSemaphorePermit>,
) {
    let _permit = match permit {
        Some(permit) => permit,
        None => {
            let turn = drive(open, inner.running.clone().acquire_owned()).await;
            inner.waiting.fetch_sub(1, SeqCst);
            match turn {
                Ok(Ok(permit)) => permit,
                Ok(Err(_)) => return, // the semaphore is never closed
                Err(error) => return open.answer_error(&error),
            }
        }
    };
    if let Some(error) = open.state.failure() {
        return open.answer_error(&error); // its caller went away as its turn came
    }
    if open.state.deadline <= Instant::now() {
        return open.answer_error(&CallError::before_start(
            ErrorClass::Deadline,
            "the time for the call passed before its turn came",
        ));
    }
    let work = AssertUnwindSafe(async { handler.handle(invocation).await }).catch_unwind();
    let outcome = match drive(open, work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => Err(CallError::new(
            ErrorClass::Trap,
            "the handler of the call panicked",
        )),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(reply) => finish(open, reply).await,
        Err(error) => open.answer_error(&error),
    }
}

async fn finish(open: &Arc<OpenCall>, Reply { result, rest }: Reply) {
    if rest.is_none()
        && let Some(answer) = open.small_answer(&result)
    {
        if let Some(load) = open.shared.gather(answer).await {
            // A broken connection ends the call; there is nobody to tell.
            let _ = drive(open, load.send()).await;
        }
        return;
    }
    if rest.is_some() {
        open.accept(); // the other end has to know where its streams and credit go
    }
    // A reader that is gone or a broken connection ends the call; there is nobody to tell.
    let Ok(Ok(())) = drive(open, open.answer(result)).await else {
        return;
    };
    if let Some(rest) = rest {
        let rest = AssertUnwindSafe(rest).catch_unwind();
        match drive(open, rest).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::debug!(%error, "the streams of a result broke off"),
            Ok(Err(_panic)) => tracing::error!("the writer of a result's streams panicked"),
            Err(error) => tracing::debug!(%error, "the call ended before its streams"),
        }
    }
}

/// Works on a part of a call until it is done, the caller goes away or the deadline passes. A caller
/// that waits for long is told that its call was taken.
async fn drive<W: Future>(open: &OpenCall, work: W) -> Result<W::Output, CallError> {
    let mut work = pin!(work);
    if let Some(done) = poll_immediate(&mut work).await {
        return Ok(done); // without a timer
    }
    let accept_after = match open.caller_dialect() {
        Dialect::Legacy => ACCEPT_LEGACY_AFTER,
        Dialect::Extended => ACCEPT_EXTENDED_AFTER,
    };
    let deadline = tokio::time::Instant::from_std(open.state.deadline);
    let mut timer = pin!(tokio::time::sleep(accept_after));
    if open.is_accepted() {
        timer.as_mut().reset(deadline);
    }
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            error = poll_fn(|cx| open.state.poll_failure(cx)) => return Err(error),
            () = &mut timer => {
                if deadline <= tokio::time::Instant::now() {
                    open.state.fail(CallError::deadline()); // for the writers that are dropped now
                    return Err(CallError::deadline());
                }
                open.accept();
                timer.as_mut().reset(deadline);
            }
        }
    }
}
