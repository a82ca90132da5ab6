//! The streams and futures of a call: bytes in one direction, read or written while the call goes on.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_nats::Subject;
use bytes::Bytes;

use crate::call_error::CallError;
use crate::call_state::Dialect;
use crate::extension::Note;
use crate::open_call::OpenCall;
use crate::subject::IndexPath;
use crate::transport::message;

/// Reads one stream or future. Dropping it tells a sender of ours to stop.
pub struct ChannelReader {
    call: Arc<OpenCall>,
    path: IndexPath,
    is_over: bool,
}

impl ChannelReader {
    pub(crate) fn new(call: Arc<OpenCall>, path: IndexPath) -> Self {
        Self {
            call,
            path,
            is_over: false,
        }
    }

    /// Tells a sender of ours that this channel has its reader, which stays when the reader of the stream
    /// goes away that it is inside of. Those that were not claimed are stopped with that one.
    pub fn claim(&self) {
        self.call.accept();
        self.call.state.claim_channel(&self.path);
        self.tell(Note {
            credit: Some(self.call.state.window_bytes()),
            ..Note::default()
        });
    }

    /// Waits for the next bytes. They are cut anywhere. Nothing means that the channel is complete.
    ///
    /// # Errors
    /// Whatever keeps the channel from being complete: a lost part, a sender that failed or is gone,
    /// a reader that was too slow for a sender of 1.x, the deadline of the call. A sender of 1.x that
    /// fails looks complete; the end mark inside a stream tells, which the decoder checks.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let call = self.call.clone();
        call.within(poll_fn(|cx| self.poll_next(cx))).await
    }

    /// Does what [`next`](Self::next) does, for callers that poll. The deadline is kept to half a
    /// second.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CallError>> {
        if self.is_over {
            return Poll::Ready(Ok(None));
        }
        self.call.accept();
        let taken = ready!(self.call.state.poll_channel(cx, &self.path));
        self.is_over = !matches!(&taken, Ok(taken) if taken.bytes.is_some());
        let taken = taken?;
        if taken.credit.is_some() {
            self.tell(Note {
                credit: taken.credit,
                ..Note::default()
            });
        }
        Poll::Ready(Ok(taken.bytes))
    }

    fn tell(&self, note: Note<'_>) {
        let Some(other) = self.call.state.accepted() else {
            return;
        };
        if other.dialect == Dialect::Extended {
            let note = Note {
                path: Some(self.path.as_str()),
                ..note
            };
            let told = message(other.control, None, Some(note.headers()), Bytes::new());
            self.call.shared.publish_now(told);
        }
    }
}

impl Drop for ChannelReader {
    fn drop(&mut self) {
        if !self.is_over && self.call.state.stop_channel(&self.path) {
            self.tell(Note {
                stop: true,
                ..Note::default()
            });
        }
    }
}

/// Opens the streams and futures that one end of a call writes, also those that are found while others
/// are written. Cheap to clone.
#[derive(Clone)]
pub struct ChannelWriters(Arc<OpenCall>);

impl ChannelWriters {
    pub(crate) fn new(call: Arc<OpenCall>) -> Self {
        Self(call)
    }

    /// Writes the stream or future at this path.
    ///
    /// # Errors
    /// Overloaded, when the call has too many streams at once.
    pub fn open(&self, path: IndexPath) -> Result<ChannelWriter, CallError> {
        ChannelWriter::new(self.0.clone(), path)
    }
}

/// Writes one stream or future. Must be finished: dropping it tells the reader that the rest is
/// missing.
pub struct ChannelWriter {
    call: Arc<OpenCall>,
    path: IndexPath,
    subject: Option<(Subject, Dialect)>,
    sent: u64,
    is_over: bool,
}

impl ChannelWriter {
    pub(crate) fn new(call: Arc<OpenCall>, path: IndexPath) -> Result<Self, CallError> {
        call.state.open_outbound(&path)?;
        Ok(Self {
            call,
            path,
            subject: None,
            sent: 0,
            is_over: false,
        })
    }

    /// Sends bytes, waiting while the reader has given no credit for them.
    ///
    /// A reader of 1.x gives no credit; what it is sent is held back only by our own connection.
    ///
    /// # Errors
    /// Cancelled when the reader went away; whatever else ends the call.
    ///
    /// # Cancel safety
    /// Not safe: some of the bytes may have been sent.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), CallError> {
        while !bytes.is_empty() {
            let (subject, dialect) = self.destination().await?;
            let (call, path, sent) = (self.call.clone(), &self.path, self.sent);
            let credit = poll_fn(|cx| call.state.poll_credit(cx, path, sent));
            let credit = call.within(credit).await?;
            let length = bytes.len().min(call.shared.piece_bytes(dialect));
            let piece = bytes.split_to(length.min(usize::try_from(credit).unwrap_or(usize::MAX)));
            let length = piece.len();
            let headers = (dialect == Dialect::Extended).then(|| self.note(false).headers());
            let send = call.shared.publish(message(subject, None, headers, piece));
            call.within(send).await?;
            self.sent += length as u64;
            if dialect == Dialect::Legacy {
                let total = usize::try_from(self.sent).unwrap_or(usize::MAX);
                call.within(call.shared.flush_every(total, length)).await?;
            }
        }
        Ok(())
    }

    /// Waits until nobody reads the channel any more, for writers that have nothing to send yet: its
    /// reader went away, or the call ended. A reader of 1.x does not tell when it goes away.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn stopped(&mut self) -> CallError {
        poll_fn(|cx| self.call.state.poll_stopped(cx, &self.path)).await
    }

    /// Says that the channel is complete.
    ///
    /// # Errors
    /// Whatever ended the call before.
    pub async fn finish(mut self) -> Result<(), CallError> {
        let (subject, dialect) = self.destination().await?;
        let headers = (dialect == Dialect::Extended).then(|| self.note(true).headers());
        let call = self.call.clone();
        let end = call
            .shared
            .publish(message(subject, None, headers, Bytes::new()));
        call.within(end).await?;
        self.is_over = true;
        call.state.end_outbound(&self.path);
        Ok(())
    }

    /// Says that the channel stays incomplete, and why. A reader of 1.x only sees its end.
    pub fn fail(mut self, error: &CallError) {
        self.break_off(error);
    }

    async fn destination(&mut self) -> Result<(Subject, Dialect), CallError> {
        if let Some(known) = &self.subject {
            return Ok(known.clone());
        }
        let other = self.call.other_end().await?;
        let known = (self.subject_at(&other.control), other.dialect);
        Ok(self.subject.insert(known).clone())
    }

    fn subject_at(&self, control: &Subject) -> Subject {
        let word = self.call.state.side.sends();
        format!("{control}.{word}.{}", self.path).into()
    }

    fn note(&self, end: bool) -> Note<'static> {
        Note {
            at: self.sent,
            size: end.then_some(self.sent),
            end,
            ..Note::default()
        }
    }

    fn break_off(&mut self, error: &CallError) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        if let Some(other) = self.call.state.accepted() {
            let subject = self.subject_at(&other.control);
            let headers =
                (other.dialect == Dialect::Extended).then(|| self.note(false).error_headers(error));
            self.call
                .shared
                .publish_now(message(subject, None, headers, Bytes::new()));
        }
        self.call.state.end_outbound(&self.path);
    }
}

impl Drop for ChannelWriter {
    fn drop(&mut self) {
        let state = &self.call.state;
        let error = state.failure().unwrap_or_else(|| {
            // Whoever reads beside us may have noticed the end of the call's time before the call did.
            if state.deadline <= Instant::now() {
                return CallError::deadline();
            }
            CallError::unavailable("the sender of the stream went away before its end")
        });
        self.break_off(&error);
    }
}
