//! What clients may cost. The defaults are those of nats-server where it has one.

use std::time::Duration;

use crate::protocol::parser::ParserLimits;

/// Connections that wait to be accepted; the value of nats-server's runtime on Linux.
pub(crate) const LISTEN_BACKLOG: i32 = 4_096;

/// How long to rest when the system has no more descriptors.
pub(crate) const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Connections that are being told that there are too many; more are closed without a word.
pub(crate) const REFUSALS_MAX: usize = 64;

/// How long a client that is cut off has to take what it was sent last, and to hang up.
pub(crate) const LINGER: Duration = Duration::from_millis(500);

/// How long clients have to take what is left for them when the broker stops.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What is read at once at first. Most clients send a few short lines at a time.
pub(crate) const READ_BYTES_MIN: usize = 4 * 1_024;

/// What is read at once from a client that fills its buffer; beyond it a larger buffer saves nothing.
pub(crate) const READ_BYTES_MAX: usize = 64 * 1_024;

/// A payload of this size or more is shared with its receivers, a smaller one is copied: writing
/// it together with its neighbours then costs less than the copy.
pub(crate) const SHARED_BYTES_MIN: usize = 16 * 1_024;

/// Pieces given to the system in one write; `IOV_MAX` is 1,024 on Linux, and the gain ends early.
pub(crate) const WRITE_PIECES_MAX: usize = 64;

/// Receivers that a publisher's task writes to itself. It saves waking their tasks, which counts for
/// a request and its reply; a larger fan-out is faster on all cores.
pub(crate) const DIRECT_WRITES_MAX: usize = 4;

/// Writes in a row by the task of a publisher, before the receiver's own task goes on.
pub(crate) const DIRECT_ROUNDS_MAX: usize = 4;

/// Messages in one piece of input up to which the publisher's task writes them to their receivers
/// itself. With more there is a stream, which gains more from larger writes than from early ones.
pub(crate) const DIRECT_MESSAGES_MAX: usize = 2;

/// The part of its bound that may wait for a client before its publishers are held back: a quarter.
pub(crate) const LAG_DIVISOR: usize = 4;

/// How long a publisher is held back at a time. nats-server holds back as long, whoever lags.
pub(crate) const HOLD_BACK_MAX: Duration = Duration::from_millis(10);

/// A client that took nothing for so long is not lagging but stuck, and nobody is held back for it.
pub(crate) const STUCK_AFTER: Duration = Duration::from_millis(100);

/// Subjects whose receivers a connection remembers: 1.x hosts use some dozens.
pub(crate) const ROUTES_CACHED_MAX: usize = 4_096;

/// Tokens of a subject. The longest of the lattice has eleven; the bound keeps the walk shallow.
pub(crate) const SUBJECT_TOKENS_MAX: usize = 128;

/// Reply subjects that a user may answer because it was asked, as in nats-server.
pub(crate) const REPLIES_MAX: usize = 4_096;

/// What clients may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub clients_max: usize,
    /// Subscriptions of one client.
    pub subscriptions_per_client_max: usize,
    /// Bytes that wait to be read by one client. With one more it is cut off.
    pub pending_bytes_max: usize,
    /// How long a client may take to read what was waiting when it began to lag.
    pub write_deadline: Duration,
    /// Headers and payload of one message, in bytes.
    pub payload_bytes_max: usize,
    /// The arguments of one line, in bytes.
    pub control_line_bytes_max: usize,
    /// How long a client may take to show its credentials.
    pub authentication_timeout: Duration,
    /// How long a client may be silent before it is asked whether it is there.
    pub ping_interval: Duration,
    /// After how many such intervals of silence in a row it is cut off.
    pub pings_missed_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients_max: 1_024, // A host has tens: providers, tools, a dashboard.
            subscriptions_per_client_max: 65_536, // 1,000 components with 60 exports each.
            pending_bytes_max: 64 * 1_024 * 1_024,
            write_deadline: Duration::from_secs(10),
            payload_bytes_max: 1_024 * 1_024,
            control_line_bytes_max: 4 * 1_024,
            authentication_timeout: Duration::from_secs(2),
            // Three times five seconds: the budget for a peer that died without a word.
            ping_interval: Duration::from_secs(5),
            pings_missed_max: 3,
        }
    }
}

impl Limits {
    pub(crate) fn parser(&self) -> ParserLimits {
        ParserLimits {
            control_line_bytes_max: self.control_line_bytes_max,
            payload_bytes_max: self.payload_bytes_max,
        }
    }
}
