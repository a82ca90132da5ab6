//! The connection of a client from its first byte to its last: reads, watches the time, ends.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, consume_budget};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use trellis_core::with_causes;

use super::Client;
use super::outbox::End;
use super::session::{Session, Violation};
use crate::broker::Shared;
use crate::limits::{LINGER, Limits, READ_BYTES_MAX, READ_BYTES_MIN};
use crate::nonce::random_text;
use crate::protocol::encode;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the client hung up")]
    Left,
    #[error("the broker stops")]
    Stopped,
    #[error("the connection is broken")]
    Broken,
    #[error("cannot read from the client")]
    Read(#[source] io::Error),
    #[error("the client did not read, and too many bytes were waiting for it")]
    TooMuch,
    #[error("the client did not read for too long")]
    TooSlow,
    #[error("the client did not show its credentials in time")]
    AuthenticationTimeout,
    #[error("the credentials of the client expired")]
    Expired,
    #[error("the client was silent for too long")]
    Stale,
    #[error(transparent)]
    Violation(#[from] Violation),
}

impl Cut {
    /// Returns what the client is told.
    fn text(&self) -> Option<&'static str> {
        match self {
            Self::AuthenticationTimeout => Some("Authentication Timeout"),
            Self::Expired => Some("User Authentication Expired"),
            Self::Stale => Some("Stale Connection"),
            Self::Violation(violation) => violation.text(),
            _ => None,
        }
    }

    /// What somebody did wrong is a warning; the end of a conversation is not.
    fn log(&self, client: &Client, peer: SocketAddr) {
        let (client, user) = (client.number, client.user_name());
        let reason = with_causes(self);
        match self {
            Self::Left | Self::Stopped | Self::Broken | Self::Read(_) => {
                tracing::debug!(client, user, %peer, reason, "client left");
            }
            _ => tracing::warn!(client, user, %peer, reason, "client cut off"),
        }
    }
}

impl From<Option<End>> for Cut {
    fn from(end: Option<End>) -> Self {
        match end {
            Some(End::TooMuch) => Self::TooMuch,
            Some(End::TooSlow) => Self::TooSlow,
            Some(End::Broken | End::Closing) | None => Self::Broken,
        }
    }
}

/// Takes the client out of the table however its task ends.
struct Presence {
    client: Arc<Client>,
    shared: Arc<Shared>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.client.unsubscribe_all(&self.shared.subscriptions);
        self.client.outbox.forget();
    }
}

/// Serves one client until it leaves, is cut off, or `stop` is cancelled.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let Ok(nonce) = random_text() else {
        return tracing::error!(%peer, "cannot get random numbers, so nobody can come in");
    };
    let stream = Arc::new(stream);
    let number = shared.next_client_number();
    let client = Arc::new(Client::new(number, Arc::clone(&stream), &shared.limits));
    let presence = Presence {
        client: Arc::clone(&client),
        shared: Arc::clone(&shared),
    };
    let info = shared.info_line(number, peer, &nonce);
    let mut session = Session::new(Arc::clone(&shared), Arc::clone(&client), nonce);
    session.send(&info);
    session.flush();
    let mut writer = JoinSet::new();
    let (written, write_deadline) = (Arc::clone(&client), shared.limits.write_deadline);
    writer.spawn(async move { written.outbox.drain(write_deadline).await });

    let cut = tokio::select! {
        biased;
        () = client.outbox.closed().cancelled() => Cut::from(client.outbox.end()),
        () = stop.cancelled() => Cut::Stopped,
        cut = converse(&stream, &mut session, &shared.limits) => cut,
    };
    cut.log(&client, peer);
    client.unsubscribe_all(&shared.subscriptions);
    if let Some(text) = cut.text() {
        session.send_error(text);
    }
    session.flush();
    say_goodbye(&stream, &client, writer, cut.text().is_some()).await;
    drop(presence);
}

/// Reads and does what the client asks for. Returns why that ended.
async fn converse(stream: &TcpStream, session: &mut Session, limits: &Limits) -> Cut {
    let mut input = BytesMut::new();
    let mut size = READ_BYTES_MIN;
    let mut clock = Clock::new(limits);
    let mut timer = pin!(sleep_until(clock.start + limits.authentication_timeout));
    loop {
        make_room(&mut input, size, session);
        tokio::select! {
            biased;
            ready = stream.readable() => if let Err(error) = ready {
                return Cut::Read(error);
            },
            () = &mut timer => {
                if let Err(cut) = clock.tick(session, timer.as_mut()) {
                    return cut;
                }
                continue;
            }
        }
        match stream.try_read_buf(&mut input) {
            Ok(0) => return Cut::Left,
            Ok(read) => size = next_size(size, read),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Cut::Read(error),
        }
        clock.heard = Instant::now();
        let before = session.must_authenticate();
        let received = session.receive(&mut input);
        session.flush();
        if let Err(violation) = received {
            return violation.into();
        }
        if before && !session.must_authenticate() {
            clock.reset(session, timer.as_mut());
        }
        session.hold_back().await;
        consume_budget().await;
    }
}

/// The memory of a large message grows with what has come of it, not with what was announced.
fn make_room(input: &mut BytesMut, size: usize, session: &Session) {
    let missing = session.missing(input).min(input.len().max(READ_BYTES_MAX));
    let wanted = missing.max(size);
    if input.capacity() - input.len() < wanted.min(size / 2 + missing) {
        input.reserve(wanted);
    }
}

/// Reads more at once from a client that sends much, and less from one that does not.
fn next_size(size: usize, read: usize) -> usize {
    if read >= size {
        (size * 2).min(READ_BYTES_MAX)
    } else if read < size / 4 {
        (size / 2).max(READ_BYTES_MIN)
    } else {
        size
    }
}

/// When the client was last heard, and what that means.
struct Clock<'a> {
    limits: &'a Limits,
    start: Instant,
    heard: Instant,
    missed: u32,
}

impl<'a> Clock<'a> {
    fn new(limits: &'a Limits) -> Self {
        let now = Instant::now();
        Self {
            limits,
            start: now,
            heard: now,
            missed: 0,
        }
    }

    /// Asks a silent client whether it is there, and finds out who must go.
    fn tick(&mut self, session: &mut Session, timer: Pin<&mut Sleep>) -> Result<(), Cut> {
        if session.must_authenticate() {
            return Err(Cut::AuthenticationTimeout);
        }
        if session.expires().is_some_and(|it| it <= SystemTime::now()) {
            return Err(Cut::Expired);
        }
        let silent = self.heard.elapsed();
        if silent < self.limits.ping_interval {
            self.missed = 0;
        } else if silent >= self.limits.ping_interval * (self.missed + 1) {
            self.missed += 1;
            if self.missed >= self.limits.pings_missed_max {
                return Err(Cut::Stale);
            }
            session.send(encode::PING);
            session.flush();
        }
        self.reset(session, timer);
        Ok(())
    }

    /// Sets the timer to what comes next.
    fn reset(&self, session: &Session, timer: Pin<&mut Sleep>) {
        let silence = self.heard + self.limits.ping_interval * (self.missed + 1);
        let expiry = session.expires().map(|it| {
            let left = it.duration_since(SystemTime::now()).unwrap_or_default();
            Instant::now() + left.min(self.limits.ping_interval)
        });
        timer.reset(expiry.map_or(silence, |it| it.min(silence)));
    }
}

/// Writes what is left for the client and hangs up, in bounded time. A client that was told why it
/// is cut off may still be sending; hanging up on it at once would destroy what it was told.
async fn say_goodbye(stream: &TcpStream, client: &Client, mut writer: JoinSet<()>, told: bool) {
    client.outbox.close();
    let _ = timeout(LINGER, writer.join_next()).await; // Late or not, it ends here.
    writer.abort_all();
    let socket = SockRef::from(stream);
    if told && socket.shutdown(Shutdown::Write).is_ok() {
        let _ = timeout(LINGER, discard(stream)).await; // As above.
    }
    let _ = socket.shutdown(Shutdown::Both); // The client may be gone already.
}

/// Reads until the client hangs up.
async fn discard(stream: &TcpStream) {
    let mut input = vec![0; READ_BYTES_MAX];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut input) {
            Ok(0) => return,
            Ok(_) => consume_budget().await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_at_once_follows_the_client() {
        let mut size = READ_BYTES_MIN;
        for _ in 0..10 {
            size = next_size(size, size);
        }
        assert_eq!(size, READ_BYTES_MAX);
        for _ in 0..10 {
            size = next_size(size, 10);
        }
        assert_eq!(size, READ_BYTES_MIN);
    }
}
