//! One channel of bytes that arrives in pieces: in order, without holes, with an honest end.

use std::collections::VecDeque;
use std::mem;
use std::task::{Context, Waker};

use bytes::Bytes;
use trellis_core::ErrorClass;

use crate::call_error::CallError;
use crate::call_state::join;
use crate::config::MESSAGE_OVERHEAD_BYTES;
use crate::extension::Note;

/// What has arrived on one channel and was not yet read.
#[derive(Default)]
pub(crate) struct Inbound {
    parts: VecDeque<Bytes>,
    held: usize,
    received: u64,
    taken: u64,
    /// Bytes that the sender may have sent so far; no bound for a peer of 1.x.
    granted: Option<u64>,
    ended: bool,
    /// The reader went away: what comes is dropped.
    discarding: bool,
    /// Somebody reads it, whatever becomes of what it is inside of.
    claimed: bool,
    /// The reader was told of the end.
    told: bool,
    error: Option<CallError>,
    waker: Option<Waker>,
}

impl Inbound {
    /// Adds a message. Returns whether its bytes are held now.
    ///
    /// Without a note an empty message is the end, and anything behind the end is dropped: some old
    /// peers say it twice.
    pub(crate) fn push(
        &mut self,
        payload: Bytes,
        note: Option<&Note<'_>>,
    ) -> Result<bool, CallError> {
        if self.ended || self.error.is_some() {
            return Ok(false);
        }
        let is_empty = payload.is_empty();
        if let Some(note) = note {
            self.check_place(note)?;
        }
        self.received += payload.len() as u64;
        if self.granted.is_some_and(|granted| self.received > granted) {
            return Err(CallError::new(
                ErrorClass::Overloaded,
                "the other host sent more than it had credit for",
            ));
        }
        let is_held = !is_empty && !self.discarding;
        if is_held {
            self.held += payload.len();
            self.parts.push_back(payload);
        }
        self.ended = note.map_or(is_empty, |note| note.end);
        if let (true, Some(size)) = (self.ended, note.and_then(|note| note.size))
            && size != self.received
        {
            self.ended = false;
            return Err(lost());
        }
        Ok(is_held)
    }

    fn check_place(&self, note: &Note<'_>) -> Result<(), CallError> {
        if note.at == self.received {
            return Ok(());
        }
        Err(lost())
    }

    /// Takes the next piece, or the error that stands in its place.
    pub(crate) fn pop(&mut self) -> Result<Option<Bytes>, CallError> {
        if let Some(error) = &self.error {
            self.told = true;
            return Err(error.clone());
        }
        let Some(bytes) = self.parts.pop_front() else {
            self.told |= self.ended;
            return Ok(None);
        };
        self.held -= bytes.len();
        self.taken += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Bounds what the sender may send before its first credit.
    pub(crate) fn open_window(&mut self, window: u64) {
        self.granted.get_or_insert(window);
    }

    /// Returns the credit to tell the sender, once half of its window was read.
    pub(crate) fn grant(&mut self, window: u64) -> Option<u64> {
        if self.ended {
            return None;
        }
        let next = self.taken + window;
        let granted = self.granted.unwrap_or(window);
        if next < granted + window / 2 {
            return None;
        }
        self.granted = Some(next);
        Some(next)
    }

    /// Puts an error in place of what is still to come.
    pub(crate) fn fail(&mut self, error: CallError) {
        if !self.ended {
            self.error.get_or_insert(error);
        }
    }

    /// Drops what is held and what is to come. Returns what the held pieces were charged.
    pub(crate) fn discard(&mut self) -> usize {
        let freed = self.held + self.parts.len() * MESSAGE_OVERHEAD_BYTES;
        self.parts.clear();
        self.held = 0;
        self.discarding = true;
        freed
    }

    /// Returns everything that has arrived as one value, and keeps it.
    pub(crate) fn joined(&mut self) -> Bytes {
        if self.parts.len() != 1 {
            let all = join(self.parts.make_contiguous());
            self.parts.clear();
            self.parts.push_back(all);
        }
        self.parts[0].clone()
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Returns whether nobody will read more of it: it ended, failed, or is not wanted.
    pub(crate) fn is_over(&self) -> bool {
        self.ended || self.discarding || self.error.is_some()
    }

    /// Notes that somebody reads it.
    pub(crate) fn claim(&mut self) {
        self.claimed = true;
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed
    }

    /// Returns whether nothing more of it can come, and nobody waits for it.
    pub(crate) fn is_spent(&self) -> bool {
        (self.told || self.discarding) && (self.ended || self.error.is_some())
    }

    pub(crate) fn wait(&mut self, cx: &Context<'_>) {
        self.waker = Some(cx.waker().clone());
    }

    pub(crate) fn has_waiter(&self) -> bool {
        self.waker.is_some()
    }

    pub(crate) fn take_waker(&mut self) -> Option<Waker> {
        mem::take(&mut self.waker)
    }
}

fn lost() -> CallError {
    CallError::unavailable("a part of a message was lost on the way")
}
