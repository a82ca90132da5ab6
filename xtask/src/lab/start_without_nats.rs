//! R7: a host that starts while NATS is away serves what it knew last, stays, and joins once NATS is there.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::applications::{self, UPPER};
use super::cluster::{Cluster, Host, Layout};
use super::{Lab, Report, restart, waiting};

/// From the start of the process to the first answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// From the open port of the server until the host has joined.
const JOIN_LIMIT: Duration = Duration::from_secs(5);

/// After this it counts as never.
const PATIENCE: Duration = Duration::from_secs(15);

/// Time for the host to write down what it knows.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut cluster = Cluster::prepare(lab, "start_without_nats", Layout::Loopback, 1)?;
    let application = restart::application(lab, &cluster.hosts[0])?;
    cluster.nats.start()?;
    start(&mut cluster.hosts[0], &application)?;
    cluster.hosts[0].wait_for_id()?;
    cluster.wait_until_joined(1, PATIENCE)?;
    applications::deploy(lab, &cluster, &UPPER, &[0], &[0])?;
    let before = kinds(&cluster)?;
    waiting::pause(SETTLE)?;
    let mut findings = Findings::default();
    for _ in 0..lab.of(1, 10) {
        findings.trial(lab, &mut cluster, &application)?;
        findings.things += before;
        findings.lost += before.saturating_sub(kinds(&cluster).unwrap_or(0));
        waiting::pause(SETTLE)?;
    }
    findings.tell(report);
    Ok(())
}

fn start(host: &mut Host, application: &Path) -> Result<Instant> {
    host.start(&[application.to_str().context("the folder is not text")?])
}

/// How many components and providers run; their host has another id after each start.
fn kinds(cluster: &Cluster) -> Result<usize> {
    Ok(cluster.running()?.len())
}

#[derive(Default)]
struct Findings {
    /// From the start to the first answer of the application that the host was started with.
    own: Vec<Option<Duration>>,
    /// The same of what the lattice had started.
    known: Vec<Option<Duration>>,
    ended: usize,
    joins: Vec<Option<Duration>>,
    things: usize,
    lost: usize,
}

impl Findings {
    fn trial(&mut self, lab: &Lab, cluster: &mut Cluster, application: &Path) -> Result<()> {
        cluster.hosts[0].kill()?;
        cluster.nats.kill()?;
        let host = &mut cluster.hosts[0];
        let started = start(host, application)?;
        self.own.push(first_answer(host, true, started)?);
        self.known.push(first_answer(host, false, started)?);
        waiting::pause(lab.of(Duration::from_secs(3), Duration::from_secs(60)))?;
        self.ended += usize::from(!host.is_running()?);
        let joins = cluster.joins();
        let open = cluster.nats.start()?;
        let is_running = cluster.hosts[0].is_running()?;
        self.joins.push(match is_running {
            true => cluster.joined_since(open, &joins)?,
            false => None,
        });
        // The next trial needs a host in any case.
        if !is_running {
            start(&mut cluster.hosts[0], application)?;
            cluster.wait_until_joined(1, PATIENCE)?;
        }
        Ok(())
    }

    fn tell(&self, report: &mut Report) {
        let what = "start without NATS until its own application answers";
        report.longest("R7", what, &self.own, ANSWER_LIMIT);
        let what = "start without NATS until what the lattice had started answers";
        report.longest("R7", what, &self.known, ANSWER_LIMIT);
        let what = "hosts that ended because there was no NATS";
        report.none_of("R7", what, self.ended, self.own.len());
        report.longest(
            "R7",
            "from its open port until the host joined",
            &self.joins,
            JOIN_LIMIT,
        );
        let what = "components and providers that did not run after that";
        report.none_of("R7", what, self.lost, self.things);
    }
}

/// Waits for an answer of the host's own application, or of the lattice's.
fn first_answer(host: &mut Host, own: bool, started: Instant) -> Result<Option<Duration>> {
    let address = if own { host.own_http } else { host.http };
    let place = host.place.clone();
    let seen = waiting::within(PATIENCE, || {
        if !host.is_running()? {
            return Ok(Some(None)); // it has ended, and will not answer
        }
        let answers = applications::answers_at(&place, address, UPPER.probe)?;
        Ok(answers.then(|| Some(started.elapsed())))
    })?;
    Ok(seen.and_then(|(time, _)| time))
}
