//! I1: a component that spins for ever is stopped at its budget, and its neighbour does not notice.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::Pair;
use crate::lab::applications::joined;
use crate::lab::load::{Entry, Ledger, Outcome, Plan, at_once};
use crate::lab::{Lab, Report, report::seconds, waiting};

/// CPU time of a call.
const BUDGET: Duration = Duration::from_millis(200);

/// The budget and a tenth: what half of the loops are stopped within.
const STOPPED_WITHIN: Duration = Duration::from_millis(220);

/// What the slowest is stopped within: beside two loops, the neighbour and its clients, a loop waits for its turns.
const STOPPED_AT_LAST: Duration = Duration::from_millis(2 * BUDGET.as_millis() as u64);

/// What the neighbour's p99 may be.
const NEIGHBOUR_P99: Duration = Duration::from_millis(15);

/// From one loop to the next.
const GAP: Duration = Duration::from_millis(500);

/// A minute of loops.
const LOOPS: u32 = 120;

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let limits = json!({ "cpuTime": format!("{}ms", BUDGET.as_millis()) });
    let pair = Pair::start(lab, "endless_loops", "misbehaver", limits)?;
    let watched = pair.watch(lab)?;
    let start = Instant::now();
    let loops = at_even_gaps(&pair.plan(lab, "/loop", 1, 1))?;
    let (before, after) = watched.tell(report, "I1", start)?;
    report.line(
        "I1",
        "the neighbour's p99 beside the loops",
        format!("{}, before {}", seconds(after), seconds(before)),
        &format!("at most {}", seconds(NEIGHBOUR_P99)),
        after <= NEIGHBOUR_P99 && !after.is_zero(),
    );
    let trap = Outcome::Status(500, Some("trap".to_owned()));
    let is_other = |it: &&Entry| it.outcome != trap;
    let others = loops.entries().iter().filter(is_other).count();
    let what = "loops that did not end as a trap";
    report.none_of("I1", what, others, loops.count());
    let what = format!(
        "half of the loops of {} CPU time are stopped within",
        seconds(BUDGET)
    );
    report.longest("I1", &what, &[Some(loops.percentile(50))], STOPPED_WITHIN);
    let slowest = [Some(loops.percentile(100))];
    report.longest("I1", "the slowest of them", &slowest, STOPPED_AT_LAST);
    let unnamed = loops
        .count()
        .saturating_sub(pair.log_lines("limits.cpuTime"));
    let what = "stopped loops whose log line names no limit";
    report.none_of("I1", what, unnamed, loops.count());
    Ok(())
}

/// Makes a request each [`GAP`], each on a connection of its own, whether those before are answered or not.
fn at_even_gaps(plan: &Plan) -> Result<Ledger> {
    let start = Instant::now();
    let mut ledger = Ledger::default();
    thread::scope(|scope| {
        let mut requests = Vec::new();
        for number in 0..LOOPS {
            let due = start + GAP * number;
            waiting::pause(due.saturating_duration_since(Instant::now()))?;
            requests.push(scope.spawn(|| at_once(plan, 1, 1)));
        }
        for request in requests {
            ledger.join(joined(request)?);
        }
        Ok(ledger)
    })
}
