//! One open call, seen from one end: what has arrived and waits for its reader, and what the other
//! end allows us to send. Knows no NATS connection; it says what to publish, others do.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_nats::Subject;
use bytes::{Bytes, BytesMut};
use trellis_core::ErrorClass;

use crate::call_error::CallError;
use crate::config::{CHANNELS_PER_CALL_MAX, MESSAGE_OVERHEAD_BYTES, WINDOW_BYTES_DEFAULT};
use crate::extension::Note;
use crate::inbound::Inbound;
use crate::peers::Peer;
use crate::subject::IndexPath;

/// Which end of the call we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Callee,
}

impl Side {
    /// Returns the word in the subjects of what this end receives.
    pub(crate) fn receives(self) -> &'static str {
        match self {
            Self::Caller => "results",
            Self::Callee => "params",
        }
    }

    /// Returns the word in the subjects of what this end sends.
    pub(crate) fn sends(self) -> &'static str {
        match self {
            Self::Caller => "params",
            Self::Callee => "results",
        }
    }
}

/// What the other end understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Legacy,
    Extended,
}

/// Where to send to, once the other end is known.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    /// The per-call subject of the other end.
    pub(crate) control: Subject,
    pub(crate) dialect: Dialect,
    /// The host at the other end, where it is one of ours.
    pub(crate) peer: Option<Arc<Peer>>,
    /// Bytes that we may send on each channel before there is credit.
    pub(crate) window: u64,
}

/// The bounds of one call.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) value_bytes_max: usize,
    pub(crate) call_buffered_bytes_max: usize,
    pub(crate) buffered_bytes_max: usize,
    pub(crate) window_bytes: u64,
    /// What waits in all calls of the transport.
    pub(crate) buffered_in_all: Arc<AtomicUsize>,
}

/// One end of an open call.
pub(crate) struct CallState {
    pub(crate) side: Side,
    begun: Instant,
    pub(crate) deadline: Instant,
    /// A callee of 1.x waits for the end of the parameters although they are all in the first
    /// message: there were none, or streams follow.
    pub(crate) tells_params_end: bool,
    /// Whoever gets the call says at once that it took it; nobody else can get it.
    pub(crate) is_soon_taken: bool,
    /// The caller has said that streams follow its parameters.
    pub(crate) expects_streams: bool,
    bounds: Bounds,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    dialect: Option<Dialect>,
    accepted: Option<Accepted>,
    accept_wakers: Vec<Waker>,
    failure: Option<CallError>,
    failure_waker: Option<Waker>,
    /// The parameters or the result themselves.
    root: Inbound,
    channels: Vec<(IndexPath, Inbound)>,
    outbound: Vec<(IndexPath, Outbound)>,
    /// The readers of these went away: nobody will read what is inside of them, but what was claimed.
    stopped: VecDeque<IndexPath>,
    /// The other end reads none of our channels any more.
    all_stopped: bool,
    /// The other end has ended the call.
    is_over: bool,
    charged: usize,
}

/// What the reader of one of our channels has told us.
#[derive(Default)]
struct Outbound {
    /// We write to it.
    opened: bool,
    /// Its reader has said that it is there.
    claimed: bool,
    credit: u64,
    stopped: bool,
    ended: bool,
    waker: Option<Waker>,
}

/// What has arrived of a value.
pub(crate) struct Value {
    pub(crate) bytes: Bytes,
    /// Nothing follows these bytes.
    pub(crate) is_whole: bool,
}

/// What was read from a channel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The next bytes; nothing at the end.
    pub(crate) bytes: Option<Bytes>,
    /// The credit that the sender should be given for it.
    pub(crate) credit: Option<u64>,
}

/// A message of a channel, as it arrived.
pub(crate) struct Piece<'a> {
    pub(crate) payload: Bytes,
    pub(crate) note: Option<Note<'a>>,
    /// The error that the note announces.
    pub(crate) error: Option<CallError>,
}

impl Outbound {
    fn is_open(&self) -> bool {
        self.opened && !self.ended && !self.stopped
    }
}

impl CallState {
    pub(crate) fn new(side: Side, deadline: Instant, bounds: Bounds) -> Self {
        Self {
            side,
            begun: Instant::now(),
            deadline,
            tells_params_end: false,
            is_soon_taken: false,
            expects_streams: false,
            bounds,
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What arrives.

    /// Takes a message on the subject of the value itself (`None`) or of one of its channels.
    pub(crate) fn receive(&self, path: Option<&str>, piece: Piece<'_>) {
        let mut wakers = Vec::new();
        let mut inner = self.lock();
        if inner.failure.is_some() {
            return;
        }
        if let Err(error) = self.store(&mut inner, path, piece, &mut wakers) {
            inner.fail(error, &mut wakers);
        }
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn store(
        &self,
        inner: &mut Inner,
        path: Option<&str>,
        piece: Piece<'_>,
        wakers: &mut Vec<Waker>,
    ) -> Result<(), CallError> {
        let spoken = match piece.note {
            Some(_) => Dialect::Extended,
            None => Dialect::Legacy,
        };
        if *inner.dialect.get_or_insert(spoken) == Dialect::Extended && piece.note.is_none() {
            return Err(CallError::unavailable(
                "the other host sent data without saying where it belongs",
            ));
        }
        let extended = inner.dialect == Some(Dialect::Extended);
        let note = piece.note.filter(|_| extended);
        let charge = piece.payload.len() + MESSAGE_OVERHEAD_BYTES;
        let Some(path) = path else {
            if let Some(error) = piece.error {
                inner.is_over = true;
                return Err(error);
            }
            let added = inner.root.push(piece.payload, note.as_ref())?;
            wakers.extend(inner.root.take_waker());
            if inner.root.held() > self.bounds.value_bytes_max {
                return Err(CallError::new(
                    ErrorClass::Overloaded,
                    format!(
                        "the value is larger than {} bytes",
                        self.bounds.value_bytes_max
                    ),
                ));
            }
            return self.charge(inner, if added { charge } else { 0 });
        };
        let Some(path) = IndexPath::from_wire(path) else {
            return Ok(()); // no type has such a path: nobody waits for it
        };
        let channel = inner.channel(&path)?;
        if extended && note.as_ref().is_some_and(|note| note.at == 0) {
            channel.open_window(self.bounds.window_bytes);
        }
        let outcome = match piece.error {
            Some(error) => {
                channel.fail(error);
                Ok(false)
            }
            None => channel.push(piece.payload, note.as_ref()),
        };
        wakers.extend(channel.take_waker());
        match outcome {
            Ok(added) => self.charge(inner, if added { charge } else { 0 }),
            Err(error) => {
                channel.fail(error); // a hole in one stream is the failure of that stream
                Ok(())
            }
        }
    }

    fn charge(&self, inner: &mut Inner, bytes: usize) -> Result<(), CallError> {
        inner.charged += bytes;
        let all = self.bounds.buffered_in_all.fetch_add(bytes, Relaxed) + bytes;
        let waiting: usize = inner
            .channels
            .iter()
            .map(|(_, channel)| channel.held())
            .sum();
        let call_max = self.bounds.call_buffered_bytes_max;
        if waiting > call_max {
            return Err(CallError::new(
                ErrorClass::Overloaded,
                format!("more than {call_max} bytes waited for the reader of a stream"),
            ));
        }
        if all > self.bounds.buffered_bytes_max {
            return Err(CallError::new(
                ErrorClass::Overloaded,
                format!(
                    "more than {} bytes of all calls waited for their readers",
                    self.bounds.buffered_bytes_max
                ),
            ));
        }
        Ok(())
    }

    fn discharge(&self, inner: &mut Inner, bytes: usize) {
        let bytes = bytes.min(inner.charged);
        inner.charged -= bytes;
        self.bounds.buffered_in_all.fetch_sub(bytes, Relaxed);
    }

    /// Notes that the other end took the call.
    pub(crate) fn accept(&self, accepted: Accepted) {
        let mut inner = self.lock();
        if inner.accepted.is_some() {
            return;
        }
        inner.dialect.get_or_insert(accepted.dialect);
        inner.accepted = Some(accepted);
        let wakers = mem::take(&mut inner.accept_wakers);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Notes what the reader of one of our channels allows, or that it went away. Without a path
    /// it is for all of them.
    pub(crate) fn allow(&self, note: &Note<'_>) {
        let path = note.path.and_then(IndexPath::from_wire);
        if note.path.is_some() != path.is_some() {
            return;
        }
        let mut inner = self.lock();
        // One that is not open yet is opened: the reader may be ahead of our writer.
        if let Some(path) = &path
            && inner.outbound(path).is_err()
        {
            return;
        }
        let mut wakers = Vec::new();
        for (known, outbound) in &mut inner.outbound {
            if path.as_ref().is_none_or(|path| path == known) {
                outbound.credit = outbound.credit.max(note.credit.unwrap_or(0));
                outbound.claimed |= note.credit.is_some();
                outbound.stopped |= note.stop;
                wakers.extend(outbound.waker.take());
            }
        }
        if let (true, Some(path)) = (note.stop, path.clone()) {
            inner.stop_inside(path, &mut wakers);
        }
        inner.all_stopped |= note.stop && path.is_none();
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends the call with an error, for everyone who waits for a part of it.
    pub(crate) fn fail(&self, error: CallError) {
        let mut wakers = Vec::new();
        let mut inner = self.lock();
        inner.fail(error, &mut wakers);
        let charged = inner.charged;
        self.discharge(&mut inner, charged);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends the call because its caller ended it.
    pub(crate) fn cancel(&self) {
        self.lock().is_over = true;
        self.fail(CallError::new(
            ErrorClass::Cancelled,
            "the caller went away",
        ));
    }

    /// Ends the call if a break of our connection may have lost a part of it.
    pub(crate) fn fail_interrupted(&self) {
        let inner = self.lock();
        let may_miss = match self.side {
            Side::Caller => true,
            // Parameters that nobody waits for are complete; the answer goes out afterwards.
            Side::Callee => inner.is_waited_for(),
        };
        drop(inner);
        if may_miss {
            self.fail(CallError::unavailable(
                "the connection to NATS broke during the call",
            ));
        }
    }

    // What is asked.

    /// Waits for the other end to take the call.
    pub(crate) fn poll_accepted(&self, cx: &mut Context<'_>) -> Poll<Result<Accepted, CallError>> {
        let mut inner = self.lock();
        if let Some(error) = &inner.failure {
            return Poll::Ready(Err(error.clone()));
        }
        if let Some(accepted) = &inner.accepted {
            return Poll::Ready(Ok(accepted.clone()));
        }
        if !inner
            .accept_wakers
            .iter()
            .any(|it| it.will_wake(cx.waker()))
        {
            inner.accept_wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Names the host at the other end of a call that we took.
    pub(crate) fn set_peer(&self, peer: Option<Arc<Peer>>) {
        if let Some(accepted) = &mut self.lock().accepted {
            accepted.peer = peer;
        }
    }

    /// Returns when the call counts as lost on the way, or with the host that it came to: nothing at
    /// all was heard of it for `silence_max`. Nothing, where it cannot be lost any more, or where silence
    /// tells nothing.
    pub(crate) fn lost_at(&self, silence_max: Duration) -> Option<Instant> {
        if !self.is_soon_taken {
            return None;
        }
        let inner = self.lock();
        let is_open = self.side == Side::Caller && inner.failure.is_none();
        let is_unheard = inner.accepted.is_none() && inner.dialect.is_none();
        (is_open && is_unheard).then(|| self.begun + silence_max)
    }

    /// Returns the other end, if it is known.
    pub(crate) fn accepted(&self) -> Option<Accepted> {
        self.lock().accepted.clone()
    }

    /// Waits for the whole value.
    pub(crate) fn poll_value(&self, cx: &mut Context<'_>) -> Poll<Result<Bytes, CallError>> {
        self.poll_more(cx, usize::MAX).map_ok(|value| value.bytes)
    }

    /// Waits until at least `wanted` bytes of the value are here, or all of it.
    pub(crate) fn poll_more(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<Value, CallError>> {
        let mut inner = self.lock();
        let is_whole = inner.root.is_ended();
        if let (false, Some(error)) = (is_whole, &inner.failure) {
            return Poll::Ready(Err(error.clone()));
        }
        if is_whole || inner.root.held() >= wanted {
            let bytes = inner.root.joined();
            return Poll::Ready(Ok(Value { bytes, is_whole }));
        }
        inner.root.wait(cx);
        Poll::Pending
    }

    /// Returns whether all of the value is here.
    pub(crate) fn value_is_complete(&self) -> bool {
        self.lock().root.is_ended()
    }

    /// Takes the next bytes of a channel.
    pub(crate) fn poll_channel(
        &self,
        cx: &mut Context<'_>,
        path: &IndexPath,
    ) -> Poll<Result<Taken, CallError>> {
        let mut inner = self.lock();
        let failure = inner.failure.clone();
        let extended = inner.dialect == Some(Dialect::Extended);
        let channel = inner.channel(path)?;
        // A channel that is complete is read to its end, whatever becomes of the call.
        if let Some(error) = failure
            && !channel.is_ended()
        {
            return Poll::Ready(Err(error));
        }
        let Some(bytes) = channel.pop()? else {
            if channel.is_ended() {
                return Poll::Ready(Ok(Taken::default()));
            }
            channel.wait(cx);
            return Poll::Pending;
        };
        let window = self.bounds.window_bytes;
        let credit = extended.then(|| channel.grant(window)).flatten();
        self.discharge(&mut inner, bytes.len() + MESSAGE_OVERHEAD_BYTES);
        Poll::Ready(Ok(Taken {
            bytes: Some(bytes),
            credit,
        }))
    }

    /// Throws away what a channel holds and will receive, and what nobody reads inside of it. Returns whether its sender should know.
    pub(crate) fn stop_channel(&self, path: &IndexPath) -> bool {
        let mut inner = self.lock();
        let Ok(channel) = inner.channel(path) else {
            return false;
        };
        let was_ended = channel.is_ended();
        let mut freed = channel.discard();
        for (inside, channel) in &mut inner.channels {
            if inside.is_inside(path) && !channel.is_claimed() {
                freed += channel.discard();
            }
        }
        self.discharge(&mut inner, freed);
        !was_ended && inner.failure.is_none()
    }

    /// Waits until something may be sent on a channel after `sent` bytes. Returns how much.
    pub(crate) fn poll_credit(
        &self,
        cx: &mut Context<'_>,
        path: &IndexPath,
        sent: u64,
    ) -> Poll<Result<u64, CallError>> {
        let mut inner = self.lock();
        if let Some(error) = &inner.failure {
            return Poll::Ready(Err(error.clone()));
        }
        let window = match &inner.accepted {
            Some(accepted) if accepted.dialect == Dialect::Extended => accepted.window,
            _ => u64::MAX,
        };
        let all_stopped = inner.all_stopped;
        let outbound = match inner.outbound(path) {
            Ok(outbound) => outbound,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if outbound.stopped || all_stopped {
            return Poll::Ready(Err(reader_gone()));
        }
        let allowed = window.max(outbound.credit).saturating_sub(sent);
        if allowed == 0 {
            outbound.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(allowed))
    }

    /// Waits until nobody reads a channel of ours any more.
    pub(crate) fn poll_stopped(&self, cx: &mut Context<'_>, path: &IndexPath) -> Poll<CallError> {
        let mut inner = self.lock();
        if let Some(error) = &inner.failure {
            return Poll::Ready(error.clone());
        }
        let all_stopped = inner.all_stopped;
        match inner.outbound(path) {
            Ok(outbound) if !(outbound.stopped || all_stopped) => {
                outbound.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Ok(_) => Poll::Ready(reader_gone()),
            Err(error) => Poll::Ready(error),
        }
    }

    /// Notes that somebody reads a channel that is inside of another.
    pub(crate) fn claim_channel(&self, path: &IndexPath) {
        if let Ok(channel) = self.lock().channel(path) {
            channel.claim();
        }
    }

    /// Returns what a sender may send on a channel before it is given more.
    pub(crate) fn window_bytes(&self) -> u64 {
        self.bounds.window_bytes
    }

    /// Notes that we write to this channel, so that the call is not finished before it.
    pub(crate) fn open_outbound(&self, path: &IndexPath) -> Result<(), CallError> {
        let mut inner = self.lock();
        let is_stopped = inner.stopped.iter().any(|outer| path.is_inside(outer));
        let outbound = inner.outbound(path)?;
        outbound.opened = true;
        outbound.stopped |= is_stopped && !outbound.claimed;
        Ok(())
    }

    /// Notes that we have sent the last of this channel.
    pub(crate) fn end_outbound(&self, path: &IndexPath) {
        if let Ok(outbound) = self.lock().outbound(path) {
            outbound.ended = true;
        }
    }

    /// Waits for the failure of the call.
    pub(crate) fn poll_failure(&self, cx: &mut Context<'_>) -> Poll<CallError> {
        let mut inner = self.lock();
        if let Some(error) = &inner.failure {
            return Poll::Ready(error.clone());
        }
        inner.failure_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Returns why the call failed, if it did.
    pub(crate) fn failure(&self) -> Option<CallError> {
        self.lock().failure.clone()
    }

    /// Returns whether nothing more is to come or to be sent.
    pub(crate) fn is_finished(&self) -> bool {
        let inner = self.lock();
        let none_came = self.expects_streams && inner.channels.is_empty();
        let received = !none_came && inner.channels.iter().all(|(_, it)| it.is_over());
        let sent = !inner.outbound.iter().any(|(_, it)| it.is_open());
        inner.is_over || (inner.root.is_ended() && received && sent)
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<Self> {
        Arc::new(tests::state(Side::Caller))
    }
}

impl Drop for CallState {
    fn drop(&mut self) {
        let charged = self.lock().charged;
        self.bounds.buffered_in_all.fetch_sub(charged, Relaxed);
    }
}

impl Inner {
    fn channel(&mut self, path: &IndexPath) -> Result<&mut Inbound, CallError> {
        let position = place(&mut self.channels, path, Inbound::is_spent)?;
        Ok(&mut self.channels[position].1)
    }

    fn outbound(&mut self, path: &IndexPath) -> Result<&mut Outbound, CallError> {
        let position = place(&mut self.outbound, path, |it| it.ended || !it.opened)?;
        Ok(&mut self.outbound[position].1)
    }

    /// Stops what is inside of the channel at `path`, but what its reader has claimed before.
    fn stop_inside(&mut self, path: IndexPath, wakers: &mut Vec<Waker>) {
        for (inside, outbound) in &mut self.outbound {
            if inside.is_inside(&path) && !outbound.claimed {
                outbound.stopped = true;
                wakers.extend(outbound.waker.take());
            }
        }
        if self.stopped.len() >= CHANNELS_PER_CALL_MAX {
            self.stopped.pop_front();
        }
        self.stopped.push_back(path);
    }

    fn is_waited_for(&self) -> bool {
        let reading = self.channels.iter().any(|(_, channel)| !channel.is_over());
        let writing = self.outbound.iter().any(|(_, it)| it.is_open());
        self.root.has_waiter() || reading || writing
    }

    fn fail(&mut self, error: CallError, wakers: &mut Vec<Waker>) {
        if self.failure.is_some() {
            return;
        }
        self.failure = Some(error);
        wakers.extend(self.root.take_waker());
        wakers.append(&mut self.accept_wakers);
        wakers.extend(self.failure_waker.take());
        for (_, channel) in &mut self.channels {
            wakers.extend(channel.take_waker());
            if !channel.is_ended() {
                channel.discard();
            }
        }
        wakers.extend(
            self.outbound
                .iter_mut()
                .filter_map(|(_, it)| it.waker.take()),
        );
    }
}

fn reader_gone() -> CallError {
    let text = "the reader of the stream went away";
    CallError::new(ErrorClass::Cancelled, text)
}

/// Finds the entry of `path`, or makes it. Those that are `spent` give way where there are too many: a
/// stream of streams has any number of them, one after the other.
fn place<T: Default>(
    entries: &mut Vec<(IndexPath, T)>,
    path: &IndexPath,
    spent: impl Fn(&T) -> bool,
) -> Result<usize, CallError> {
    if let Some(position) = entries.iter().position(|(known, _)| known == path) {
        return Ok(position);
    }
    if entries.len() >= CHANNELS_PER_CALL_MAX {
        entries.retain(|(_, entry)| !spent(entry));
    }
    if entries.len() >= CHANNELS_PER_CALL_MAX {
        return Err(CallError::new(
            ErrorClass::Overloaded,
            format!("the call has more than {CHANNELS_PER_CALL_MAX} streams at once"),
        ));
    }
    entries.push((path.clone(), T::default()));
    Ok(entries.len() - 1)
}

/// The window that a peer grants, as its note says.
pub(crate) fn window_of(note: &Note<'_>) -> u64 {
    note.window.unwrap_or(WINDOW_BYTES_DEFAULT)
}

/// Joins the pieces of a value; one piece is not copied.
pub(crate) fn join(parts: &[Bytes]) -> Bytes {
    if let [only] = parts {
        return only.clone();
    }
    let mut all = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| all.extend_from_slice(part));
    all.freeze()
}

#[cfg(test)]
#[path = "call_state_tests.rs"]
mod tests;
