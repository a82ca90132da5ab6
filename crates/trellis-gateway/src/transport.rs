//! The socket of one connection, with everything that must happen at the level of bytes: HTTP/1
//! framing is checked, waits are timed, and the last answer is given time to arrive.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::framing::{Framing, Verdict};
use crate::limits::LINGER_BYTES_MAX;
use crate::stall::{LazyTimer, StallMeter};

/// Reads thrown away before other connections get their turn.
const DISCARDS_PER_TURN: usize = 16;

/// The longest answer that is copied together for one plain write: below this a copy costs less than
/// what the kernel does for a vector of buffers.
const GATHERED_BYTES_MAX: usize = 2_048;

/// Room that is enough for most heads with a short body: cheap to make ready for each answer.
const GATHERED_BYTES_USUAL: usize = 512;

/// Ends a head that was made unparsable, so that the parser looks at it.
const END_OF_BAD_HEAD: &[u8] = b"\r\n\r\n";

/// Ends a head whose target was cut, so that it parses and is answered for its long target.
const END_OF_LONG_TARGET: &[u8] = b" HTTP/1.1\r\nhost: cut\r\nconnection: close\r\n\r\n";

/// What happens to the bytes that come in.
enum Inflow {
    /// They are read.
    Open,
    /// The connection is at its end: they are thrown away.
    Discarded,
    /// The body is malformed: reading fails.
    Failed,
}

/// The first bytes of a connection, read to tell HTTP/2 from HTTP/1.
#[derive(Default)]
pub(crate) struct Sniffed {
    pub(crate) bytes: [u8; 24],
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The socket of one connection as the HTTP parser sees it.
pub(crate) struct Transport {
    stream: TcpStream,
    connection: Arc<Connection>,
    sniffed: Sniffed,
    /// HTTP/1 only.
    framing: Option<Framing>,
    inflow: Inflow,
    injected: &'static [u8],
    /// Since when the head that is not complete has been coming.
    head_since: Option<Instant>,
    read_timer: LazyTimer,
    write_meter: StallMeter,
    linger_since: Option<Instant>,
    discarded: usize,
}

impl Transport {
    pub(crate) fn new(
        stream: TcpStream,
        connection: Arc<Connection>,
        sniffed: Sniffed,
        is_http1: bool,
    ) -> Self {
        let limits = connection.limits();
        let framing = is_http1.then(|| Framing::new(limits.uri_bytes_max));
        let write_meter = StallMeter::new(limits.response_rate);
        Self {
            stream,
            connection,
            sniffed,
            framing,
            inflow: Inflow::Open,
            injected: &[],
            head_since: None,
            read_timer: LazyTimer::default(),
            write_meter,
            linger_since: None,
            discarded: 0,
        }
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let ahead = &self.sniffed.bytes[self.sniffed.start..self.sniffed.end];
        if ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let bytes = ahead.len().min(buf.remaining());
        buf.put_slice(&ahead[..bytes]);
        self.sniffed.start += bytes;
        Poll::Ready(Ok(()))
    }

    /// Checks the framing of what was read beyond `before`, and cuts it where it goes wrong.
    fn check(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> io::Result<()> {
        let Some(framing) = &mut self.framing else {
            return Ok(());
        };
        let heads = framing.heads();
        let verdict = framing.scan(&buf.filled()[before..]);
        self.connection.set_resting(framing.is_between_messages());
        if framing.heads() != heads {
            self.head_since = None;
            self.connection.set_used();
        }
        match verdict {
            Verdict::Pass => {}
            Verdict::BadHead(at) => {
                // A NUL is in no method, target, version, header name or header value.
                buf.filled_mut()[before + at] = 0;
                buf.set_filled(before + at + 1);
                self.end_inflow(END_OF_BAD_HEAD, buf);
            }
            Verdict::LongTarget(at) => {
                buf.set_filled(before + at);
                self.end_inflow(END_OF_LONG_TARGET, buf);
            }
            Verdict::BadBody(at) => {
                buf.set_filled(before + at);
                self.inflow = Inflow::Failed;
                if at == 0 {
                    return Err(malformed_body());
                }
            }
        }
        Ok(())
    }

    fn end_inflow(&mut self, injected: &'static [u8], buf: &mut ReadBuf<'_>) {
        self.inflow = Inflow::Discarded;
        self.injected = injected;
        self.inject(buf);
    }

    fn inject(&mut self, buf: &mut ReadBuf<'_>) {
        let (now, later) = self
            .injected
            .split_at(self.injected.len().min(buf.remaining()));
        buf.put_slice(now);
        self.injected = later;
    }

    /// Throws away what comes; is ready when nothing more does.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = [0; 4_096];
        for _ in 0..DISCARDS_PER_TURN {
            let mut buf = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            self.discarded += buf.filled().len();
            if buf.filled().is_empty() || self.discarded > LINGER_BYTES_MAX {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Is ready when a head has been coming for too long. Bodies are timed by those who read them,
    /// the rest between requests by the connection.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.framing.as_ref().is_some_and(Framing::is_in_head) {
            return Poll::Pending;
        }
        let since = *self.head_since.get_or_insert_with(Instant::now);
        let patience = self.connection.limits().header_read_timeout;
        ready!(self.read_timer.poll_until(cx, since + patience));
        Poll::Ready(io::Error::new(
            io::ErrorKind::TimedOut,
            "the request head did not come in time",
        ))
    }

    /// Gives the client time to read the last answer: closing with unread bytes would reset the
    /// connection, and the reset may overtake the answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let unread = match (&self.inflow, &self.framing) {
            (_, None) => false,
            (Inflow::Open, Some(framing)) => !framing.is_between_messages(),
            _ => true,
        };
        if !unread {
            return Poll::Ready(());
        }
        let since = *self.linger_since.get_or_insert_with(Instant::now);
        if self.poll_discard(cx).is_ready() {
            return Poll::Ready(());
        }
        let patience: Duration = self.connection.limits().linger_timeout;
        self.read_timer.poll_until(cx, since + patience)
    }

    /// Judges the pace of a client that takes a response.
    fn pace<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match &written {
            Poll::Ready(Ok(it)) => self.write_meter.moved(bytes(it)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                ready!(self.write_meter.poll_stalled(cx));
                let text = "the client took the response too slowly";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
        }
        written
    }
}

/// Copies `slices` together into `room`, which is large enough.
fn gather<'a>(slices: &[io::IoSlice<'_>], room: &'a mut [u8]) -> &'a [u8] {
    let mut end = 0;
    for slice in slices {
        room[end..end + slice.len()].copy_from_slice(slice);
        end += slice.len();
    }
    &room[..end]
}

fn malformed_body() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the request body is malformed")
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match this.inflow {
            Inflow::Open => {}
            Inflow::Failed => return Poll::Ready(Err(malformed_body())),
            Inflow::Discarded if !this.injected.is_empty() => {
                this.inject(buf);
                return Poll::Ready(Ok(()));
            }
            Inflow::Discarded => return this.poll_discard(cx),
        }
        let before = buf.filled().len();
        match this.poll_socket(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                Poll::Ready(this.check(buf, before))
            }
            Poll::Pending => this.poll_overdue(cx).map(Err),
            ended => ended,
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.pace(cx, written, |bytes| *bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        let written = if bytes <= GATHERED_BYTES_USUAL {
            let mut room = [0; GATHERED_BYTES_USUAL];
            stream.poll_write(cx, gather(slices, &mut room))
        } else if bytes <= GATHERED_BYTES_MAX {
            let mut room = [0; GATHERED_BYTES_MAX];
            stream.poll_write(cx, gather(slices, &mut room))
        } else {
            stream.poll_write_vectored(cx, slices)
        };
        self.pace(cx, written, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger_since.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        self.poll_linger(cx).map(Ok)
    }
}
