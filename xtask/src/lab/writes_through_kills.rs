//! N8: what was acknowledged is still there when the NATS server was killed in the middle of writing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::applications::joined;
use super::cluster::{Cluster, Layout};
use super::command_line::CommandLine;
use super::{Lab, Report, waiting};

/// Entries that are written side by side, each by one writer.
const WRITERS: usize = 8;

/// How long the server is away.
const OUTAGE: Duration = Duration::from_millis(300);

/// How long writers may go on after that, so that some writes fall on the restart.
const REST: Duration = Duration::from_millis(500);

/// A server is back and its hosts know it within this; N1 has the bar.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut cluster = Cluster::start(lab, "writes_through_kills", Layout::Loopback, 2)?;
    let mut random = fastrand::Rng::with_seed(lab.seed);
    let mut entries = BTreeMap::new();
    let cycles = lab.of(4, 100);
    for cycle in 0..cycles {
        let moment = Duration::from_millis(random.u64(300..1_500));
        entries.extend(write_through_a_kill(&mut cluster, cycle, moment)?);
        cluster.wait_until_joined(2, PATIENCE)?;
    }
    let (acknowledged, lost) = compare(&cluster.command_line, &entries)?;
    let what = format!("acknowledged writes lost or changed in {cycles} kills of nats-server");
    report.none_of("N8", &what, lost, acknowledged);
    Ok(())
}

/// What is known of one entry. Its value is a number that grows with each write.
#[derive(Clone, Copy, Default)]
struct Written {
    /// The last that was sent, acknowledged or not.
    attempted: u64,
    /// The last that was acknowledged.
    acknowledged: Option<u64>,
    /// How many were.
    count: usize,
}

/// Writes, kills the server at `moment` and starts it again. Returns what was written.
fn write_through_a_kill(
    cluster: &mut Cluster,
    cycle: usize,
    moment: Duration,
) -> Result<Vec<(String, Written)>> {
    let is_over = AtomicBool::new(false);
    let person = cluster.command_line.clone();
    thread::scope(|scope| {
        let write = |writer: usize| {
            let (person, is_over) = (&person, &is_over);
            let name = format!("cycle-{cycle}-writer-{writer}");
            scope.spawn(move || write(person, name, is_over))
        };
        let writers: Vec<_> = (0..WRITERS).map(write).collect();
        let mut fault = || {
            waiting::pause(moment)?;
            cluster.nats.kill()?;
            waiting::pause(OUTAGE)?;
            cluster.nats.start()?;
            waiting::pause(REST)
        };
        let result = fault();
        is_over.store(true, Ordering::Relaxed);
        let written = writers.into_iter().map(joined).collect::<Result<Vec<_>>>();
        result.and(written)
    })
}

fn write(person: &CommandLine, name: String, is_over: &AtomicBool) -> Result<(String, Written)> {
    let mut written = Written::default();
    while !is_over.load(Ordering::Relaxed) {
        written.attempted += 1;
        let value = format!("value={}", written.attempted);
        if person.succeeds(&["config", "put", &name, &value])? {
            written.acknowledged = Some(written.attempted);
            written.count += 1;
        }
    }
    Ok((name, written))
}

/// Reads every entry. Returns how many writes were acknowledged, and how many entries do not show the last of
/// theirs or one that was sent after it.
fn compare(person: &CommandLine, entries: &BTreeMap<String, Written>) -> Result<(usize, usize)> {
    let (mut acknowledged, mut lost) = (0, 0);
    for (name, written) in entries {
        let Some(last) = written.acknowledged else {
            continue;
        };
        acknowledged += written.count;
        let found = person.run(&["config", "get", name]);
        let found = found.ok().and_then(|it| {
            let value = it["values"]["value"].as_str()?;
            value.parse::<u64>().ok()
        });
        if !found.is_some_and(|it| (last..=written.attempted).contains(&it)) {
            eprintln!("lost: {name} has {found:?} after {last} was acknowledged");
            lost += 1;
        }
    }
    Ok((acknowledged, lost))
}
