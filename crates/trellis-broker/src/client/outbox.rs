//! What a client is to get and has not read: bounded, and written by whoever comes first.
//!
//! A publisher's task puts messages in and, at the end of what it has read, writes them itself. What
//! the socket does not take then is left to the task of the receiver. One of them writes at a time;
//! nobody holds the lock while writing or waiting.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::limits::{
    DIRECT_ROUNDS_MAX, HOLD_BACK_MAX, LAG_DIVISOR, SHARED_BYTES_MIN, STUCK_AFTER, WRITE_PIECES_MAX,
};
use crate::protocol::encode;

/// A buffer that grew beyond this is given back once it is written.
const TAIL_KEPT_MAX: usize = 256 * 1_024;

/// The bytes on their way to one client.
pub(super) struct Outbox {
    pending: Mutex<Pending>,
    /// Something is left for the receiver's task to write.
    left: Notify,
    /// The client has caught up.
    room: Notify,
    /// Nothing more is taken, and the connection must end.
    closed: CancellationToken,
    bytes_max: usize,
    /// With more bytes than this, the client lags.
    lag_bytes: usize,
}

#[derive(Default)]
struct Pending {
    /// Gone at the end: others may keep the client in their caches, but not its socket.
    stream: Option<Arc<TcpStream>>,
    pieces: VecDeque<Bytes>,
    /// What follows the pieces: small messages, one after the other.
    tail: BytesMut,
    /// Bytes that were put and not yet written, wherever they are.
    bytes: usize,
    /// When the socket took something last.
    progress: Option<Instant>,
    /// Somebody will write, or is writing, what is here.
    scheduled: bool,
    /// Somebody has taken pieces to write.
    writing: bool,
    /// What the socket did not take, to be written first.
    unfinished: Option<Batch>,
    end: Option<End>,
}

/// Why nothing more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The connection ends in order; what is here is still to be written.
    Closing,
    /// The client did not read fast enough, and too many bytes were waiting.
    TooMuch,
    /// The client did not read for too long.
    TooSlow,
    /// The connection is broken.
    Broken,
}

/// What came of putting something in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// Somebody else writes it.
    Taken,
    /// Somebody else writes it, and has much to write: see [`Outbox::catch_up`].
    Behind,
    /// The caller must see to it that it is written: [`Outbox::flush`] or [`Outbox::leave`].
    ToFlush,
    /// It was not taken: the connection ends.
    Refused,
}

/// What is to be written next, and where.
struct Batch {
    stream: Arc<TcpStream>,
    pieces: VecDeque<Bytes>,
}

impl Outbox {
    pub(super) fn new(stream: Arc<TcpStream>, bytes_max: usize) -> Self {
        let pending = Pending {
            stream: Some(stream),
            ..Pending::default()
        };
        Self {
            pending: Mutex::new(pending),
            left: Notify::new(),
            room: Notify::new(),
            closed: CancellationToken::new(),
            bytes_max,
            lag_bytes: bytes_max / LAG_DIVISOR,
        }
    }

    /// Cancelled once the connection must end.
    pub(super) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Returns why nothing more is taken.
    pub(super) fn end(&self) -> Option<End> {
        self.lock().end
    }

    /// Puts what `write` appends, about `length` bytes.
    pub(super) fn put(&self, length: usize, write: impl FnOnce(&mut BytesMut)) -> Put {
        self.put_with(length, |pending| pending.append(write))
    }

    /// Puts the head of a message, and its body with the line end behind it.
    pub(super) fn put_message(&self, head: &encode::Head<'_>, body: Body<'_>) -> Put {
        let length = head.length_max() + body.bytes.len() + encode::END.len();
        self.put_with(length, |pending| {
            pending.append(|tail| head.write(tail));
            if body.bytes.len() < SHARED_BYTES_MIN {
                pending.append(|tail| {
                    tail.put_slice(body.bytes);
                    tail.put_slice(encode::END);
                });
            } else {
                pending.push((body.shared)());
            }
        })
    }

    fn put_with(&self, length: usize, write: impl FnOnce(&mut Pending)) -> Put {
        let mut pending = self.lock();
        if pending.end.is_some() {
            return Put::Refused;
        }
        if pending.bytes + length > self.bytes_max {
            self.end_with(&mut pending, End::TooMuch);
            return Put::Refused;
        }
        write(&mut pending);
        match mem::replace(&mut pending.scheduled, true) {
            false => Put::ToFlush,
            true if pending.bytes > self.lag_bytes => Put::Behind,
            true => Put::Taken,
        }
    }

    /// Writes what the socket takes at once, and leaves the rest to the receiver's task.
    pub(super) fn flush(&self) {
        for _ in 0..DIRECT_ROUNDS_MAX {
            let Some(mut batch) = self.take() else {
                return;
            };
            match self.write(&mut batch) {
                Ok(()) => self.written(),
                Err(error) => return self.put_back(batch, &error),
            }
        }
        self.leave();
    }

    /// Leaves what is here to the receiver's task.
    pub(super) fn leave(&self) {
        self.left.notify_one();
    }

    /// Takes nothing more from now on, and ends the connection once the rest is written.
    pub(super) fn close(&self) {
        self.end_with(&mut self.lock(), End::Closing);
        self.leave();
    }

    /// Returns whether the client lags behind: it reads, but more slowly than others publish.
    fn lags(&self) -> bool {
        let pending = self.lock();
        pending.bytes > self.lag_bytes
            && pending.end.is_none()
            && pending
                .progress
                .is_some_and(|it| it.elapsed() < STUCK_AFTER)
    }

    /// Waits until the client has caught up, or [`HOLD_BACK_MAX`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub(super) async fn catch_up(&self) {
        let mut room = pin!(self.room.notified());
        room.as_mut().enable();
        if self.lags() {
            let _ = timeout(HOLD_BACK_MAX, room).await; // Caught up or not, the publisher goes on.
        }
    }

    /// Forgets what is left, and lets go of the socket.
    pub(super) fn forget(&self) {
        let mut pending = self.lock();
        self.end_with(&mut pending, End::Closing);
        let end = pending.end;
        *pending = Pending {
            end,
            ..Pending::default()
        };
    }

    /// Writes what others leave, until the connection ends. What was put before an orderly end is
    /// written; the caller bounds the time.
    ///
    /// # Cancel safety
    /// Dropped, it may have taken pieces that nobody writes any more.
    pub(super) async fn drain(&self, deadline: Duration) {
        loop {
            while let Some(batch) = self.take_left() {
                if let Err(end) = self.write_all(batch, deadline).await {
                    return self.end_with(&mut self.lock(), end);
                }
            }
            if self.is_done() {
                return;
            }
            self.left.notified().await;
        }
    }

    async fn write_all(&self, mut batch: Batch, deadline: Duration) -> Result<(), End> {
        let stream = Arc::clone(&batch.stream);
        let written = timeout(deadline, async {
            loop {
                stream.writable().await?;
                match self.write(&mut batch) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    written => return written,
                }
            }
        });
        match written.await {
            Ok(Ok(())) => {
                self.written();
                Ok(())
            }
            Ok(Err(_)) => Err(End::Broken),
            Err(_) => Err(End::TooSlow),
        }
    }

    /// Takes what is to be written next, unless somebody else is writing.
    fn take(&self) -> Option<Batch> {
        let mut pending = self.lock();
        if pending.writing || !matches!(pending.end, None | Some(End::Closing)) {
            return None;
        }
        pending.seal_tail();
        if pending.pieces.is_empty() {
            pending.scheduled = false;
            return None;
        }
        let stream = pending.stream.clone()?;
        pending.writing = true;
        let pieces = mem::take(&mut pending.pieces);
        Some(Batch { stream, pieces })
    }

    /// Takes what others left, or what is next.
    fn take_left(&self) -> Option<Batch> {
        let unfinished = self.lock().unfinished.take();
        unfinished.or_else(|| self.take())
    }

    fn is_done(&self) -> bool {
        let pending = self.lock();
        pending.end.is_some() && !pending.writing
    }

    fn written(&self) {
        let mut pending = self.lock();
        pending.writing = false;
        if pending.end.is_some() {
            self.leave();
        }
    }

    fn put_back(&self, batch: Batch, error: &io::Error) {
        let mut pending = self.lock();
        if error.kind() == io::ErrorKind::WouldBlock {
            pending.unfinished = Some(batch);
        } else {
            pending.writing = false;
            self.end_with(&mut pending, End::Broken);
        }
        drop(pending);
        self.leave();
    }

    /// Writes until the batch is empty or the socket takes no more.
    fn write(&self, batch: &mut Batch) -> io::Result<()> {
        while !batch.pieces.is_empty() {
            let mut written = batch.write_some()?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let mut pending = self.lock();
            let before = pending.bytes;
            pending.bytes = before.saturating_sub(written); // It may have been forgotten.
            pending.progress = Some(Instant::now());
            if before > self.lag_bytes && pending.bytes <= self.lag_bytes {
                self.room.notify_waiters();
            }
            drop(pending);
            while let Some(piece) = batch.pieces.front_mut() {
                if piece.len() > written {
                    piece.advance(written);
                    break;
                }
                written -= piece.len();
                batch.pieces.pop_front();
            }
        }
        Ok(())
    }

    fn end_with(&self, pending: &mut Pending, end: End) {
        pending.end.get_or_insert(end);
        self.closed.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a message, in two forms.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    /// The bytes, without the line end.
    pub(super) bytes: &'a [u8],
    /// Gives the bytes with the line end behind them, without a copy.
    pub(super) shared: &'a dyn Fn() -> Bytes,
}

impl Batch {
    fn write_some(&self) -> io::Result<usize> {
        if let (Some(only), 1) = (self.pieces.front(), self.pieces.len()) {
            return self.stream.try_write(only);
        }
        let mut slices = [IoSlice::new(&[]); WRITE_PIECES_MAX];
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        let count = self.pieces.len().min(WRITE_PIECES_MAX);
        self.stream.try_write_vectored(&slices[..count])
    }
}

impl Pending {
    fn append(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.tail.len();
        write(&mut self.tail);
        self.bytes += self.tail.len() - before;
    }

    fn push(&mut self, piece: Bytes) {
        self.seal_tail();
        self.bytes += piece.len();
        self.pieces.push_back(piece);
    }

    /// Makes the tail a piece.
    fn seal_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let sealed = if self.tail.capacity() > TAIL_KEPT_MAX {
            mem::take(&mut self.tail)
        } else {
            self.tail.split()
        };
        self.pieces.push_back(sealed.freeze());
    }
}

#[cfg(test)]
mod tests;
