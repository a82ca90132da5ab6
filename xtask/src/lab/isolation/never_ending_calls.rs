//! I4: ten thousand calls that never end are ended at their deadline, and hold nothing afterwards.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::Pair;
use crate::lab::load::{Entry, Outcome, at_once};
use crate::lab::{Lab, Report, waiting};

/// Calls that never end.
const CALLS: usize = 10_000;

/// Calls that may run at once; one more finds no queue.
const INSTANCES: usize = 64;

/// Callers: fewer than may run, so that none is refused while the one before it is put away.
const CALLERS: usize = 48;

/// Normal calls, to know what a normal call takes.
const NORMAL_CALLS: usize = 200;

/// Within this, what the calls held must be back.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// After this it counts as never.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let limits = json!({ "deadline": "150ms", "instances": INSTANCES, "queue": 0 });
    let pair = Pair::start(lab, "never_ending_calls", "misbehaver", limits)?;
    let plan = |path: &str| pair.plan(lab, path, 1, 1);
    let before = at_once(&plan("/"), 1, NORMAL_CALLS)?;
    let watched = pair.watch(lab)?;
    let resting = pair.descriptors()?;
    let memory = pair.begin_memory()?;
    let start = Instant::now();
    let calls = at_once(&plan("/wait"), CALLERS, CALLS)?;
    let next = at_once(&plan("/"), 1, 1)?;
    // All that may run at once run at once, with no queue: every permit is back.
    let back = waiting::within(PATIENCE, || {
        let all = at_once(&plan("/sleep?ms=50"), INSTANCES, INSTANCES)?;
        Ok((all.failures().next().is_none()).then_some(()))
    })?;
    let let_go = pair.let_go(resting, PATIENCE)?;
    let ended = Outcome::Status(504, Some("deadline".to_owned()));
    let is_other = |it: &&Entry| it.outcome != ended;
    let others = calls.entries().iter().filter(is_other).count();
    let what = "calls that never end and did not end at their deadline";
    report.none_of("I4", what, others, calls.count());
    report.failures("I4", "the normal call after them", &next);
    let times = (before.p99(), next.p99());
    report.slowdown("I4", "its time, and the p99 of such before", times, 1.5);
    let times = [back.map(|(_, time)| time)];
    let what = format!("until {INSTANCES} calls run at once again, as many as may");
    report.longest("I4", &what, &times, BACK_WITHIN);
    let what = "until the host holds no connection more than before";
    report.longest("I4", what, &[let_go], BACK_WITHIN);
    let growth = pair.memory("VmHWM")?.saturating_sub(memory) >> 20;
    let what = format!("memory beyond that before, with {CALLERS} instances");
    report.remark("I4", &what, format!("{growth} MiB"));
    let times = watched.tell(report, "I4", start)?;
    report.slowdown("I4", "the neighbour's p99 meanwhile", times, 1.5);
    Ok(())
}
