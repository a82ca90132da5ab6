//! K11: a host that is told to leave loses no request, is gone when it is done, and says so.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::applications::{self, Entrance, UPPER};
use super::cluster::{Cluster, Host, Layout};
use super::http_client::{Client, NoAnswer};
use super::load::{Entry, Ledger, Outcome};
use super::process::Process;
use super::{Lab, Report, waiting};

/// With nothing in flight.
const IDLE_LIMIT: Duration = Duration::from_secs(1);

/// With requests in flight.
const BUSY_LIMIT: Duration = Duration::from_secs(30);

/// After a second signal: the time of a process to end.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The load before and after the signal.
const LEAD: Duration = Duration::from_secs(3);

/// Time for a request to arrive before the signal.
const ARRIVAL: Duration = Duration::from_millis(500);

/// After this an end counts as never: the grace for calls, and some.
const END_PATIENCE: Duration = Duration::from_secs(40);

/// The exit code of a host that was told twice.
const TOLD_TWICE: i32 = 130;

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut cluster = Cluster::start(lab, "drain", Layout::Loopback, 3)?;
    let events = Events::follow(&cluster, lab)?;
    applications::deploy(lab, &cluster, &UPPER, &[0, 1], &[1, 2])?;
    let mut under_load = UnderLoad::default();
    for number in 0..lab.of(2, 50) {
        let signal = [Signal::TERM, Signal::INT][number % 2];
        under_load.trial(lab, &mut cluster, signal)?;
        come_back(lab, &mut cluster)?;
    }
    under_load.tell(report);
    idle(lab, &mut cluster, report)?;
    slow_request(lab, &mut cluster, report)?;
    second_signal(lab, &mut cluster, report)?;
    let gone = &under_load.gone;
    let unheard = gone.iter().filter(|id| !events.tell_of(id)).count();
    let what = "hosts that left without the lattice being told";
    report.none_of("K11", what, unheard, gone.len());
    Ok(())
}

/// Starts the host anew that left, with what it ran.
fn come_back(lab: &Lab, cluster: &mut Cluster) -> Result<()> {
    cluster.hosts[1].start(&[])?;
    cluster.hosts[1].wait_for_id()?;
    let host = &cluster.hosts[1];
    let starts = [UPPER.front, UPPER.back].map(|it| applications::component(lab, it, host));
    cluster.command_line.all(starts.into())?;
    Entrance::main(host).open(&cluster.command_line, UPPER.front.0)?;
    waiting::until("the host that came back answers", BUSY_LIMIT, || {
        Ok(applications::answers(host, UPPER.probe)?.then_some(()))
    })?;
    Ok(())
}

/// What happened when a host left under load.
#[derive(Default)]
struct UnderLoad {
    /// Requests to another host, which calls components on this one.
    across: Ledger,
    /// Requests to the host itself, as far as it took them.
    own: Ledger,
    exits: Vec<Option<Duration>>,
    codes: Vec<Option<i32>>,
    gone: Vec<String>,
}

impl UnderLoad {
    fn trial(&mut self, lab: &Lab, cluster: &mut Cluster, signal: Signal) -> Result<()> {
        let rate = lab.of(60, 150);
        let across = applications::load(lab, &cluster.hosts[0], rate);
        let own = applications::load(lab, &cluster.hosts[1], rate);
        waiting::pause(LEAD)?;
        let told = cluster.hosts[1].signal(signal);
        let ended = cluster.hosts[1].wait_for_end(END_PATIENCE)?;
        waiting::pause(LEAD)?;
        self.gone.push(cluster.hosts[1].id.clone());
        self.exits.push(ended.map(|(_, when)| when - told));
        self.codes.push(ended.and_then(|(code, _)| code));
        self.across.join(across.stop()?);
        // Whoever is not let in any more asks elsewhere.
        let is_turned_away =
            |it: &Entry| it.end > told && it.outcome == Outcome::Nothing(NoAnswer::Refused);
        self.own.join(own.stop()?.without(is_turned_away));
        Ok(())
    }

    fn tell(&self, report: &mut Report) {
        let times = self.exits.len();
        let what = format!("requests across hosts that failed as one left, {times} times");
        report.failures("K11", &what, &self.across);
        let what = "requests that the leaving host had taken and that failed";
        report.failures("K11", what, &self.own);
        report.longest(
            "K11",
            "from the signal to the end, under load",
            &self.exits,
            BUSY_LIMIT,
        );
        let wrong = self.codes.iter().filter(|it| **it != Some(0)).count();
        report.none_of("K11", "ends with an exit code that is not 0", wrong, times);
    }
}

/// Tells a host that has nothing to do: once it has joined, and before it had the time to.
fn idle(lab: &Lab, cluster: &mut Cluster, report: &mut Report) -> Result<()> {
    let (mut joined, mut started) = (Vec::new(), Vec::new());
    for number in 0..lab.of(2, 20) {
        let signal = [Signal::TERM, Signal::INT][number % 2];
        let host = &mut cluster.hosts[1];
        joined.push(end(host, signal)?);
        host.start(&[])?;
        host.wait_for_id()?;
        started.push(end(host, signal)?);
        let joins = host.times_in("joined");
        host.start(&[])?;
        host.wait_for_id()?;
        waiting::until("the host has joined", END_PATIENCE, || {
            Ok((host.times_in("joined") > joins).then_some(()))
        })?;
    }
    let what = "from the signal to the end, idle";
    report.longest("K11", what, &joined, IDLE_LIMIT);
    let what = "the same of a host that has just started";
    report.longest("K11", what, &started, IDLE_LIMIT);
    Ok(())
}

/// Sends a signal to an idle host, and kills it where it does not end. Returns how long it took to.
fn end(host: &mut Host, signal: Signal) -> Result<Option<Duration>> {
    let told = host.signal(signal);
    let ended = host.wait_for_end(IDLE_LIMIT * 5)?;
    if ended.is_none() {
        host.kill()?;
    }
    Ok(ended.map(|(_, when)| when - told))
}

/// Starts the host again with a component that answers when it is told to.
fn start_slow(lab: &Lab, cluster: &mut Cluster) -> Result<()> {
    let host = &mut cluster.hosts[1];
    host.kill()?;
    let component = lab.guests.join("misbehaver.wasm");
    host.start(&[component.to_str().context("the folder is not text")?])?;
    host.wait_for_id()?;
    let (place, address) = (&host.place, host.own_http);
    waiting::until("the slow component answers", BUSY_LIMIT, || {
        Ok(applications::answers_at(place, address, "/")?.then_some(()))
    })?;
    Ok(())
}

/// Tells a host while one request takes its time.
fn slow_request(lab: &Lab, cluster: &mut Cluster, report: &mut Report) -> Result<()> {
    start_slow(lab, cluster)?;
    let address = cluster.hosts[1].own_http;
    let asked = thread::spawn(move || Client::new(address, BUSY_LIMIT).get("/sleep?ms=3000"));
    waiting::pause(ARRIVAL)?;
    let told = cluster.hosts[1].signal(Signal::TERM);
    let ended = cluster.hosts[1].wait_for_end(END_PATIENCE)?;
    let answer = asked.join().ok().and_then(Result::ok);
    let failed = usize::from(answer.is_none_or(|it| it.status != 200));
    report.none_of("K11", "slow requests that were cut off", failed, 1);
    let exit = [ended.map(|(_, when)| when - told)];
    let what = "from the signal to the end, with a request of 3 s";
    report.longest("K11", what, &exit, BUSY_LIMIT);
    Ok(())
}

/// Tells a host twice.
fn second_signal(lab: &Lab, cluster: &mut Cluster, report: &mut Report) -> Result<()> {
    start_slow(lab, cluster)?;
    let address = cluster.hosts[1].own_http;
    let asked = thread::spawn(move || Client::new(address, BUSY_LIMIT).get("/sleep?ms=20000"));
    waiting::pause(ARRIVAL)?;
    cluster.hosts[1].signal(Signal::TERM);
    waiting::pause(ARRIVAL)?;
    let told = cluster.hosts[1].signal(Signal::TERM);
    let ended = cluster.hosts[1].wait_for_end(END_PATIENCE)?;
    // Its answer does not matter; the thread ends with the host.
    let _ = asked.join();
    let exit = [ended.map(|(_, when): (_, Instant)| when - told)];
    report.longest("K11", "from a second signal to the end", &exit, AT_ONCE);
    let wrong = usize::from(ended.and_then(|(code, _)| code) != Some(TOLD_TWICE));
    report.none_of(
        "K11",
        "ends of it with an exit code that is not 130",
        wrong,
        1,
    );
    Ok(())
}

/// Follows what the lattice is told.
struct Events {
    _process: Process,
    file: std::path::PathBuf,
}

impl Events {
    fn follow(cluster: &Cluster, lab: &Lab) -> Result<Self> {
        let folder = lab.folder.join("drain");
        let command: Command = cluster
            .command_line
            .command(&["events", "--type", "host_stopped"]);
        Ok(Self {
            _process: Process::start(command, "events", &folder)?,
            file: folder.join("events.out"),
        })
    }

    fn tell_of(&self, host: &str) -> bool {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.contains(host)
    }
}
