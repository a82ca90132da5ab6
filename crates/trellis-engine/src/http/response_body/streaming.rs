//! A body whose guest is still at work: to ask for its next frame is to let the guest work, and its
//! deadline holds whether anybody asks or not.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http_body::Body;
use tokio::task::AbortHandle;
use trellis_core::{ComponentId, ErrorClass};
use wasmtime_wasi_http::{Error, WasiBody};

use super::{Counted, Next, log_unfinished};
use crate::call_error::CallError;
use crate::component::Permit;
use crate::figures::Tally;
use crate::guarded::Deadline;

/// The guest's remaining work on a request, as far as the body carries it along.
pub(crate) type GuestTask = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

/// Between two looks at a body that was being read at its deadline. Such a guest works, and is
/// interrupted within a tick.
const BUSY_RETRY: Duration = Duration::from_millis(5);

/// What a streaming body keeps of its request.
pub(crate) struct Rest {
    pub(crate) component: ComponentId,
    /// The guest's remaining work, where this body drives it, and when it has to be done.
    pub(crate) task: Option<(GuestTask, Deadline)>,
    /// The request's place, where the task does not hold it.
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) permit: Option<Permit>,
}

/// A body with the guest that writes it. Who reads it and the timer of the guest's deadline share it: a
/// client that takes nothing leaves nobody else to look at the time.
pub(super) struct Stream {
    shared: Arc<Mutex<Shared>>,
    timer: Option<AbortHandle>,
}

struct Shared {
    body: WasiBody,
    rest: Rest,
    counted: Option<Counted>,
    /// The body was read to its end.
    ended: bool,
    /// All that anybody asks for is through: what the guest does now is not for this client.
    through: bool,
    /// Why the body ends early, until its reader is told.
    failed: Option<Error>,
    /// The guest has gone past its deadline.
    expired: bool,
    reader: Option<Waker>,
}

impl Stream {
    pub(super) fn new(body: WasiBody, rest: Rest) -> Self {
        let deadline = rest.task.as_ref().map(|(_, deadline)| *deadline);
        let shared = Arc::new(Mutex::new(Shared {
            body,
            rest,
            counted: None,
            ended: false,
            through: false,
            failed: None,
            expired: false,
            reader: None,
        }));
        let timer = deadline.and_then(|deadline| {
            let runtime = tokio::runtime::Handle::try_current().ok()?;
            let task = runtime.spawn(end_at(deadline, Arc::downgrade(&shared)));
            Some(task.abort_handle())
        });
        Self { shared, timer }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the call until the body has ended; see [`super::ResponseBody::counted`].
    pub(super) fn count(
        &self,
        mut tally: Tally,
        has_body: bool,
        length: impl FnOnce() -> Option<u64>,
    ) {
        let mut shared = self.lock();
        if shared.expired {
            return tally.end(Some(ErrorClass::Deadline));
        }
        shared.counted = Counted::begin(tally, has_body, length);
        shared.through = shared.counted.is_none();
    }

    pub(super) fn poll_frame(&self, context: &mut Context<'_>) -> Poll<Next> {
        self.lock().poll_frame(context)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(timer) = &self.timer {
            timer.abort();
        }
    }
}

/// Ends the guest at its deadline if the body is still there.
async fn end_at(deadline: Deadline, shared: Weak<Mutex<Shared>>) {
    tokio::time::sleep_until(deadline.expires.into()).await;
    while let Some(shared) = shared.upgrade() {
        if expire_unread(&shared, deadline) {
            return;
        }
        drop(shared);
        tokio::time::sleep(BUSY_RETRY).await;
    }
}

/// Ends the guest, unless its body is being read at this moment. Returns whether it did.
fn expire_unread(shared: &Mutex<Shared>, deadline: Deadline) -> bool {
    match shared.try_lock() {
        Ok(shared) => expire(shared, deadline),
        Err(TryLockError::Poisoned(shared)) => expire(shared.into_inner(), deadline),
        Err(TryLockError::WouldBlock) => return false,
    }
    true
}

/// Ends the guest, where it has not ended, and tells whoever reads its body.
fn expire(mut shared: MutexGuard<'_, Shared>, deadline: Deadline) {
    let Some(task) = shared.rest.task.take() else {
        return;
    };
    shared.expired = true;
    let error = shared.fail(&deadline.error());
    shared.failed = Some(error);
    let body = std::mem::take(&mut shared.body);
    let reader = shared.reader.take();
    // The guest's store goes, and wakes who waited for what it wrote: without the lock.
    drop(shared);
    drop((task, body));
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl Shared {
    /// Lets the guest work, then takes what it wrote. A guest that failed cuts the body short with an
    /// error, never with a silent end.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if let Some(error) = self.failed.take() {
            self.ended = true;
            return Poll::Ready(Some(Err(error)));
        }
        if let Some((task, _)) = &mut self.rest.task
            && let Poll::Ready(result) = task.as_mut().poll(context)
        {
            self.rest.task = None;
            if let Err(error) = result {
                let error = self.fail(&error);
                self.ended = true;
                return Poll::Ready(Some(Err(error)));
            }
        }
        let poll = Pin::new(&mut self.body).poll_frame(context);
        match &poll {
            Poll::Ready(next) => self.see(next),
            Poll::Pending => self.reader = Some(context.waker().clone()),
        }
        poll
    }

    /// Takes note of what comes.
    fn see(&mut self, next: &Next) {
        if let Some(counted) = &mut self.counted {
            self.through |= counted.see(next);
        }
        match next {
            None => self.ended = true,
            Some(Err(error)) => log_unfinished(&self.rest.component, error),
            Some(Ok(_)) => {}
        }
    }

    /// Takes note of the guest's failure, and returns the error that its body ends with.
    fn fail(&mut self, error: &CallError) -> Error {
        let component_id = self.rest.component.as_str();
        tracing::warn!(component_id, %error, "component failed in the middle of its answer");
        if let Some(counted) = &mut self.counted {
            counted.tally.end(Some(error.class));
        }
        Error::InternalError(Some(error.to_string()))
    }
}

impl Drop for Shared {
    /// A guest may go on after its answer ended, within its deadline. A client that went away before
    /// that has cancelled it.
    fn drop(&mut self) {
        let Some((task, _)) = self.rest.task.take() else {
            return;
        };
        if (self.ended || self.through)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let component = self.rest.component.clone();
            runtime.spawn(async move {
                if let Err(error) = task.await {
                    let component_id = component.as_str();
                    tracing::warn!(component_id, %error, "component failed after its answer");
                }
            });
        }
    }
}
