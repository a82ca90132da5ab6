//! The run: starts every server, loads them in turn, round after round, and prints one table.
//!
//! Machines are noisy and differ, so a figure means nothing by itself: what counts is its ratio to a peer
//! in the same round, and the median of these ratios.

mod applications;
mod child;
mod idle;
mod load;
mod machine;
mod remote_rows;
mod report;
mod rows;
mod statistics;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::child::{Programs, Server};
use self::load::Load;
use self::report::Report;
use self::rows::{Row, Source};
use crate::guest::Guests;

/// Seconds for which a server is loaded before the first round: compiled, paged in, pools filled.
const WARM_UP: Duration = Duration::from_secs(1);

/// Rounds and seconds of `--quick`.
const QUICK_ROUNDS: u32 = 2;
const QUICK_SECONDS: u32 = 1;

/// Figures by the key of their row, one for each round.
type Figures = BTreeMap<&'static str, Vec<f64>>;

/// What is measured, and how long.
#[derive(Args)]
pub(crate) struct Run {
    /// Rounds; every server is measured once in each
    #[arg(long, default_value_t = 5)]
    rounds: u32,

    /// Seconds for each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u32,

    /// Measure only rows whose name contains this, and their peers
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,

    /// Two rounds of one second: to see that everything runs
    #[arg(long)]
    quick: bool,

    /// Folder for the table, as text and as JSON
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,

    /// The binary to measure [default: the one beside this]
    #[arg(long, value_name = "FILE")]
    trellis: Option<PathBuf>,

    #[command(flatten)]
    guests: Guests,
}

impl Run {
    /// Measures, prints and writes.
    pub(crate) fn run(mut self) -> Result<()> {
        if self.quick {
            (self.rounds, self.seconds) = (QUICK_ROUNDS, QUICK_SECONDS);
        }
        ensure!(
            self.rounds > 0 && self.seconds > 0,
            "at least one round of one second"
        );
        let rows = rows::select(self.only.as_deref());
        ensure!(
            !rows.is_empty(),
            "no row has {:?} in its name",
            self.only.unwrap_or_default()
        );
        let scratch = tempfile::tempdir().context("no folder for caches and stores")?;
        let programs = Programs::new(self.trellis.take(), &self.guests.folder, scratch.path())?;
        let mut report = Report::new(self.rounds, self.seconds);
        eprintln!("{}", report.heading());
        if let Some(warning) = report.warning() {
            eprintln!("warning: {warning}");
        }
        let figures = self.measure(&rows, &programs)?;
        report.fill(&rows, &figures);
        print!("{}", report.text());
        fs::create_dir_all(&self.output)
            .and_then(|()| fs::write(self.output.join("table.txt"), report.text()))
            .and_then(|()| fs::write(self.output.join("table.json"), report.json()))
            .with_context(|| format!("cannot write to {}", self.output.display()))?;
        eprintln!(
            "written to {}",
            self.output.join("table.{txt,json}").display()
        );
        Ok(())
    }

    fn measure(&self, rows: &[&'static Row], programs: &Programs) -> Result<Figures> {
        let servers = start_servers(rows, programs)?;
        let loads: BTreeMap<_, _> = servers
            .iter()
            .map(|(key, server)| (*key, Load::new(server.url(), self.seconds)))
            .collect();
        for (key, load) in &loads {
            load.warm_up(WARM_UP)
                .with_context(|| format!("cannot warm up {key}"))?;
        }
        let mut figures = Figures::new();
        for round in 0..self.rounds {
            eprintln!("round {} of {}", round + 1, self.rounds);
            // There and back, so that a slow minute does not always meet the same server.
            let mut order: Vec<&Row> = rows.to_vec();
            if round % 2 == 1 {
                order.reverse();
            }
            for (key, value) in self.round(&order, &loads, programs)? {
                figures.entry(key).or_default().push(value);
            }
        }
        Ok(figures)
    }

    /// Measures every row once.
    fn round(
        &self,
        rows: &[&Row],
        loads: &BTreeMap<&'static str, Load>,
        programs: &Programs,
    ) -> Result<Vec<(&'static str, f64)>> {
        let mut figures = Vec::new();
        let mut probed = BTreeMap::new();
        let mut idle = None;
        for row in rows {
            let value = match row.source {
                Source::Load { .. } => loads[row.key].requests_per_second(),
                Source::Start { server } => programs.time_to_first_answer(server, row.key),
                Source::Idle(measure) => {
                    let found = match idle.take() {
                        Some(found) => found,
                        None => idle::measure(programs)?,
                    };
                    Ok(idle.insert(found).get(measure))
                }
                Source::Probe {
                    prober,
                    command,
                    measure,
                } => {
                    if !probed.contains_key(command) {
                        probed.insert(command, programs.probe(prober, command, self.seconds)?);
                    }
                    let measures: &BTreeMap<String, f64> = &probed[command];
                    measures
                        .get(measure)
                        .copied()
                        .with_context(|| format!("no measure {measure}"))
                }
            };
            let value = value.with_context(|| format!("cannot measure {}", row.name))?;
            figures.push((row.key, value));
        }
        Ok(figures)
    }
}

/// Starts the server of every row that is measured under load.
fn start_servers(
    rows: &[&'static Row],
    programs: &Programs,
) -> Result<BTreeMap<&'static str, Server>> {
    let mut servers = BTreeMap::new();
    let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    debug_assert_eq!(names.len(), rows.len(), "two rows of one name");
    for row in rows {
        if let Source::Load { server } = row.source {
            let started = programs
                .start(server, row.key)
                .with_context(|| format!("cannot start {}", row.name))?;
            servers.insert(row.key, started);
        }
    }
    Ok(servers)
}
