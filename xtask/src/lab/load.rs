//! Requests at a steady rate, whatever becomes of those before: a host that stalls makes them late, not fewer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::applications::joined;
use super::http_client::{Client, NoAnswer};
use super::namespaces::Place;
use super::waiting;

/// Requests that can be open at once unless a plan says otherwise; further ones are late, which counts.
pub(super) const CLIENTS: usize = 32;

/// A client does not wait longer. Longer than any deadline of a call under test that is met.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked, of whom, how often.
#[derive(Clone)]
pub(super) struct Plan {
    /// From where.
    pub(super) place: Place,
    /// Whom.
    pub(super) address: SocketAddr,
    /// What.
    pub(super) ask: Ask,
    /// Requests each second.
    pub(super) rate: u32,
    /// Requests that can be open at once; further ones are late, which counts.
    pub(super) clients: usize,
    /// What the moments of the requests follow from.
    pub(super) seed: u64,
}

/// What is asked, and what the answer must be.
#[derive(Clone)]
pub(super) enum Ask {
    /// A path of its own for each request, which comes back in upper case: an answer to another is seen.
    Upper,
    /// This path, answered with status 200.
    Path(String),
}

/// How one request came out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// As it should.
    Right,
    /// With a status that is not 200, and the class of the failure where one was named.
    Status(u16, Option<String>),
    /// With the answer to something else.
    Wrong,
    /// Without an answer.
    Nothing(NoAnswer),
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// When it was due.
    pub(super) due: Instant,
    /// When its outcome was known.
    pub(super) end: Instant,
    /// How it came out.
    pub(super) outcome: Outcome,
}

impl Entry {
    /// Whether it failed.
    pub(super) fn is_failure(&self) -> bool {
        self.outcome != Outcome::Right
    }
}

/// Requests that are being made until [`Load::stop`].
pub(super) struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<Result<()>>>,
}

struct Shared {
    plan: Plan,
    schedule: Mutex<Schedule>,
    entries: Mutex<Vec<Entry>>,
    is_over: AtomicBool,
}

struct Schedule {
    random: fastrand::Rng,
    next: Instant,
    number: u64,
}

impl Schedule {
    /// Takes the next request: its number and when it is due. The gaps are those of independent clients.
    fn take(&mut self, rate: u32) -> (u64, Instant) {
        let gap = -(1.0 - self.random.f64()).ln() / f64::from(rate.max(1));
        self.next += Duration::from_secs_f64(gap.min(1.0));
        self.number += 1;
        (self.number, self.next)
    }
}

impl Load {
    /// Starts to ask.
    pub(super) fn start(plan: Plan) -> Self {
        let schedule = Schedule {
            random: fastrand::Rng::with_seed(plan.seed),
            next: Instant::now(),
            number: 0,
        };
        let clients = plan.clients;
        let shared = Arc::new(Shared {
            plan,
            schedule: Mutex::new(schedule),
            entries: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let worker = |_| {
            let shared = shared.clone();
            thread::spawn(move || shared.work())
        };
        let workers = (0..clients).map(worker).collect();
        Self { shared, workers }
    }

    /// Waits for the answers that are due and returns all entries.
    ///
    /// # Errors
    /// A worker that could not enter its namespace.
    pub(super) fn stop(mut self) -> Result<Ledger> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread of the load panicked"),
            }
        }
        let entries = std::mem::take(&mut *lock(&self.shared.entries));
        Ok(Ledger { entries })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // The threads end by themselves; nobody reads what they found.
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn work(&self) -> Result<()> {
        self.plan.place.enter()?;
        let mut client = Client::new(self.plan.address, ANSWER_TIMEOUT);
        loop {
            let (number, due) = lock(&self.schedule).take(self.plan.rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            let outcome = self.plan.ask.outcome(&mut client, number);
            let entry = Entry {
                due,
                end: Instant::now(),
                outcome,
            };
            lock(&self.entries).push(entry);
        }
    }
}

impl Ask {
    fn outcome(&self, client: &mut Client, number: u64) -> Outcome {
        let (path, expected) = match self {
            Self::Upper => (
                format!("/request-{number}"),
                Some(format!("REQUEST-{number}\n")),
            ),
            Self::Path(path) => (path.clone(), None),
        };
        match client.get(&path) {
            Err(why) => Outcome::Nothing(why),
            Ok(answer) if answer.status != 200 => Outcome::Status(answer.status, answer.class),
            Ok(answer) if expected.is_some_and(|it| it.as_bytes() != answer.body) => Outcome::Wrong,
            Ok(_) => Outcome::Right,
        }
    }
}

/// Makes `calls` of the plan's requests from `clients` clients, each as soon as the one before is answered; the plan's
/// rate is not looked at.
///
/// # Errors
/// A client that could not enter its namespace, or an interrupted run.
pub(super) fn at_once(plan: &Plan, clients: usize, calls: usize) -> Result<Ledger> {
    let work = |first: usize| -> Result<Vec<Entry>> {
        plan.place.enter()?;
        let mut client = Client::new(plan.address, ANSWER_TIMEOUT);
        let mut entries = Vec::new();
        for call in (first..calls).step_by(clients.max(1)) {
            waiting::go_on()?;
            let due = Instant::now();
            let outcome = plan.ask.outcome(&mut client, call as u64);
            entries.push(Entry {
                due,
                end: Instant::now(),
                outcome,
            });
        }
        Ok(entries)
    };
    let mut ledger = Ledger::default();
    thread::scope(|scope| {
        let work = &work;
        let started: Vec<_> = (0..clients)
            .map(|first| scope.spawn(move || work(first)))
            .collect();
        for worker in started {
            ledger.entries.extend(joined(worker)?);
        }
        Ok(ledger)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All requests of a load.
#[derive(Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    /// Returns the requests that were due from `start` until `end`.
    pub(super) fn between(&self, start: Instant, end: Instant) -> Ledger {
        let is_within = |it: &&Entry| it.due >= start && it.due < end;
        Ledger {
            entries: self.entries.iter().filter(is_within).cloned().collect(),
        }
    }

    /// Adds the requests of another load.
    pub(super) fn join(&mut self, other: Ledger) {
        self.entries.extend(other.entries);
    }

    /// Leaves those out for which `is_other` holds.
    pub(super) fn without(mut self, is_other: impl Fn(&Entry) -> bool) -> Ledger {
        self.entries.retain(|it| !is_other(it));
        self
    }

    /// Returns all requests.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns how many requests there are.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Returns those that failed.
    pub(super) fn failures(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|it| it.is_failure())
    }

    /// Returns the time that all but one of a hundred requests took at most, from when they were due.
    pub(super) fn p99(&self) -> Duration {
        self.percentile(99)
    }

    /// Returns the time that `percent` of the requests took at most, from when they were due.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let times = self
            .entries
            .iter()
            .map(|it| it.end.saturating_duration_since(it.due));
        percentile(times.collect(), percent)
    }

    /// Writes how many failed, and how.
    pub(super) fn figure(&self) -> String {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for entry in self.failures() {
            *kinds.entry(text(&entry.outcome)).or_default() += 1;
        }
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(kind, n)| format!("{n} {kind}"))
            .collect();
        let failed = self.failures().count();
        let kinds = match kinds.join(", ") {
            kinds if kinds.is_empty() => kinds,
            kinds => format!(" ({kinds})"),
        };
        format!("{failed} of {}{kinds}", self.count())
    }
}

fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Right => "right".to_owned(),
        Outcome::Status(status, None) => status.to_string(),
        Outcome::Status(status, Some(class)) => format!("{status} {class}"),
        Outcome::Wrong => "wrong".to_owned(),
        Outcome::Nothing(why) => format!("{why:?}").to_lowercase(),
    }
}

/// The smallest of `times` that is not below `percent` of them.
fn percentile(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).max(1);
    times.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_repeats_and_keeps_its_rate() {
        let start = Instant::now();
        let take = |seed| {
            let mut schedule = Schedule {
                random: fastrand::Rng::with_seed(seed),
                next: start,
                number: 0,
            };
            (0..1_000).map(|_| schedule.take(100)).collect::<Vec<_>>()
        };
        assert_eq!(take(7), take(7));
        let (number, last) = take(7)[999];
        assert_eq!(number, 1_000);
        let seconds = (last - start).as_secs_f64();
        assert!((9.0..11.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn failures_are_counted_by_kind() {
        let now = Instant::now();
        let entry = |ms: u64, outcome| Entry {
            due: now + Duration::from_millis(ms),
            end: now + Duration::from_millis(2 * ms),
            outcome,
        };
        let lost = || Outcome::Status(503, Some("unavailable".to_owned()));
        let ledger = Ledger {
            entries: vec![
                entry(1, Outcome::Right),
                entry(2, lost()),
                entry(3, lost()),
                entry(4, Outcome::Nothing(NoAnswer::Cut)),
            ],
        };
        assert_eq!(ledger.figure(), "3 of 4 (2 503 unavailable, 1 cut)");
        assert_eq!(ledger.p99(), Duration::from_millis(4));
        let middle = ledger.between(
            now + Duration::from_millis(2),
            now + Duration::from_millis(4),
        );
        assert_eq!(middle.count(), 2);
        let rest = ledger.without(|it| matches!(it.outcome, Outcome::Status(..)));
        assert_eq!(rest.figure(), "1 of 2 (1 cut)");
    }

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(times, 99), Duration::from_millis(198));
        assert_eq!(percentile(Vec::new(), 99), Duration::ZERO);
    }
}
