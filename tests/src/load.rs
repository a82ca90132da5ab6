//! Load: requests at a fixed rate whatever the answers, or as many as possible from a number of clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Client, Response};
use crate::site::wait_until;

/// Requests at a fixed rate over a fixed number of connections that are kept open.
///
/// The time of a request counts from the moment it was due, so that a stalled server is seen by every request that
/// should have been sent meanwhile.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to.
    pub address: SocketAddr,
    /// Which host to ask for.
    pub host: String,
    /// Which path.
    pub path: String,
    /// Requests in a second, all connections together.
    pub rate: u32,
    /// Connections.
    pub connections: u32,
}

/// Load that is running.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    workers: Vec<Worker>,
}

/// One connection.
#[derive(Debug)]
struct Worker {
    answered: Arc<AtomicUsize>,
    thread: JoinHandle<Report>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The answers, each with the time from when its request was due.
    pub answers: Vec<(Response, Duration)>,
    /// What went wrong with requests that have no answer.
    pub failures: Vec<String>,
}

impl Load {
    /// Starts sending.
    pub fn start(self) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let begin = Instant::now();
        let workers = (0..self.connections).map(|number| {
            let (load, stop) = (self.clone(), stop.clone());
            let answered = Arc::new(AtomicUsize::new(0));
            let counter = answered.clone();
            let work = move || load.work(begin, number, &stop, &counter);
            Worker {
                answered,
                thread: std::thread::spawn(work),
            }
        });
        Running {
            workers: workers.collect(),
            stop,
        }
    }

    /// Sends for `duration` and returns what became of it.
    pub fn run_for(self, duration: Duration) -> Report {
        let running = self.start();
        std::thread::sleep(duration);
        running.stop()
    }

    fn work(
        &self,
        begin: Instant,
        number: u32,
        stop: &AtomicBool,
        answered: &AtomicUsize,
    ) -> Report {
        let mut report = Report::default();
        let period = Duration::from_secs(1) * self.connections / self.rate;
        let mut due = begin + period * number / self.connections;
        let Ok(mut client) = Client::connect(self.address, &self.host) else {
            report.failures.push("no connection".to_owned());
            return report;
        };
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            match client.get(&self.path) {
                Ok(response) => {
                    let last = response.is_last();
                    report.answers.push((response, due.elapsed()));
                    answered.fetch_add(1, Ordering::Relaxed);
                    if last {
                        break;
                    }
                }
                Err(error) => {
                    report.failures.push(error.to_string());
                    break;
                }
            }
            due += period;
        }
        report
    }
}

impl Running {
    /// Waits until each connection has had this many more answers, or has ended.
    ///
    /// # Panics
    /// When that takes a minute.
    pub fn wait_for_each(&self, answers: usize) {
        let answered = |worker: &Worker| worker.answered.load(Ordering::Relaxed);
        let ends: Vec<usize> = self
            .workers
            .iter()
            .map(|it| answered(it) + answers)
            .collect();
        wait_until("each connection has its answers", || {
            let mut workers = self.workers.iter().zip(&ends);
            workers.all(|(it, end)| answered(it) >= *end || it.thread.is_finished())
        });
    }

    /// Stops sending; requests in flight are waited for.
    pub fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits until the server has ended every connection in order.
    pub fn join(self) -> Report {
        let mut report = Report::default();
        for worker in self.workers {
            report.add(worker.thread.join().expect("a worker does not panic"));
        }
        report
    }
}

impl Report {
    /// Adds another report.
    pub fn add(&mut self, other: Self) {
        self.answers.extend(other.answers);
        self.failures.extend(other.failures);
    }

    /// Counts the answers with `status`.
    pub fn count(&self, status: u16) -> usize {
        self.with(status).count()
    }

    /// The answers with `status` and how long each took.
    pub fn with(&self, status: u16) -> impl Iterator<Item = &(Response, Duration)> {
        self.answers
            .iter()
            .filter(move |(response, _)| response.status == status)
    }

    /// Returns the time within which `percent` of the answers with `status` came.
    ///
    /// # Panics
    /// When there is none.
    pub fn percentile(&self, status: u16, percent: usize) -> Duration {
        let mut times: Vec<Duration> = self.with(status).map(|(_, time)| *time).collect();
        times.sort();
        assert!(!times.is_empty(), "no answer has status {status}: {self}");
        times[(times.len() * percent / 100).min(times.len() - 1)]
    }

    /// Asserts that every request was answered with 200, and that there were at least `at_least`.
    ///
    /// # Panics
    /// When that is not so.
    pub fn assert_all_ok(&self, at_least: usize) {
        let ok = self.count(200);
        let all = self.answers.len() + self.failures.len();
        assert!(
            ok == all && ok >= at_least,
            "not all of at least {at_least} are ok: {self}"
        );
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
        for (response, _) in &self.answers {
            *statuses.entry(response.status).or_default() += 1;
        }
        let first = self.failures.first();
        write!(
            f,
            "statuses {statuses:?}, {} failures, first {first:?}",
            self.failures.len()
        )
    }
}

/// Sends `calls` requests from `clients` threads as fast as they are answered; `path` names the path of each.
pub fn at_once(
    address: SocketAddr,
    host: &str,
    clients: usize,
    calls: usize,
    path: impl Fn(usize) -> String + Send + Sync,
) -> Report {
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let path = &path;
        let worker =
            |first| move || closed_loop(address, host, (first..calls).step_by(clients), path);
        let workers: Vec<_> = (0..clients)
            .map(|first| scope.spawn(worker(first)))
            .collect();
        for worker in workers {
            report.add(worker.join().expect("a worker does not panic"));
        }
    });
    report
}

fn closed_loop(
    address: SocketAddr,
    host: &str,
    calls: impl Iterator<Item = usize>,
    path: &(impl Fn(usize) -> String + Sync),
) -> Report {
    let mut report = Report::default();
    let mut client = None;
    for call in calls {
        let start = Instant::now();
        let connected = match client.take() {
            Some(client) => Ok(client),
            None => Client::connect(address, host),
        };
        let answer = connected.and_then(|mut client| {
            let response = client.get(&path(call))?;
            Ok((client, response))
        });
        match answer {
            Ok((open, response)) => {
                client = (!response.is_last()).then_some(open);
                report.answers.push((response, start.elapsed()));
            }
            Err(error) => report.failures.push(format!("{}: {error}", path(call))),
        }
    }
    report
}
