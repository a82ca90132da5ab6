//! H9: at three times of what it can do a component does what it can, refuses the rest at once, and is well as soon as
//! the load is.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::Pair;
use crate::lab::load::{Entry, Ledger, Load, Outcome, at_once};
use crate::lab::{Lab, Report, waiting};

/// Calls that may run at once. Each takes 100 ms and next to no CPU time, so that what fits is known and the clients
/// have room beside it.
const INSTANCES: usize = 30;

/// Calls that may wait: 100 ms of work.
const QUEUE: usize = 30;

/// What is asked for.
const PATH: &str = "/sleep?ms=100";

/// How often it is asked for to learn the peak.
const PEAK_CALLS: usize = 3_000;

/// Clients of the overload: as many as can wait for an answer at once, and as many again.
const CLIENTS: usize = 2 * (INSTANCES + QUEUE);

/// The share of the peak that must be left.
const GOODPUT: f64 = 0.8;

/// What a refusal may take.
const REFUSED_WITHIN: Duration = Duration::from_millis(50);

/// How long there is too much.
const DURATION: Duration = Duration::from_secs(60);

/// After this it must be as before.
const WELL_AFTER: Duration = Duration::from_secs(2);

/// How long a normal load is watched, before and after.
const NORMAL: Duration = Duration::from_secs(10);

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let limits = json!({ "instances": INSTANCES, "queue": QUEUE });
    let pair = Pair::start(lab, "overload", "misbehaver", limits)?;
    let start = Instant::now();
    let calls = at_once(&pair.plan(lab, PATH, 1, 1), INSTANCES, PEAK_CALLS)?;
    let peak = right_each_second(&calls, start.elapsed());
    let normal = |duration| normal_p99(lab, &pair, peak, duration);
    let before = normal(NORMAL)?;
    let start = Instant::now();
    let rate = (peak * 3.0) as u32;
    let load = Load::start(pair.plan(lab, PATH, rate, CLIENTS));
    waiting::pause(DURATION)?;
    let overloaded = load.stop()?;
    let goodput = right_each_second(&overloaded, start.elapsed());
    waiting::pause(WELL_AFTER)?;
    let after = normal(NORMAL)?;

    report.remark("H9", "the peak", format!("{peak:.0} answers/s"));
    let what = format!("answers each second at {rate} requests/s");
    let (figure, bar) = (
        format!("{goodput:.0}, {:.0} %", goodput / peak * 100.0),
        format!("at least {:.0} % of the peak", GOODPUT * 100.0),
    );
    report.line("H9", &what, figure, &bar, goodput >= GOODPUT * peak);
    let is_refused = |it: &Entry| it.outcome == Outcome::Status(503, Some("overloaded".to_owned()));
    let others = overloaded.entries().iter();
    let others = others
        .filter(|it| it.is_failure() && !is_refused(it))
        .count();
    let what = "requests that were neither answered nor refused as overloaded";
    report.none_of("H9", what, others, overloaded.count());
    let refused = overloaded.without(|it| !is_refused(it));
    report.remark("H9", "refused", refused.count().to_string());
    let what = "99 of 100 refusals come within";
    report.longest("H9", what, &[Some(refused.p99())], REFUSED_WITHIN);
    let what = "p99 of a third of the peak, 2 s after the load fell";
    report.slowdown("H9", what, (before, after), 1.5);
    Ok(())
}

/// Returns how many right answers came each second.
fn right_each_second(ledger: &Ledger, time: Duration) -> f64 {
    let right = ledger.count() - ledger.failures().count();
    right as f64 / time.as_secs_f64()
}

/// Returns the p99 of a third of the peak.
fn normal_p99(lab: &Lab, pair: &Pair, peak: f64, duration: Duration) -> Result<Duration> {
    let load = Load::start(pair.plan(lab, PATH, (peak / 3.0) as u32, CLIENTS));
    waiting::pause(duration)?;
    Ok(load.stop()?.p99())
}
