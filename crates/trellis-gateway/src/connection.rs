//! One connection from its first byte to its last: protocol, admission, drain.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::gateway::{Server, Stage};
use crate::http2_watch::Http2Watch;
use crate::limits::GatewayLimits;
use crate::service::Service;
use crate::stall::LazyTimer;
use crate::transport::{Sniffed, Transport};

/// What an HTTP/2 client with prior knowledge sends first.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the parties of one connection share: its socket, its requests, and the gateway.
pub(crate) struct Connection {
    server: Arc<Server>,
    number: u64,
    peer: SocketAddr,
    peer_is_trusted: bool,
    /// Requests admitted and not yet answered to the end.
    busy: AtomicU32,
    /// HTTP/1: no byte of a request has come that is not complete.
    resting: AtomicBool,
    /// A request has come since somebody last looked.
    used: AtomicBool,
    waker: AtomicWaker,
}

impl Connection {
    pub(crate) fn new(server: Arc<Server>, number: u64, peer: SocketAddr) -> Self {
        Self {
            peer_is_trusted: server.trusts(peer.ip()),
            server,
            number,
            peer,
            busy: AtomicU32::new(0),
            resting: AtomicBool::new(true),
            used: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn limits(&self) -> &GatewayLimits {
        self.server.limits()
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn peer_is_trusted(&self) -> bool {
        self.peer_is_trusted
    }

    /// Tells whether a request is being answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Notes whether every byte so far belongs to a complete request.
    pub(crate) fn set_resting(&self, resting: bool) {
        self.resting.store(resting, Ordering::Relaxed);
    }

    /// Notes that a request has come.
    pub(crate) fn set_used(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    fn take_used(&self) -> bool {
        self.used.load(Ordering::Relaxed) && self.used.swap(false, Ordering::Relaxed)
    }

    /// Tells whether answers should be the last of their connection.
    pub(crate) fn is_draining(&self) -> bool {
        self.server.stage() >= Stage::Draining
    }

    /// Makes the connection look at the stage of the gateway.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Admits one more request, unless the gateway is full.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Admission> {
        if !self.server.enter() {
            return None;
        }
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.set_used();
        Some(Admission {
            connection: Arc::clone(self),
        })
    }
}

/// The right of one request to be handled; given back when its answer is handed to the socket.
pub(crate) struct Admission {
    connection: Arc<Connection>,
}

impl Admission {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.connection.busy.fetch_sub(1, Ordering::Relaxed);
        self.connection.server.leave();
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(mut stream: TcpStream, connection: Arc<Connection>) {
    let patience = connection.limits().header_read_timeout;
    let Ok(Ok(Some((sniffed, is_http2)))) =
        timeout(patience, sniff(&mut stream, &connection)).await
    else {
        tracing::debug!(peer = %connection.peer, "connection closed before its first request");
        return;
    };
    let transport = Transport::new(stream, Arc::clone(&connection), sniffed, !is_http2);
    let ended = if is_http2 {
        serve_http2(transport, &connection).await
    } else {
        serve_http1(transport, &connection).await
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %connection.peer, %error, "connection ended early");
    }
}

/// Reads the first bytes, until they tell HTTP/2 from HTTP/1. `None` when there is nobody to serve.
async fn sniff(
    stream: &mut TcpStream,
    connection: &Connection,
) -> io::Result<Option<(Sniffed, bool)>> {
    let mut sniffed = Sniffed::default();
    loop {
        let read = poll_fn(|cx| {
            connection.waker.register(cx.waker());
            if connection.server.stage() >= Stage::Closing {
                return Poll::Ready(Ok(0));
            }
            let mut buf = ReadBuf::new(&mut sniffed.bytes[sniffed.end..]);
            let polled = Pin::new(&mut *stream).poll_read(cx, &mut buf);
            polled.map_ok(|()| buf.filled().len())
        });
        let bytes = read.await?;
        if bytes == 0 {
            return Ok(None);
        }
        sniffed.end += bytes;
        if sniffed.bytes[..sniffed.end] != HTTP2_PREFACE[..sniffed.end] {
            return Ok(Some((sniffed, false)));
        }
        if sniffed.end == HTTP2_PREFACE.len() {
            return Ok(Some((sniffed, true)));
        }
    }
}

async fn serve_http1(transport: Transport, connection: &Arc<Connection>) -> hyper::Result<()> {
    let service = Service::new(Arc::clone(connection), None);
    let builder = connection.server.http1();
    let mut serving = pin!(builder.serve_connection(TokioIo::new(transport), service));
    let mut rest = RestClock::new(connection.limits());
    let mut closing = false;
    poll_fn(|cx| {
        connection.waker.register(cx.waker());
        let polled = serving.as_mut().poll(cx);
        if polled.is_ready() || closing {
            return polled;
        }
        let is_over = connection.server.stage() >= Stage::Closing;
        if !is_over && rest.poll_over(cx, connection).is_pending() {
            return Poll::Pending;
        }
        // A request that came in time was read by the poll above; what rests now may close.
        closing = true;
        serving.as_mut().graceful_shutdown();
        serving.as_mut().poll(cx)
    })
    .await
}

/// Times how long an HTTP/1 connection has rested: no request in flight, none on its way.
struct RestClock {
    since: Option<Instant>,
    patience: Duration,
    timer: LazyTimer,
}

impl RestClock {
    /// Gives the first request as long as its head would get.
    fn new(limits: &GatewayLimits) -> Self {
        let patience = limits.header_read_timeout;
        Self {
            since: None,
            patience,
            timer: LazyTimer::default(),
        }
    }

    /// Is ready when the connection has rested for too long.
    fn poll_over(&mut self, cx: &mut Context<'_>, connection: &Connection) -> Poll<()> {
        // Only a whole request begins the rest anew: empty lines between requests do not.
        if connection.take_used() {
            self.patience = connection.limits().keep_alive_timeout;
            self.since = None;
        }
        if connection.is_busy() {
            self.since = None;
            return Poll::Pending;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        ready!(self.timer.poll_until(cx, since + self.patience));
        // Inside a request the transport keeps the time; it wakes us when there is news.
        if connection.resting.load(Ordering::Relaxed) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

async fn serve_http2(transport: Transport, connection: &Arc<Connection>) -> hyper::Result<()> {
    let watch = Arc::new(Http2Watch::default());
    let service = Service::new(Arc::clone(connection), Some(Arc::clone(&watch)));
    let builder = http2_builder(&connection.server);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(transport), service));
    let mut clock = Http2Clock::new(connection.limits());
    let mut closing = false;
    poll_fn(|cx| {
        connection.waker.register(cx.waker());
        let polled = serving.as_mut().poll(cx);
        if polled.is_ready() {
            return polled;
        }
        match clock.poll(cx, connection, &watch) {
            Poll::Ready(Overdue::Stalled) => return Poll::Ready(Ok(())),
            Poll::Ready(Overdue::Idle) if closing => return Poll::Ready(Ok(())),
            Poll::Ready(Overdue::Idle) => {}
            Poll::Pending if closing || !connection.is_draining() => return Poll::Pending,
            Poll::Pending => {}
        }
        // GOAWAY names the last request we take, so that nothing on its way is lost.
        closing = true;
        serving.as_mut().graceful_shutdown();
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

fn http2_builder(server: &Server) -> http2::Builder<StreamExecutor> {
    let limits = server.limits();
    let mut builder = http2::Builder::new(StreamExecutor(server.streams().clone()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams_max)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.http2_resets_pending_max)
        .max_local_error_reset_streams(limits.http2_resets_local_max)
        .keep_alive_interval(limits.http2_ping_interval)
        .keep_alive_timeout(limits.http2_ping_timeout);
    builder
}

/// Runs each HTTP/2 stream as a task that the gateway waits for.
#[derive(Clone)]
struct StreamExecutor(TaskTracker);

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// What an HTTP/2 connection waited for too long.
enum Overdue {
    /// A request.
    Idle,
    /// The client, to take a response.
    Stalled,
}

/// The timers of one HTTP/2 connection.
struct Http2Clock {
    active_at: Instant,
    patience: Duration,
    idle: LazyTimer,
    epoch_ends: Instant,
    epoch: LazyTimer,
}

impl Http2Clock {
    fn new(limits: &GatewayLimits) -> Self {
        let now = Instant::now();
        let epoch_ends = now + limits.response_stall_timeout / 2;
        Self {
            active_at: now,
            patience: limits.header_read_timeout,
            idle: LazyTimer::default(),
            epoch_ends,
            epoch: LazyTimer::default(),
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        watch: &Http2Watch,
    ) -> Poll<Overdue> {
        let limits = connection.limits();
        while self.epoch.poll_until(cx, self.epoch_ends).is_ready() {
            if watch.advance_finds_stall() {
                return Poll::Ready(Overdue::Stalled);
            }
            self.epoch_ends = Instant::now() + limits.response_stall_timeout / 2;
        }
        if connection.take_used() {
            self.patience = limits.keep_alive_timeout;
            self.active_at = Instant::now();
        }
        if connection.is_busy() {
            self.active_at = Instant::now();
        }
        match self.idle.poll_until(cx, self.active_at + self.patience) {
            Poll::Ready(()) => {
                // What is left of the connection gets as long again.
                self.active_at = Instant::now();
                Poll::Ready(Overdue::Idle)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The whole answer to a connection above the limit.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\nx-trellis-error: overloaded\r\nretry-after: 1\r\n\
    content-length: 50\r\nconnection: close\r\n\r\n\
    overloaded: too many connections at once on host\r\n";

/// Tells a client that there are too many connections, and closes.
pub(crate) async fn refuse(mut stream: TcpStream, patience: Duration) {
    let mut room = [0; 1_024];
    let talk = async {
        // Room in the socket's own buffer is all this needs; a client that has none hears nothing.
        if stream.try_write(TOO_MANY_CONNECTIONS).is_err() {
            return;
        }
        let _ = poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await;
        loop {
            let mut buf = ReadBuf::new(&mut room);
            let read = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buf)).await;
            if read.is_err() || buf.filled().is_empty() {
                return;
            }
        }
    };
    let _ = timeout(patience, talk).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_of_a_connection_has_its_length_right() {
        let text = std::str::from_utf8(TOO_MANY_CONNECTIONS).expect("text");
        let (_, body) = text.split_once("\r\n\r\n").expect("a body");
        assert!(text.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
