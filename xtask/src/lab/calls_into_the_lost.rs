//! R2: calls into a host that is killed are answered at once with what happened, and the next ones go elsewhere.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Signal;

use super::applications::{self, CALLER};
use super::cluster::{Cluster, Layout};
use super::load::{Ask, CLIENTS, Entry, Ledger, Load, Outcome, Plan};
use super::{Lab, Report, waiting};

/// How soon a call into a lost host is answered, and how long calls may be sent there.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How long a host is frozen before it is killed: calls reach its socket, and it reads none.
const FROZEN: Duration = Duration::from_secs(1);

/// The class with which a call ends that used up its CPU time on a host that lives.
const SPUN_OUT: &str = "trap";

/// One way to lose a host with calls under way.
struct Course {
    /// What the host is, for the report.
    host: &'static str,
    is_frozen_before: bool,
    path: &'static str,
    /// Requests each second.
    rate: u32,
    /// From the first request to the fault.
    lead: Duration,
    /// How long the requests go on after the fault.
    aftermath: Duration,
    trials: u32,
}

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut cluster = Cluster::start(lab, "calls_into_the_lost", Layout::Loopback, 3)?;
    applications::deploy(lab, &cluster, &CALLER, &[0], &[1, 2])?;
    let killed = Course {
        host: "a host that is killed",
        is_frozen_before: false,
        // Many calls one after the other, so that some are on their way at any moment.
        path: "/nop?n=400",
        rate: 10,
        lead: Duration::from_secs(2),
        aftermath: Duration::from_secs(4),
        trials: lab.of(2, 40),
    };
    let hung = Course {
        host: "a host that hangs for 1 s, then is killed",
        is_frozen_before: true,
        trials: lab.of(1, 10),
        ..killed
    };
    let working = Course {
        host: "a host that is killed while it works on them",
        is_frozen_before: false,
        path: "/spin",
        rate: 4,
        lead: Duration::from_millis(900),
        aftermath: Duration::ZERO,
        trials: lab.of(2, 20),
    };
    for course in [killed, hung, working] {
        let mut findings = Findings::default();
        for number in 0..course.trials {
            let seed = lab.seed.wrapping_add(u64::from(number));
            trial(&mut cluster, &course, seed, &mut findings)?;
            cluster.hosts[1].start(&[])?;
            cluster.hosts[1].wait_for_id()?;
            let callee = applications::component(lab, CALLER.back, &cluster.hosts[1]);
            cluster.command_line.all(vec![callee])?;
        }
        findings.tell(report, &course);
    }
    Ok(())
}

fn trial(cluster: &mut Cluster, course: &Course, seed: u64, findings: &mut Findings) -> Result<()> {
    let caller = &cluster.hosts[0];
    let load = Load::start(Plan {
        place: caller.place.clone(),
        address: caller.http,
        ask: Ask::Path(course.path.to_owned()),
        rate: course.rate,
        clients: CLIENTS,
        seed,
    });
    waiting::pause(course.lead)?;
    if course.is_frozen_before {
        cluster.hosts[1].signal(Signal::STOP);
        waiting::pause(FROZEN)?;
    }
    let killed = cluster.hosts[1].kill()?;
    waiting::pause(course.aftermath)?;
    findings.add(killed, &load.stop()?);
    Ok(())
}

/// What became of the requests around the moments of the faults.
#[derive(Default)]
struct Findings {
    /// Requests with a call under way at that moment, somewhere.
    open: usize,
    /// Those that failed without saying how.
    untyped: usize,
    /// From the fault until the answer of those that failed.
    answers: Vec<Option<Duration>>,
    /// From a fault until the last request that failed was due.
    windows: Vec<Option<Duration>>,
    /// Requests due after the window.
    later: Ledger,
}

impl Findings {
    fn add(&mut self, fault: Instant, ledger: &Ledger) {
        let far = fault + Duration::from_secs(3_600);
        let is_open = |it: &&Entry| it.due < fault && it.end > fault;
        self.open += ledger.entries().iter().filter(is_open).count();
        let is_loss = |it: &&Entry| it.end > fault && class(it) != Some(SPUN_OUT);
        let failures: Vec<&Entry> = ledger.failures().filter(is_loss).collect();
        self.untyped += failures.iter().filter(|it| class(it).is_none()).count();
        // What was due later is measured from then: it could not be answered before.
        let time = |it: &&Entry| Some(it.end.duration_since(fault.max(it.due)));
        self.answers.extend(failures.iter().map(time));
        let last = failures
            .iter()
            .map(|it| it.due.saturating_duration_since(fault));
        self.windows.push(Some(last.max().unwrap_or_default()));
        self.later.join(ledger.between(fault + ANSWER_LIMIT, far));
    }

    fn tell(&self, report: &mut Report, course: &Course) {
        let host = course.host;
        let what = format!("calls into {host}: failed without a class");
        report.none_of("R2", &what, self.untyped, self.open);
        let what = format!("calls into {host}: until those that fail are answered");
        if self.answers.is_empty() {
            let figure = format!("none of {} failed", self.open);
            report.line("R2", &what, figure, "at most 2.00 s", true);
        } else {
            report.longest("R2", &what, &self.answers, ANSWER_LIMIT);
        }
        if course.aftermath > ANSWER_LIMIT {
            let what = format!("calls into {host}: how long new ones fail");
            report.longest("R2", &what, &self.windows, ANSWER_LIMIT);
            let what = format!("requests due 2 s after losing {host} that failed");
            report.failures("R2", &what, &self.later);
        }
    }
}

/// The class of the failure, where one was named.
fn class(entry: &Entry) -> Option<&str> {
    match &entry.outcome {
        Outcome::Status(_, class) => class.as_deref(),
        _ => None,
    }
}
