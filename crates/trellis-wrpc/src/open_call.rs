//! One end of an open call with its place in the transport. Everything that belongs to the call
//! holds it; when the last part goes, the other end is told what it has to know.

use std::pin::pin;
use std::sync::{Arc, OnceLock};

use async_nats::Subject;
use async_nats::message::OutboundMessage;
use bytes::Bytes;
use futures_util::future::poll_immediate;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::call_error::CallError;
use crate::call_state::{Accepted, CallState, Dialect, Side};
use crate::extension::Note;
use crate::headers::inbox_of;
use crate::outbox::SMALL_BYTES_MAX;
use crate::slots::SlotId;
use crate::transport::{Shared, cancel, message};

/// An open call.
pub(crate) struct OpenCall {
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: Arc<CallState>,
    slot: OnceLock<Option<SlotId>>,
    /// What only the end that was called has.
    callee: Option<Callee>,
}

struct Callee {
    control: Subject,
    dialect: Dialect,
    answered: AtomicBool,
}

impl OpenCall {
    /// Opens the calling end, which has its number from the start.
    pub(crate) fn caller(shared: Arc<Shared>, state: Arc<CallState>, slot: SlotId) -> Self {
        Self {
            shared,
            state,
            slot: OnceLock::from(Some(slot)),
            callee: None,
        }
    }

    /// Opens the called end. It gets a number when it first needs one.
    pub(crate) fn callee(shared: Arc<Shared>, state: Arc<CallState>, accepted: Accepted) -> Self {
        let callee = Callee {
            control: accepted.control.clone(),
            dialect: accepted.dialect,
            answered: AtomicBool::new(false),
        };
        state.accept(accepted);
        Self {
            shared,
            state,
            slot: OnceLock::new(),
            callee: Some(callee),
        }
    }

    /// Tells the caller that its call was taken and where it can send to, once.
    pub(crate) fn accept(&self) {
        let Some(callee) = &self.callee else {
            return;
        };
        self.slot.get_or_init(|| {
            let slot = self.shared.slots.insert(self.state.clone());
            let subject = slot.map(|slot| self.shared.call_subject(slot));
            // Without a place the call goes on, but what its caller still sends is not heard.
            let reply = subject.unwrap_or_else(|| self.shared.nowhere.clone());
            let headers = (callee.dialect == Dialect::Extended).then(|| {
                let inbox = inbox_of(&callee.control).unwrap_or_default();
                self.state.set_peer(self.shared.peers.get(inbox, None));
                let note = Note {
                    accept: true,
                    host: Some(&self.shared.config.host_id),
                    window: self.shared.window_to_tell(),
                    ..Note::default()
                };
                note.headers()
            });
            let accepted = message(callee.control.clone(), Some(reply), headers, Bytes::new());
            self.shared.publish_now(accepted);
            slot
        });
    }

    /// Returns whether the caller was told that its call was taken.
    pub(crate) fn is_accepted(&self) -> bool {
        self.slot.get().is_some()
    }

    /// Returns what the caller understands, at the called end.
    pub(crate) fn caller_dialect(&self) -> Dialect {
        self.callee
            .as_ref()
            .map_or(Dialect::Legacy, |callee| callee.dialect)
    }

    /// Waits until the other end can be sent to.
    pub(crate) async fn other_end(&self) -> Result<Accepted, CallError> {
        self.accept();
        self.within(std::future::poll_fn(|cx| self.state.poll_accepted(cx)))
            .await
    }

    /// Waits for `work` until the deadline of the call.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let mut work = pin!(work);
        if let Some(done) = poll_immediate(&mut work).await {
            return done; // without a timer: most of what is asked for is there already
        }
        let deadline = self.state.deadline.into();
        let in_time = tokio::time::timeout_at(deadline, work).await;
        in_time.unwrap_or_else(|_| Err(CallError::deadline()))
    }

    /// Sends the result. Only when all of it was sent the call counts as answered.
    pub(crate) async fn answer(&self, result: Bytes) -> Result<(), CallError> {
        let Some(callee) = self.unanswered() else {
            return Ok(());
        };
        let subject: Subject = format!("{}.results", callee.control).into();
        let shared = &self.shared;
        if callee.dialect == Dialect::Extended {
            shared
                .publish_value(&subject, result, 0, Dialect::Extended)
                .await?;
        } else {
            self.accept_in_passing(callee).await?;
            // One message with bytes in it is decoded at once: no end is needed behind it.
            if !result.is_empty() && result.len() <= shared.piece_bytes(Dialect::Legacy) {
                shared.publish_bare(&subject, result).await?;
            } else {
                shared
                    .publish_value(&subject, result, 0, Dialect::Legacy)
                    .await?;
            }
        }
        callee.answered.store(true, Relaxed);
        Ok(())
    }

    /// Returns the message of a small result after which nothing follows, for a caller of ours that was not told
    /// before that its call was taken. It counts as sent.
    pub(crate) fn small_answer(&self, result: &Bytes) -> Option<OutboundMessage> {
        let callee = self.unanswered()?;
        let is_small = result.len() <= SMALL_BYTES_MAX.min(self.shared.piece_bytes(callee.dialect));
        if callee.dialect != Dialect::Extended || !is_small || self.is_accepted() {
            return None;
        }
        callee.answered.store(true, Relaxed);
        let subject = format!("{}.results", callee.control).into();
        let note = Note {
            end: true,
            ..Note::default()
        };
        Some(message(subject, None, Some(note.headers()), result.clone()))
    }

    /// Tells the caller that there is no result. A caller of 1.x only sees that nothing comes.
    pub(crate) fn answer_error(&self, error: &CallError) {
        let Some(callee) = self.unanswered() else {
            return;
        };
        callee.answered.store(true, Relaxed);
        let subject = format!("{}.results", callee.control).into();
        if callee.dialect == Dialect::Extended {
            let note = Note {
                end: true,
                ..Note::default()
            };
            let headers = Some(note.error_headers(error));
            return self
                .shared
                .publish_now(message(subject, None, headers, Bytes::new()));
        }
        if !self.is_accepted() {
            self.shared.publish_now(self.acceptance_of_nothing(callee));
        }
        self.shared
            .publish_now(message(subject, None, None, Bytes::new()));
    }

    /// A caller of 1.x waits for the acceptance even when the result is there.
    async fn accept_in_passing(&self, callee: &Callee) -> Result<(), CallError> {
        if self.slot.set(None).is_err() {
            return Ok(()); // accepted before
        }
        self.shared
            .publish(self.acceptance_of_nothing(callee))
            .await
    }

    fn acceptance_of_nothing(&self, callee: &Callee) -> async_nats::message::OutboundMessage {
        let nowhere = Some(self.shared.nowhere.clone());
        message(callee.control.clone(), nowhere, None, Bytes::new())
    }

    fn unanswered(&self) -> Option<&Callee> {
        let callee = self.callee.as_ref()?;
        (!callee.answered.load(Relaxed)).then_some(callee)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let slot = self.slot.get().copied().flatten();
        if self.state.side == Side::Callee {
            // Only a call that was dropped on the way has no answer yet.
            self.answer_error(&CallError::unavailable(
                "the host stopped before the call was done",
            ));
        }
        let other = self.state.accepted();
        let extended = other.filter(|other| other.dialect == Dialect::Extended);
        if let (Some(slot), Some(other)) = (slot, extended)
            && !self.state.is_finished()
        {
            let note = match self.state.side {
                Side::Caller => cancel(other.control),
                Side::Callee => {
                    let note = Note {
                        stop: true,
                        ..Note::default()
                    };
                    message(other.control, None, Some(note.headers()), Bytes::new())
                }
            };
            self.shared.publish_now(note);
            self.shared.slots.remove(slot);
        } else if let Some(slot) = slot {
            self.shared.slots.remove(slot);
        }
    }
}
