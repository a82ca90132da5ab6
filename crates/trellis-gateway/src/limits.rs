//! Every bound of the gateway, by name, with its default and the reason for it.

use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: u64 = 1 << 20;

/// The slowest pace at which a peer may take or give bytes while we wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinimumRate {
    /// Bytes for each second of waiting.
    pub bytes_per_second: u64,
    /// Time of waiting after which the pace is judged; also the longest silence.
    pub window: Duration,
}

impl MinimumRate {
    /// Returns the bytes that must have moved in one window, at least 1.
    pub(crate) fn bytes_per_window(self) -> u64 {
        let millis = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX);
        (self.bytes_per_second.saturating_mul(millis) / 1_000).max(1)
    }
}

/// The bounds of one gateway. No queue, buffer or wait in it is without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Bytes of all header lines of one request or response; more is 431 (from a handler: 502).
    pub header_bytes_max: usize,
    /// Header lines of one request or response; more is 431 (from a handler: 502).
    pub headers_max: usize,
    /// Bytes of the request target; more is 414.
    pub uri_bytes_max: usize,
    /// Bytes of a request body; more is 413, as soon as it is announced or crossed.
    pub request_body_bytes_max: u64,
    /// Time from the first byte of a request to the end of its head, and from a connection's start
    /// to its first byte.
    pub header_read_timeout: Duration,
    /// Time a connection may rest between two requests.
    pub keep_alive_timeout: Duration,
    /// The pace a client must keep when it sends a body; below it the request ends with 408.
    pub request_body_rate: MinimumRate,
    /// The pace a client must keep when it takes a response; below it the connection is closed.
    pub response_rate: MinimumRate,
    /// Time an HTTP/2 stream may leave response bytes untaken. Closed between this and half as much
    /// again.
    pub response_stall_timeout: Duration,
    /// Connections open at once; one more is answered 503 and closed.
    pub connections_max: usize,
    /// Requests being handled at once; one more is answered 503 with `retry-after`.
    pub requests_in_flight_max: usize,
    /// What `retry-after` says when a refusal names no time. Rounded up to whole seconds.
    pub retry_after: Duration,
    /// Streams that one HTTP/2 connection may have open at once.
    pub http2_streams_max: u32,
    /// Streams a client may reset before we came to accept them; one more closes the connection
    /// (rapid reset).
    pub http2_resets_pending_max: usize,
    /// Streams we reset because of a client's errors; one more closes the connection.
    pub http2_resets_local_max: usize,
    /// Time between two pings that find out whether an HTTP/2 client is still there.
    pub http2_ping_interval: Duration,
    /// Time a client has to answer such a ping.
    pub http2_ping_timeout: Duration,
    /// Time for a client to read our last answer and close, before we close under it.
    pub linger_timeout: Duration,
    /// Time in which a drained connection at rest still gets an answer, with `connection: close`.
    pub drain_idle_grace: Duration,
    /// Time for the requests in flight to finish once drain began.
    pub drain_deadline: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        let rate = MinimumRate {
            // A modem did more; a slow-read attack does less.
            bytes_per_second: KIB as u64,
            window: Duration::from_secs(10),
        };
        Self {
            // Four times what nginx allows in total by default for one line: room for fat cookies.
            header_bytes_max: 32 * KIB,
            headers_max: 100,
            uri_bytes_max: 8 * KIB,
            request_body_bytes_max: 10 * MIB,
            header_read_timeout: Duration::from_secs(10),
            // Longer than the 60 s of the usual load balancers, so that they close first and never
            // send a request into a connection we are closing.
            keep_alive_timeout: Duration::from_secs(75),
            request_body_rate: rate,
            response_rate: rate,
            response_stall_timeout: Duration::from_secs(30),
            // About 20 KiB each while at rest: 160 MiB if somebody opens them all.
            connections_max: 8_192,
            // A component queue holds 1,024 calls; this is the bound over all applications.
            requests_in_flight_max: 4_096,
            retry_after: Duration::from_secs(1),
            http2_streams_max: 128,
            http2_resets_pending_max: 20,
            http2_resets_local_max: 256,
            http2_ping_interval: Duration::from_secs(30),
            http2_ping_timeout: Duration::from_secs(20),
            linger_timeout: Duration::from_secs(1),
            // An idle host must be gone within a second; most clients at rest with traffic send
            // their next request within this time.
            drain_idle_grace: Duration::from_millis(300),
            drain_deadline: Duration::from_secs(30),
        }
    }
}

/// Connections the kernel completes for us while we are busy; more wait for a repeated SYN.
pub(crate) const LISTEN_BACKLOG: i32 = 1_024;

/// Pause of the accept loop when the process or the machine is out of descriptors or memory. Ten
/// tries a second cost nothing and find a freed descriptor soon.
pub(crate) const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Connections above `connections_max` that are being told so; more are closed without a word.
pub(crate) const CONNECTIONS_REFUSED_MAX: usize = 64;

/// Bytes thrown away from a client that keeps sending after our last answer.
pub(crate) const LINGER_BYTES_MAX: usize = 16 << 20;

/// What one HTTP/1 connection may buffer of a request head beyond headers and target: method,
/// version, spaces and line ends.
pub(crate) const REQUEST_LINE_SLACK: usize = 64;

/// The most of a response body handed to an HTTP/2 connection in one piece. A larger piece would
/// hide the progress of a slow client from the stall watch; it is the frame size of the protocol's
/// default anyway.
pub(crate) const HTTP2_PIECE_BYTES_MAX: usize = 16 << 10;

/// Time for the tasks of HTTP/2 streams to notice that their connection was aborted.
pub(crate) const ABORT_TIMEOUT: Duration = Duration::from_secs(1);
