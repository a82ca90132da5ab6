//! N1: hosts go on without NATS as if nothing had happened, and find it again by themselves.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Signal;

use super::applications::{self, Entrance, UPPER};
use super::cluster::{Cluster, Layout};
use super::load::Ledger;
use super::{Lab, Report, waiting};

/// From the open port of the server until every host has joined.
const JOIN_LIMIT: Duration = Duration::from_secs(5);

/// From a change until every host follows it.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);

/// From the signal to the end of a host that has nothing to do, also where nobody hears that it leaves.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut cluster = Cluster::start(lab, "nats_restart", Layout::Loopback, 2)?;
    applications::deploy(lab, &cluster, &UPPER, &[0, 1], &[0, 1])?;
    let mut entrances = Vec::new();
    for host in &cluster.hosts {
        let entrance = Entrance::second(host)?;
        entrance.open(&cluster.command_line, UPPER.front.0)?;
        entrances.push(entrance);
    }
    let before = cluster.running()?;
    let mut findings = Findings::default();
    for _ in 0..lab.of(1, 20) {
        outage(lab, &mut cluster, &mut findings)?;
        let after = cluster.running()?;
        findings.things += before.len();
        findings.lost += before.iter().filter(|it| !after.contains(it)).count();
        for entrance in &mut entrances {
            let start = Instant::now();
            entrance.move_away(&cluster.command_line)?;
            findings.changes.push(entrance.answers_since(start)?);
        }
    }
    findings.tell(report);
    leave(&mut cluster, report)
}

/// Tells hosts to leave while NATS is away.
fn leave(cluster: &mut Cluster, report: &mut Report) -> Result<()> {
    cluster.nats.kill()?;
    let mut exits = Vec::new();
    for host in &mut cluster.hosts {
        let told = host.signal(Signal::TERM);
        let ended = host.wait_for_end(LEAVE_LIMIT * 5)?;
        exits.push(ended.map(|(_, when)| when - told));
    }
    let what = "from the signal to the end of a host, without NATS";
    report.longest("K11", what, &exits, LEAVE_LIMIT);
    Ok(())
}

#[derive(Default)]
struct Findings {
    all: Ledger,
    baseline: Ledger,
    during: Ledger,
    joins: Vec<Option<Duration>>,
    changes: Vec<Option<Duration>>,
    /// Components and providers that ran before, and those of them that did not afterwards.
    things: usize,
    lost: usize,
}

fn outage(lab: &Lab, cluster: &mut Cluster, findings: &mut Findings) -> Result<()> {
    let loads = [0, 1].map(|it| applications::load(lab, &cluster.hosts[it], lab.rate() / 2));
    waiting::pause(applications::WARM_UP)?;
    let start = Instant::now();
    waiting::pause(lab.of(Duration::from_secs(6), Duration::from_secs(30)))?;
    let killed = Instant::now();
    cluster.nats.kill()?;
    waiting::pause(lab.of(Duration::from_secs(8), Duration::from_secs(30)))?;
    let joins = cluster.joins();
    let open = cluster.nats.start()?;
    findings.joins.push(cluster.joined_since(open, &joins)?);
    waiting::pause(Duration::from_secs(1))?;
    for load in loads {
        let ledger = load.stop()?;
        findings.baseline.join(ledger.between(start, killed));
        findings.during.join(ledger.between(killed, open));
        findings.all.join(ledger);
    }
    Ok(())
}

impl Findings {
    fn tell(&self, report: &mut Report) {
        let times = self.joins.len();
        let what = format!("local requests that failed around {times} outages of NATS");
        report.failures("N1", &what, &self.all);
        let p99 = (self.baseline.p99(), self.during.p99());
        report.slowdown("N1", "their p99 without NATS", p99, 1.5);
        report.longest(
            "N1",
            "from its open port until all hosts joined",
            &self.joins,
            JOIN_LIMIT,
        );
        let what = "components and providers that did not run afterwards";
        report.none_of("N1", what, self.lost, self.things);
        let what = "until a host follows a change made afterwards";
        report.longest("N1", what, &self.changes, CHANGE_LIMIT);
    }
}
