//! Calls between two processes on one NATS server, in three ways that take turns.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::caller::{Measured, Wanted};
use crate::measures::{Measures, Span, quantile};
use crate::nats_server::NatsServer;
use crate::peer::Peer;

/// What goes there and back.
const SIZES: [(&str, usize); 4] = [
    ("nop", 0),
    ("1KiB", 1 << 10),
    ("64KiB", 64 << 10),
    ("1MiB", 1 << 20),
];

/// Turns that each way has for one measure: noise of less than a second meets all of them.
const TURNS: u32 = 8;

/// How often a turn is repeated in which calls were lost.
const ATTEMPTS_MAX: u32 = 5;

/// The name of published wRPC in measures.
const UPSTREAM: &str = "upstream";

/// Calls under way at once, where it is not one.
const TOGETHER: usize = 64;

/// Turns before the first figure: connections, pools and branch predictors are warm then.
const WARM_UP_MILLISECONDS: u64 = 200;

/// Calls between two processes.
#[derive(Args)]
pub(crate) struct Calls {
    #[command(flatten)]
    span: Span,

    /// The program that speaks published wRPC, as `cargo xtask bench` builds it
    #[arg(long, value_name = "FILE", env = "TRELLIS_BENCH_UPSTREAM")]
    upstream: PathBuf,

    /// Measure only this size: nop, 1KiB, 64KiB or 1MiB
    #[arg(long)]
    size: Option<String>,
}

/// A way of calling, with both its processes.
struct Pair {
    /// The name in measures.
    name: &'static str,
    calling: Peer,
    _called: Peer,
}

impl Calls {
    /// Measures every size.
    pub(crate) fn measure(self) -> Result<Measures> {
        let nats = NatsServer::start()?;
        let mut pairs = self.start(nats.url())?;
        let turn = self.span.duration() / TURNS;
        let mut measures = Measures::default();
        let is_wanted = |name: &str| self.size.as_deref().is_none_or(|it| it == name);
        for (name, bytes) in SIZES.into_iter().filter(|(name, _)| is_wanted(name)) {
            for pair in &mut pairs {
                pair.turn(bytes, 1, Duration::from_millis(WARM_UP_MILLISECONDS))?;
            }
            one_at_a_time(&mut pairs, (name, bytes), turn, &mut measures)?;
            together(&mut pairs, (name, bytes), turn, &mut measures)?;
        }
        Ok(measures)
    }

    fn start(&self, url: &str) -> Result<Vec<Pair>> {
        ensure!(
            self.upstream.is_file(),
            "there is no {}; `cargo xtask bench` builds it",
            self.upstream.display()
        );
        let own = std::env::current_exe().context("cannot find this very binary")?;
        let ways = [
            ("plain", &own, Some("plain")),
            ("trellis", &own, Some("wrpc")),
            (UPSTREAM, &self.upstream, None),
        ];
        let start = |(name, program, way)| {
            let end = |end: &str| {
                let mut command = Command::new(program);
                Peer::start(command.arg(end).args(way).arg(url))
                    .with_context(|| format!("cannot start the way {name}"))
            };
            Ok(Pair {
                name,
                _called: end("serve")?,
                calling: end("call")?,
            })
        };
        ways.into_iter().map(start).collect()
    }
}

impl Pair {
    /// Measures for one turn. Published wRPC loses a call now and then, and its turn is repeated.
    fn turn(&mut self, bytes: usize, in_flight: usize, turn: Duration) -> Result<Measured> {
        let wanted = Wanted {
            bytes,
            in_flight,
            milliseconds: u64::try_from(turn.as_millis()).unwrap_or(u64::MAX).max(1),
        };
        let name = self.name;
        for _ in 0..ATTEMPTS_MAX {
            let measured = self.calling.measure(wanted);
            let measured = measured.with_context(|| format!("{bytes} bytes by the way {name}"))?;
            if measured.lost == 0 {
                return Ok(measured);
            }
            eprintln!(
                "{} of {} calls were never answered: {name}",
                measured.lost, measured.calls
            );
            ensure!(name == UPSTREAM, "a call by the way {name} was lost");
        }
        bail!("the way {name} loses calls all the time")
    }
}

fn one_at_a_time(
    pairs: &mut [Pair],
    (name, bytes): (&str, usize),
    turn: Duration,
    measures: &mut Measures,
) -> Result<()> {
    let mut all = vec![(Vec::new(), Vec::new()); pairs.len()];
    for _ in 0..TURNS {
        for (pair, (microseconds, rates)) in pairs.iter_mut().zip(&mut all) {
            let measured = pair.turn(bytes, 1, turn)?;
            microseconds.extend(measured.each.iter().map(|it| *it as f64 / 1e3));
            rates.push(rate(measured.calls, measured.nanoseconds));
        }
    }
    for (pair, (mut microseconds, mut rates)) in pairs.iter().zip(all) {
        let way = pair.name;
        measures.put(
            format!("{way}-p50-{name}"),
            quantile(&mut microseconds, 0.5),
        );
        measures.put(
            format!("{way}-p99-{name}"),
            quantile(&mut microseconds, 0.99),
        );
        measures.put(format!("{way}-rate-{name}"), quantile(&mut rates, 0.5));
    }
    Ok(())
}

fn together(
    pairs: &mut [Pair],
    (name, bytes): (&str, usize),
    turn: Duration,
    measures: &mut Measures,
) -> Result<()> {
    let mut all = vec![Vec::new(); pairs.len()];
    for _ in 0..TURNS {
        for (pair, rates) in pairs.iter_mut().zip(&mut all) {
            let measured = pair.turn(bytes, TOGETHER, turn)?;
            rates.push(rate(measured.calls, measured.nanoseconds));
        }
    }
    for (pair, mut rates) in pairs.iter().zip(all) {
        let way = pair.name;
        measures.put(format!("{way}-rate64-{name}"), quantile(&mut rates, 0.5));
    }
    Ok(())
}

/// Calls per second.
fn rate(calls: u64, nanoseconds: u64) -> f64 {
    calls as f64 / (nanoseconds as f64 / 1e9)
}
