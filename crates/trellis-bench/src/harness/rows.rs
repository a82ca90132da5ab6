//! The lines of the table: what is measured, against which peers, and what it must reach.

use std::collections::BTreeSet;

use super::applications::Application;
use super::child::{Prober, Program};
use super::remote_rows::{CALLS, HOSTS};

/// One line of the table.
pub(crate) struct Row {
    /// The name that other rows call it by.
    pub(crate) key: &'static str,
    /// The name in the table.
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    pub(crate) unit: Unit,
    /// The most that the figure itself may be.
    pub(crate) most: Option<f64>,
    /// What it is compared with; the first is the one that matters most.
    pub(crate) peers: &'static [Peer],
}

/// Where a figure comes from.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// Requests per second of a server under load.
    Load { server: Program },
    /// Milliseconds from the start of a server to its first answer.
    Start { server: Program },
    /// One measure of the idle components.
    Idle(Idle),
    /// One measure of a probe.
    Probe {
        prober: Prober,
        command: &'static str,
        measure: &'static str,
    },
}

/// What is measured of idle components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Milliseconds that the start of one more takes, compiled before.
    StartEach,
    /// Resident memory of the process, in MiB, with the pages of mapped files.
    Memory,
    /// The part of it that belongs to the process alone, in MiB.
    MemoryAnonymous,
    /// Resident memory of one more, in KiB.
    MemoryEach,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Microseconds,
    Milliseconds,
    Kibibytes,
    Mebibytes,
    /// Of one core.
    Percent,
}

impl Unit {
    /// Tells whether more is better.
    pub(crate) fn is_rate(self) -> bool {
        self == Self::PerSecond
    }
}

/// A row to compare with, and the ratio to it: at least that for rates, at most that for all else.
pub(crate) struct Peer {
    pub(crate) key: &'static str,
    /// The ratio that must be reached.
    pub(crate) bar: Option<f64>,
    /// The ratio that would be good.
    pub(crate) aim: Option<f64>,
}

impl Peer {
    pub(super) const fn to(key: &'static str) -> Self {
        Self {
            key,
            bar: None,
            aim: None,
        }
    }

    pub(super) const fn bar(self, bar: f64) -> Self {
        Self {
            bar: Some(bar),
            ..self
        }
    }

    const fn aim(self, aim: f64) -> Self {
        Self {
            aim: Some(aim),
            ..self
        }
    }
}

impl Row {
    const fn load(key: &'static str, name: &'static str, server: Program) -> Self {
        let source = Source::Load { server };
        Self {
            key,
            name,
            source,
            unit: Unit::PerSecond,
            most: None,
            peers: &[],
        }
    }

    const fn idle(key: &'static str, name: &'static str, measure: Idle, unit: Unit) -> Self {
        Self {
            key,
            name,
            source: Source::Idle(measure),
            unit,
            most: None,
            peers: &[],
        }
    }

    const fn start(key: &'static str, name: &'static str, server: Program) -> Self {
        let source = Source::Start { server };
        Self {
            key,
            name,
            source,
            unit: Unit::Milliseconds,
            most: None,
            peers: &[],
        }
    }

    /// A measure of a probe in one process; its name there is its key here.
    const fn probe(
        command: &'static str,
        key: &'static str,
        name: &'static str,
        unit: Unit,
    ) -> Self {
        Self::probe_of(Prober::Own, command, key, name, unit)
    }

    /// A measure of a probe between processes; its name there is its key here.
    pub(super) const fn lattice(
        command: &'static str,
        key: &'static str,
        name: &'static str,
        unit: Unit,
    ) -> Self {
        Self::probe_of(Prober::Lattice, command, key, name, unit)
    }

    const fn probe_of(
        prober: Prober,
        command: &'static str,
        key: &'static str,
        name: &'static str,
        unit: Unit,
    ) -> Self {
        let source = Source::Probe {
            prober,
            command,
            measure: key,
        };
        Self {
            key,
            name,
            source,
            unit,
            most: None,
            peers: &[],
        }
    }

    pub(super) const fn against(self, peers: &'static [Peer]) -> Self {
        Self { peers, ..self }
    }

    pub(super) const fn at_most(self, most: f64) -> Self {
        Self {
            most: Some(most),
            ..self
        }
    }
}

/// The row of bare hyper, which has a column of its own.
pub(crate) const HYPER: &str = "hyper";

/// The servers, in the order in which they are measured.
const LOADS: [Row; 12] = [
    Row::load(HYPER, "bare hyper", Program::Hyper),
    Row::load(
        "proxy-fresh",
        "ProxyHandler 0.2, fresh",
        Program::Proxy {
            level: "p2",
            mode: "fresh",
        },
    )
    .against(&[Peer::to(HYPER)]),
    Row::load(
        "proxy-resident",
        "ProxyHandler 0.2, fresh, resident pool",
        Program::Proxy {
            level: "p2",
            mode: "resident",
        },
    )
    .against(&[Peer::to(HYPER)]),
    Row::load(
        "trellis-fresh",
        "Trellis 0.2, fresh",
        Program::Trellis(Application::Hello),
    )
    .against(&[
        Peer::to(HYPER),
        Peer::to("proxy-fresh").bar(1.8).aim(4.0),
        Peer::to("proxy-resident").bar(1.0),
    ]),
    Row::load(
        "proxy-reused",
        "ProxyHandler 0.2, reused",
        Program::Proxy {
            level: "p2",
            mode: "reuse",
        },
    )
    .against(&[Peer::to(HYPER)]),
    Row::load(
        "proxy-resident-reused",
        "ProxyHandler 0.2, reused, resident pool",
        Program::Proxy {
            level: "p2",
            mode: "resident-reuse",
        },
    )
    .against(&[Peer::to(HYPER)]),
    Row::load(
        "trellis-reused",
        "Trellis 0.2, reused",
        Program::Trellis(Application::HelloReused),
    )
    .against(&[
        Peer::to(HYPER).aim(0.6),
        Peer::to("proxy-reused").bar(1.2),
        Peer::to("proxy-resident-reused").bar(1.0),
    ]),
    Row::load(
        "proxy-p3",
        "ProxyHandler 0.3",
        Program::Proxy {
            level: "p3",
            mode: "fresh",
        },
    )
    .against(&[Peer::to(HYPER)]),
    Row::load(
        "proxy-p3-resident",
        "ProxyHandler 0.3, resident pool",
        Program::Proxy {
            level: "p3",
            mode: "resident",
        },
    )
    .against(&[Peer::to(HYPER)]),
    Row::load(
        "trellis-p3",
        "Trellis 0.3",
        Program::Trellis(Application::HelloP3),
    )
    .against(&[
        Peer::to(HYPER).aim(0.6),
        Peer::to("proxy-p3").bar(1.3),
        Peer::to("proxy-p3-resident").bar(1.0),
    ]),
    Row::load(
        "kvcounter-memory",
        "KVCounter, memory",
        Program::Trellis(Application::CounterMemory),
    )
    .against(&[Peer::to(HYPER), Peer::to("trellis-fresh")]),
    Row::load(
        "kvcounter-redb",
        "KVCounter, redb",
        Program::Trellis(Application::CounterRedb),
    )
    .against(&[Peer::to(HYPER), Peer::to("kvcounter-memory")]),
];

/// Measures in one process.
const PROBES: [Row; 14] = [
    Row::probe(
        "calls",
        "wasmtime-instance",
        "wasmtime: an instance",
        Unit::Microseconds,
    ),
    Row::probe(
        "calls",
        "wasmtime-resident-instance",
        "wasmtime: an instance, resident pool",
        Unit::Microseconds,
    ),
    Row::probe(
        "calls",
        "trellis-instance",
        "Trellis: an instance",
        Unit::Microseconds,
    )
    .against(&[
        Peer::to("wasmtime-instance").bar(1.0),
        Peer::to("wasmtime-resident-instance").bar(1.0),
    ]),
    Row::probe(
        "calls",
        "wasmtime-call-reused",
        "wasmtime: a call, no socket",
        Unit::Microseconds,
    ),
    Row::probe(
        "calls",
        "trellis-call-reused",
        "Trellis: a call, no socket",
        Unit::Microseconds,
    )
    .against(&[Peer::to("wasmtime-call-reused").bar(1.0)]),
    Row::probe("links", "link-nop", "link: nop", Unit::Microseconds)
        .against(&[Peer::to("trellis-call-reused")])
        .at_most(5.0),
    Row::probe(
        "links",
        "link-nop-fresh",
        "link: nop, fresh callee",
        Unit::Microseconds,
    )
    .against(&[
        Peer::to("trellis-call-reused"),
        Peer::to("trellis-instance"),
    ]),
    Row::probe(
        "links",
        "native-1KiB",
        "native: 1 KiB there and back",
        Unit::Microseconds,
    ),
    Row::probe(
        "links",
        "link-1KiB",
        "link: 1 KiB there and back",
        Unit::Microseconds,
    )
    .against(&[Peer::to("native-1KiB"), Peer::to("trellis-call-reused")]),
    Row::probe(
        "links",
        "native-64KiB",
        "native: 64 KiB there and back",
        Unit::Microseconds,
    ),
    Row::probe(
        "links",
        "values-64KiB",
        "dynamic values over a link: 64 KiB there and back",
        Unit::Microseconds,
    ),
    Row::probe(
        "links",
        "link-64KiB",
        "link: 64 KiB there and back",
        Unit::Microseconds,
    )
    .against(&[
        Peer::to("native-64KiB"),
        Peer::to("values-64KiB").bar(1.0 / 20.0),
        Peer::to("trellis-call-reused"),
    ]),
    Row::probe(
        "links",
        "native-1MiB",
        "native: 1 MiB there and back",
        Unit::Microseconds,
    ),
    Row::probe(
        "links",
        "link-1MiB",
        "link: 1 MiB there and back",
        Unit::Microseconds,
    )
    .against(&[Peer::to("native-1MiB"), Peer::to("trellis-call-reused")]),
];

/// What has a bar of its own instead of a peer.
const ABSOLUTE: [Row; 7] = [
    Row::lattice(
        "heartbeats",
        "heartbeats-500",
        "heartbeats of 500 hosts, for one host",
        Unit::Percent,
    )
    .at_most(5.0),
    Row::idle(
        "idle-all",
        "memory of 1,000 idle components",
        Idle::Memory,
        Unit::Mebibytes,
    )
    .at_most(1_024.0),
    Row::idle(
        "idle-anonymous",
        "memory of 1,000 idle, mapped files apart",
        Idle::MemoryAnonymous,
        Unit::Mebibytes,
    ),
    Row::idle(
        "idle-each",
        "memory of an idle component",
        Idle::MemoryEach,
        Unit::Kibibytes,
    ),
    Row::idle(
        "start-each",
        "start of one more of 1,000",
        Idle::StartEach,
        Unit::Milliseconds,
    ),
    Row::start(
        "start-hyper",
        "start to first answer: bare hyper",
        Program::Hyper,
    ),
    Row::start(
        "start-trellis",
        "start to first answer: Trellis",
        Program::Trellis(Application::Hello),
    )
    .at_most(100.0)
    .against(&[Peer::to("start-hyper")]),
];

fn all() -> impl Iterator<Item = &'static Row> {
    static ROWS: [&[Row]; 5] = [
        &LOADS,
        &PROBES,
        CALLS.as_flattened().as_flattened(),
        HOSTS.as_flattened(),
        &ABSOLUTE,
    ];
    ROWS.into_iter().flatten()
}

/// Returns the rows with `pattern` in their name, whatever its case, and the peers of these.
pub(crate) fn select(pattern: Option<&str>) -> Vec<&'static Row> {
    let Some(pattern) = pattern.map(str::to_lowercase) else {
        return all().collect();
    };
    let mut wanted: BTreeSet<&str> = all()
        .filter(|row| row.name.to_lowercase().contains(&pattern))
        .map(|row| row.key)
        .collect();
    loop {
        let missing: Vec<&str> = all()
            .filter(|row| wanted.contains(row.key))
            .flat_map(|row| row.peers)
            .map(|peer| peer.key)
            .filter(|key| !wanted.contains(key))
            .collect();
        if missing.is_empty() {
            return all().filter(|row| wanted.contains(row.key)).collect();
        }
        wanted.extend(missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_a_row_of_the_same_unit() {
        let rows: Vec<_> = all().collect();
        for row in &rows {
            for peer in row.peers {
                let found = rows.iter().find(|it| it.key == peer.key);
                let found = found.unwrap_or_else(|| panic!("{} names {}", row.key, peer.key));
                assert_eq!(found.unit, row.unit, "{} against {}", row.key, peer.key);
            }
        }
    }

    #[test]
    fn no_two_rows_have_one_key() {
        let keys: BTreeSet<_> = all().map(|row| row.key).collect();
        assert_eq!(keys.len(), all().count());
    }

    #[test]
    fn a_pattern_brings_its_peers_along() {
        let keys: Vec<_> = select(Some("trellis 0.3"))
            .iter()
            .map(|row| row.key)
            .collect();
        assert_eq!(
            keys,
            ["hyper", "proxy-p3", "proxy-p3-resident", "trellis-p3"]
        );
        assert!(select(Some("no such row")).is_empty());
        let keys: Vec<_> = select(Some("REDB")).iter().map(|row| row.key).collect();
        assert!(
            keys.contains(&"trellis-fresh"),
            "the peer of its peer: {keys:?}"
        );
    }
}
