//! The lines of the table about calls between processes, over NATS.

use super::rows::{Peer, Row, Unit};

/// The most that one call may take, as a multiple of a plain request of the same size.
const PLAIN_RATIO_MAX: f64 = 1.2;
/// The least of calls with 64 in flight, as a multiple of what published wRPC makes.
const UPSTREAM_RATIO_MIN: f64 = 2.0;

/// One measure of calls in three ways: a plain request, published wRPC, Trellis.
macro_rules! three_ways {
    ($measure:literal, $text:literal, $unit:expr, $size:literal, $against:expr) => {
        [
            Row::lattice(
                "calls",
                concat!("plain-", $measure, "-", $size),
                concat!("remote ", $size, ", ", $text, ": NATS"),
                $unit,
            ),
            Row::lattice(
                "calls",
                concat!("upstream-", $measure, "-", $size),
                concat!("remote ", $size, ", ", $text, ": published wRPC"),
                $unit,
            ),
            Row::lattice(
                "calls",
                concat!("trellis-", $measure, "-", $size),
                concat!("remote ", $size, ", ", $text, ": Trellis"),
                $unit,
            )
            .against($against),
        ]
    };
}

/// All measures of calls with values of one size; a value is as large on its way there as back.
macro_rules! calls {
    ($size:literal) => {
        [
            three_ways!(
                "p50",
                "p50",
                Unit::Microseconds,
                $size,
                &[
                    Peer::to(concat!("plain-p50-", $size)).bar(PLAIN_RATIO_MAX),
                    Peer::to(concat!("upstream-p50-", $size)),
                ]
            ),
            three_ways!(
                "p99",
                "p99",
                Unit::Microseconds,
                $size,
                &[
                    Peer::to(concat!("plain-p99-", $size)),
                    Peer::to(concat!("upstream-p99-", $size)),
                ]
            ),
            three_ways!(
                "rate",
                "1 in flight",
                Unit::PerSecond,
                $size,
                &[
                    Peer::to(concat!("plain-rate-", $size)),
                    Peer::to(concat!("upstream-rate-", $size)),
                ]
            ),
            three_ways!(
                "rate64",
                "64 in flight",
                Unit::PerSecond,
                $size,
                &[
                    Peer::to(concat!("plain-rate64-", $size)),
                    Peer::to(concat!("upstream-rate64-", $size)).bar(UPSTREAM_RATIO_MIN),
                ]
            ),
        ]
    };
}

/// Calls between two processes that hold nothing but a transport.
pub(super) static CALLS: [[[Row; 3]; 4]; 4] = [
    calls!("nop"),
    calls!("1KiB"),
    calls!("64KiB"),
    calls!("1MiB"),
];

/// One call from a component to one on another host, beside a plain request of the same size.
macro_rules! between_hosts {
    ($size:literal) => {
        [
            Row::lattice(
                "hosts",
                concat!("hosts-p50-", $size),
                concat!("guest to guest, two hosts: ", $size, ", p50"),
                Unit::Microseconds,
            )
            .against(&[
                Peer::to(concat!("plain-p50-", $size)),
                Peer::to(concat!("trellis-p50-", $size)),
            ]),
            Row::lattice(
                "hosts",
                concat!("hosts-p99-", $size),
                concat!("guest to guest, two hosts: ", $size, ", p99"),
                Unit::Microseconds,
            ),
        ]
    };
}

/// Calls between components of two hosts.
pub(super) static HOSTS: [[Row; 2]; 4] = [
    between_hosts!("nop"),
    between_hosts!("1KiB"),
    between_hosts!("64KiB"),
    between_hosts!("1MiB"),
];
