//! N2: a host that is cut off without a word notices, serves who reaches it, and catches up.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::applications::{self, Entrance, UPPER};
use super::cluster::{Cluster, Host, Layout};
use super::load::Ledger;
use super::{Lab, Report, waiting};

/// From the cut until the host knows.
const NOTICE_LIMIT: Duration = Duration::from_secs(10);

/// From the heal until it has joined and follows what was changed meanwhile.
const CONVERGE_LIMIT: Duration = Duration::from_secs(10);

/// After this it counts as never.
const PATIENCE: Duration = Duration::from_secs(60);

/// Config entries that are written while the host is away.
const WRITES: usize = 5;

/// The host that is cut off.
const LONELY: usize = 2;

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut cluster = Cluster::start(lab, "partition", Layout::Namespaces, 3)?;
    applications::deploy(lab, &cluster, &UPPER, &[0, 1, 2], &[0, 1, 2])?;
    let mut entrance = Entrance::second(&cluster.hosts[LONELY])?;
    entrance.open(&cluster.command_line, UPPER.front.0)?;
    let mut findings = Findings::default();
    let seconds: &[u64] = lab.of(&[15], &[30, 300]);
    for (number, seconds) in seconds.iter().enumerate() {
        let length = Duration::from_secs(*seconds);
        findings.trial(lab, &mut cluster, &mut entrance, (number, length))?;
    }
    findings.tell(report);
    Ok(())
}

#[derive(Default)]
struct Findings {
    all: Ledger,
    notices: Vec<Option<Duration>>,
    joins: Vec<Option<Duration>>,
    changes: Vec<Option<Duration>>,
    /// Writes at the others.
    asked: usize,
    /// Those that were acknowledged, and those that are not there afterwards.
    acknowledged: usize,
    lost: usize,
    /// Writes at the lonely host, and those that it acknowledged.
    lonely: usize,
    pretended: usize,
}

impl Findings {
    fn trial(
        &mut self,
        lab: &Lab,
        cluster: &mut Cluster,
        entrance: &mut Entrance,
        (number, length): (usize, Duration),
    ) -> Result<()> {
        let rate = lab.rate() / 2;
        let load = |host: &Host| applications::load(lab, host, rate);
        let loads: Vec<_> = cluster.hosts.iter().map(load).collect();
        waiting::pause(applications::WARM_UP)?;
        let lonely = &cluster.hosts[LONELY];
        let network = cluster.network.as_ref().context("there is no network")?;
        let (told, joins) = (lonely.times_in("detached"), lonely.times_in("joined"));
        network.cut(&lonely.place)?;
        let cut = Instant::now();
        let noticed = waiting::within(length, || {
            Ok((lonely.times_in("detached") > told).then(|| cut.elapsed()))
        })?;
        self.notices.push(noticed.map(|(time, _)| time));
        let written = self.write(cluster, number)?;
        entrance.move_away(&cluster.command_line)?;
        waiting::pause(length.saturating_sub(cut.elapsed()))?;
        network.heal(&lonely.place)?;
        let healed = Instant::now();
        let joined = waiting::within(PATIENCE, || {
            Ok((lonely.times_in("joined") > joins).then(|| healed.elapsed()))
        })?;
        self.joins.push(joined.map(|(time, _)| time));
        self.changes.push(entrance.answers_since(healed)?);
        cluster.wait_until_joined(cluster.hosts.len(), PATIENCE)?;
        for load in loads {
            self.all.join(load.stop()?);
        }
        self.read(lonely, &written)
    }

    /// Writes while the host is away: what the others acknowledge must be kept, and it must not acknowledge.
    fn write(&mut self, cluster: &Cluster, number: usize) -> Result<Vec<String>> {
        let mut written = Vec::new();
        for index in 0..WRITES {
            let name = format!("partition-{number}-{index}");
            let put = ["config", "put", &name, "value=kept"];
            if cluster.command_line.succeeds(&put)? {
                written.push(name);
            }
        }
        let lonely = cluster.hosts[LONELY].command_line();
        let name = format!("lonely-{number}");
        self.lonely += 1;
        self.pretended +=
            usize::from(lonely.succeeds(&["config", "put", &name, "value=pretended"])?);
        self.asked += WRITES;
        self.acknowledged += written.len();
        Ok(written)
    }

    /// Reads at the host that was away.
    fn read(&mut self, lonely: &Host, written: &[String]) -> Result<()> {
        for name in written {
            let found = lonely.command_line().run(&["config", "get", name]);
            let is_there = found.is_ok_and(|it| it["values"]["value"] == "kept");
            self.lost += usize::from(!is_there);
        }
        Ok(())
    }

    fn tell(&self, report: &mut Report) {
        let times = self.joins.len();
        let what = format!("local requests that failed, {times} partitions, all hosts");
        report.failures("N2", &what, &self.all);
        report.longest(
            "N2",
            "until the host that is cut off knows",
            &self.notices,
            NOTICE_LIMIT,
        );
        report.longest(
            "N2",
            "from the heal until it joined",
            &self.joins,
            CONVERGE_LIMIT,
        );
        let what = "from the heal until it follows what was changed meanwhile";
        report.longest("N2", what, &self.changes, CONVERGE_LIMIT);
        let figure = format!("{} of {}", self.acknowledged, self.asked);
        report.remark(
            "N2",
            "writes at the others that were acknowledged at once",
            figure,
        );
        let what = "acknowledged writes that it does not read afterwards";
        report.none_of("N2", what, self.lost, self.acknowledged);
        let what = "writes at it that were acknowledged while it was away";
        report.none_of("N2", what, self.pretended, self.lonely);
    }
}
