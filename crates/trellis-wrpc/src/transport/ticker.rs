//! What a transport does as time passes: it beats, and it ends the calls that wait for nothing.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::MissedTickBehavior;

use super::{NAMELESS, Shared, message};
use crate::call_error::CallError;
use crate::peers::Peer;

/// How far apart, between two beats, looks for what is overdue are at least: so late may a call end
/// that nobody took, and so rarely are all open calls gone through.
const LOOKS_APART_MIN: Duration = Duration::from_millis(50);

impl Shared {
    pub(super) async fn tick_all(self: Arc<Self>) {
        let interval = self.config.beat_interval;
        let mut beats = tokio::time::interval(interval);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        let (mut overdue_at, mut ask_again_at) = (None, None);
        loop {
            tokio::select! {
                biased;
                _ = beats.tick() => {
                    let pause = mem::replace(&mut last, Instant::now()).elapsed();
                    overdue_at = self.tick(pause > interval * 2);
                }
                () = until(overdue_at) => overdue_at = self.end_overdue(),
                () = until(ask_again_at) => {
                    ask_again_at = None;
                    self.beat(&self.peers.missed());
                }
                () = self.unreached.notified() => {
                    ask_again_at.get_or_insert(Instant::now() + interval / 2);
                }
            }
        }
    }

    /// Beats and judges. Returns when to look again, if that is before the next beat.
    fn tick(self: &Arc<Self>, has_paused: bool) -> Option<Instant> {
        if self.is_disconnected() {
            self.interrupt();
        }
        self.note_reconnects();
        if has_paused {
            // After a pause of our own, silence says nothing of others.
            self.peers.refresh();
            self.end_late_calls();
            return None;
        }
        if !self.is_disconnected() {
            self.beat(&self.peers.in_use());
        }
        self.end_overdue()
    }

    fn beat(self: &Arc<Self>, peers: &[Arc<Peer>]) {
        for peer in peers {
            let payload = Bytes::copy_from_slice(self.inbox.as_bytes());
            let (beat, unreached) = (peer.beat.clone(), peer.unreached.clone());
            self.publish_now(message(beat, Some(unreached), None, payload));
        }
    }

    /// Ends what waited too long: for a host that fell silent, for one that takes the call, for the
    /// deadline. Returns when the next of them would have.
    fn end_overdue(&self) -> Option<Instant> {
        self.end_late_calls();
        let lost_at = self.end_lost_calls();
        let silent_at = self.end_silent_calls();
        let next = lost_at.into_iter().chain(silent_at).min()?;
        Some(next.max(Instant::now() + LOOKS_APART_MIN))
    }

    fn end_silent_calls(&self) -> Option<Instant> {
        if self.is_disconnected() {
            return None; // we cannot hear anyone
        }
        let (silent, next) = self.peers.sweep(self.config.peer_silence_max);
        for gone in silent {
            let host = gone.host().unwrap_or(NAMELESS);
            tracing::info!(host, "a host with open calls fell silent");
            let error =
                || CallError::unavailable(format!("host {host} fell silent")).of_lost_host(host);
            self.fail_calls_of(|peer| std::ptr::eq(peer, &*gone), error);
        }
        next
    }

    /// Ends calls that no host has taken, of those that only hosts of ours can get: each says so within
    /// milliseconds of getting one.
    fn end_lost_calls(&self) -> Option<Instant> {
        let (now, silence_max) = (Instant::now(), self.config.peer_silence_max);
        let mut next = None;
        for call in self.slots.all() {
            match call.lost_at(silence_max) {
                Some(at) if at <= now => {
                    let text = format!("no host took the call within {silence_max:?}");
                    call.fail(CallError::unavailable(text).of_somebody_lost());
                }
                Some(at) => next = Some(next.map_or(at, |next: Instant| next.min(at))),
                None => {}
            }
        }
        next
    }

    /// Ends calls past their deadline that nobody waits for at the moment: who waits keeps the time to
    /// the millisecond.
    fn end_late_calls(&self) {
        let now = Instant::now();
        for call in self.slots.all() {
            if call.deadline <= now {
                call.fail(CallError::deadline());
            }
        }
    }
}

/// Waits until this instant; for ever, when there is none.
async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
