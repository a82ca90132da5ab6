//! One turn of the machine: the time, what is allowed in it, and where its effects go.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use trellis_control::{Answer, Claims, CtlResponse, ErrorCode, Event, Failure, HostId, encode};
use trellis_core::ComponentId;

use crate::effect::Effect;
use crate::input::{ReplyTo, Serial};
use crate::mode::{Mode, Permits};
use crate::time::Millis;

/// The mode and the place, to make the words of a refusal only where they are needed.
#[derive(Clone)]
pub(crate) struct Refusal {
    pub(crate) mode: Mode,
    pub(crate) place: Arc<str>,
    pub(crate) now: Millis,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mode.refusal(&self.place, self.now))
    }
}

/// What the parts of the machine need of each other while one input is handled.
pub(crate) struct Turn<'a> {
    pub(crate) now: Millis,
    pub(crate) host_id: HostId,
    pub(crate) permits: Permits,
    /// Whether events reach anybody, and may: connected, and `host_started` was told.
    pub(crate) audible: bool,
    pub(crate) last_serial: u64,
    /// Why what is not permitted is not.
    pub(crate) refusal: Refusal,
    /// What was started: each needs a spec in the lattice state.
    pub(crate) specs_wanted: Vec<(ComponentId, String)>,
    /// Claims of what was started.
    pub(crate) claims_wanted: Vec<Claims>,
    effects: &'a mut Vec<Effect>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(
        host_id: HostId,
        refusal: Refusal,
        permits: Permits,
        last_serial: u64,
        effects: &'a mut Vec<Effect>,
    ) -> Self {
        Self {
            now: refusal.now,
            host_id,
            permits,
            audible: false,
            last_serial,
            refusal,
            specs_wanted: Vec::new(),
            claims_wanted: Vec::new(),
            effects,
        }
    }

    pub(crate) fn next_serial(&mut self) -> Serial {
        self.last_serial += 1;
        Serial(self.last_serial)
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Publishes `event` if anybody can hear it. Who missed it learns the same from the heartbeat
    /// that follows each connection.
    pub(crate) fn publish(&mut self, event: Event) {
        if self.audible {
            self.push(Effect::Publish(event));
        }
    }

    /// Replies with a success without data.
    pub(crate) fn done(&mut self, reply: Option<ReplyTo>, message: &str) {
        self.reply(reply, || encode(&CtlResponse::done(message)));
    }

    /// Replies with a failure in the envelope of 1.x.
    pub(crate) fn refuse(&mut self, reply: Option<ReplyTo>, message: &str) {
        self.reply(reply, || encode(&CtlResponse::<()>::failure(message)));
    }

    /// Replies with a failure in the envelope of our own subjects.
    pub(crate) fn refuse_ours(&mut self, reply: Option<ReplyTo>, code: ErrorCode, message: &str) {
        let message = message.to_owned();
        self.reply(reply, || {
            encode(&Answer::<()>::Error(Failure { code, message }))
        });
    }

    /// Replies with what `payload` makes, if somebody waits for it.
    pub(crate) fn reply(&mut self, reply: Option<ReplyTo>, payload: impl FnOnce() -> Bytes) {
        if let Some(to) = reply {
            let payload = payload();
            self.push(Effect::Reply { to, payload });
        }
    }
}
