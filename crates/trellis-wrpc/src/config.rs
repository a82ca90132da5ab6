//! The bounds of a transport, each with its reasoning.

use std::time::Duration;

use trellis_core::WIRE_BYTES_MAX;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What a [`Transport`](crate::Transport) may spend, and who it says it is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The id of this host. Peers name it to [`peer_gone`](crate::Transport::peer_gone).
    pub host_id: String,
    /// Bytes of the parameters or of the result of one call, streams not included.
    pub value_bytes_max: usize,
    /// Bytes of all streams of one call that wait for their readers.
    pub call_buffered_bytes_max: usize,
    /// Bytes of all calls of the transport that wait for their readers.
    pub buffered_bytes_max: usize,
    /// Bytes that a peer of ours may send on one stream before its reader takes some.
    pub window_bytes: usize,
    /// Bytes of one message, headers included; the server's own limit holds where it is lower.
    pub message_bytes_max: usize,
    /// How often hosts with open calls between them tell each other that they live.
    pub beat_interval: Duration,
    /// Silence of a host after which the calls open between us and it fail; also how long a call that only
    /// hosts of ours can get may go without any of them saying that it took it.
    pub peer_silence_max: Duration,
}

impl Config {
    /// Makes the configuration of the host with this id, with default bounds.
    pub fn new(host_id: impl Into<String>) -> Self {
        Self {
            host_id: host_id.into(),
            value_bytes_max: WIRE_BYTES_MAX,
            // A peer of 1.x knows no flow control. 16 MiB is what a local sender can write in the
            // 10 ms that a busy reader may need; a slower reader loses its call, not the others.
            call_buffered_bytes_max: 16 * MIB,
            // A quarter of the memory of the smallest host we name (1 GiB).
            buffered_bytes_max: 256 * MIB,
            // A round trip of 0.5 ms at 500 MB/s.
            window_bytes: 256 * KIB,
            // The default limit of a NATS server. A leaf node may be set lower than our server and
            // would cut the connection.
            message_bytes_max: MIB,
            // Twice in a second: a killed host, whose connection is closed, is noticed with the next one
            // and the one that follows to make sure, within 750 ms.
            beat_interval: Duration::from_millis(500),
            // Three in a row may be missed: a machine that lost its power is noticed before the 2 s
            // that tools of 1.x wait, and a pause of 1 s is not taken for a death.
            peer_silence_max: Duration::from_millis(1_500),
        }
    }
}

/// What a [`Server`](crate::Server) may spend.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Calls that run at once.
    pub calls_running_max: usize,
    /// Calls that wait for their turn; one more is refused as overloaded.
    pub calls_queued_max: usize,
    /// Time of a call whose caller names none, as callers of 1.x do.
    pub deadline_default: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            // Components have an admission of their own; this bounds what is decoded at once.
            calls_running_max: 1_024,
            // One second of work at 1,000 calls each second.
            calls_queued_max: 1_024,
            // The longest execution that a host of 1.x allows by default.
            deadline_default: Duration::from_secs(600),
        }
    }
}

/// Calls open at once on one transport, in both directions. A call costs about 500 bytes.
pub(crate) const CALLS_OPEN_MAX: usize = 65_536;

/// Streams and futures of one call, all index paths together.
pub(crate) const CHANNELS_PER_CALL_MAX: usize = 256;

/// The window of a peer that names none.
pub(crate) const WINDOW_BYTES_DEFAULT: u64 = 256 * KIB as u64;

/// What one waiting message costs beside its bytes.
pub(crate) const MESSAGE_OVERHEAD_BYTES: usize = 128;

/// A call of a 1.x peer is accepted on its own after this time, so that the peer can go on sending.
/// An answer that comes sooner travels with the acceptance.
pub(crate) const ACCEPT_LEGACY_AFTER: Duration = Duration::from_millis(1);

/// A call of our own is accepted on its own after this time, so that it can be cancelled and its
/// caller learns which host works on it. Most answers come sooner and save the message.
pub(crate) const ACCEPT_EXTENDED_AFTER: Duration = Duration::from_millis(50);

/// The longest deadline that is believed.
pub(crate) const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Bytes sent to a 1.x peer between two flushes: with no flow control, at least our own socket
/// holds us back.
pub(crate) const LEGACY_FLUSH_BYTES: usize = MIB;

/// Bytes kept free in each message for the header of the extension.
pub(crate) const NOTE_BYTES_MAX: usize = 192;

/// Bytes of the text of an error that travel.
pub(crate) const ERROR_TEXT_BYTES_MAX: usize = 512;
