//! R1: a host that is killed takes no request of another with it.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::applications::{self, UPPER};
use super::cluster::{Cluster, Layout};
use super::load::Ledger;
use super::{Lab, Report, waiting};

/// How long after a kill the answers of the survivor are compared with those before.
const AFTERMATH: Duration = Duration::from_secs(5);

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut cluster = Cluster::start(lab, "kill_host", Layout::Loopback, 2)?;
    // Both run what is called, only the survivor has clients.
    applications::deploy(lab, &cluster, &UPPER, &[1], &[0, 1])?;
    let load = applications::load(lab, &cluster.hosts[1], lab.rate());
    waiting::pause(applications::WARM_UP)?;
    let start = Instant::now();
    waiting::pause(lab.of(Duration::from_secs(8), Duration::from_secs(30)))?;
    let baseline = (start, Instant::now());
    let mut aftermaths = Vec::new();
    for _ in 0..lab.of(2, 100) {
        let killed = cluster.hosts[0].kill()?;
        waiting::pause(AFTERMATH)?;
        aftermaths.push((killed, Instant::now()));
        cluster.hosts[0].start(&[])?;
        cluster.hosts[0].wait_for_id()?;
        let back = applications::component(lab, UPPER.back, &cluster.hosts[0]);
        cluster.command_line.all(vec![back])?;
    }
    let ledger = load.stop()?;
    let mut after = Ledger::default();
    for (from, until) in &aftermaths {
        after.join(ledger.between(*from, *until));
    }
    let what = format!(
        "requests to the other host that failed, {} kills",
        aftermaths.len()
    );
    report.failures("R1", &what, &ledger);
    let before = ledger.between(baseline.0, baseline.1);
    let what = "its p99 in the 5 s after a kill";
    report.slowdown("R1", what, (before.p99(), after.p99()), 3.0);
    Ok(())
}
