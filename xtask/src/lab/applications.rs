//! What runs in the lattices under test: components that call one another, started as a person starts them.

use std::net::SocketAddr;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Lab;
use super::cluster::{Cluster, Host, free_port};
use super::command_line::{CommandLine, words};
use super::http_client::Client;
use super::load::{Ask, CLIENTS, Load, Plan};
use super::namespaces::Place;
use super::waiting;

/// Calls that a component serves at once on a host: more than the load ever has open, so that no call leaves
/// the host for want of room.
const INSTANCES: u32 = 100;

/// How long an application may take to answer for the first time; it is compiled first.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Load that is counted but not compared: instances and connections are made in it.
pub(super) const WARM_UP: Duration = Duration::from_secs(2);

/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Two components, one of which answers HTTP by calling the other.
pub(super) struct Pair {
    /// The id and file of the one that answers.
    pub(super) front: (&'static str, &'static str),
    /// The id and file of the one that is called.
    pub(super) back: (&'static str, &'static str),
    /// Namespace, package and interfaces of the call.
    pub(super) link: &'static str,
    /// What shows that both work.
    pub(super) probe: &'static str,
}

/// Changes texts to upper case, each request one short call.
pub(super) const UPPER: Pair = Pair {
    front: ("web", "to_upper_http"),
    back: ("upper", "to_upper_upper"),
    link: "trellis-examples text --interface upper",
    probe: "/probe",
};

/// Makes as many calls for one request as its path says.
pub(super) const CALLER: Pair = Pair {
    front: ("caller", "caller"),
    back: ("callee", "callee"),
    link: "trellis-test types --interface api,bench,deeds",
    probe: "/nop?n=1",
};

/// Runs `id` on a host, with room for the whole load.
pub(super) fn component(lab: &Lab, (id, file): (&str, &str), host: &Host) -> Vec<String> {
    let (file, zone) = (lab.guest(file), &host.zone);
    words(&format!(
        "start component {file} --id {id} --instances {INSTANCES} --label zone={zone}"
    ))
}

/// A provider of HTTP on one host, which passes requests to a component.
pub(super) struct Entrance {
    name: String,
    zone: String,
    place: Place,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Entrance {
    /// The entrance that the load uses.
    pub(super) fn main(host: &Host) -> Self {
        Self::at(host, "http", host.http)
    }

    /// A further one, whose address may change while the load goes on.
    ///
    /// # Errors
    /// When there is no free port.
    pub(super) fn second(host: &Host) -> Result<Self> {
        let address = SocketAddr::new(host.http.ip(), free_port()?);
        Ok(Self::at(host, "second", address))
    }

    fn at(host: &Host, name: &str, address: SocketAddr) -> Self {
        Self {
            name: format!("{name}-{}", host.zone),
            zone: host.zone.clone(),
            place: host.place.clone(),
            address,
        }
    }

    /// Opens it for requests to `component`.
    ///
    /// # Errors
    /// When the provider does not start.
    pub(super) fn open(&self, person: &CommandLine, component: &str) -> Result<()> {
        let Self { name, zone, .. } = self;
        let link = words(&format!(
            "link put {name} {component} wasi http --interface incoming-handler --source-config {name}"
        ));
        let provider = words(&format!(
            "start provider builtin:http-server --id {name} --label zone={zone}"
        ));
        // The link names the config, and the provider is ready once it has both.
        person.all(vec![self.config()])?;
        person.all(vec![link])?;
        person.all(vec![provider])
    }

    fn config(&self) -> Vec<String> {
        words(&format!(
            "config put {} address={}",
            self.name, self.address
        ))
    }

    /// Moves it to another port by a change of its config. A command that a host cut off from the lattice was to
    /// carry out gets no answer, and is given again.
    ///
    /// # Errors
    /// When the change is not acknowledged.
    pub(super) fn move_away(&mut self, person: &CommandLine) -> Result<()> {
        self.address.set_port(free_port()?);
        waiting::until("a change is acknowledged", READY_LIMIT, || {
            Ok(person.all(vec![self.config()]).ok())
        })?;
        Ok(())
    }

    /// Waits until it answers at its address. Returns how long that took from `start` on, or nothing when it
    /// does not come to that.
    ///
    /// # Errors
    /// When nobody can look.
    pub(super) fn answers_since(&self, start: Instant) -> Result<Option<Duration>> {
        let seen = waiting::within(READY_LIMIT, || {
            let answers = answers_at(&self.place, self.address, UPPER.probe)?;
            Ok(answers.then(|| start.elapsed()))
        })?;
        Ok(seen.map(|(time, _)| time))
    }
}

/// Runs `pair` with its front on the hosts `fronts` and its back on `backs`, and waits until every front
/// answers.
///
/// # Errors
/// When something does not start.
pub(super) fn deploy(
    lab: &Lab,
    cluster: &Cluster,
    pair: &Pair,
    fronts: &[usize],
    backs: &[usize],
) -> Result<()> {
    let (front, back) = (pair.front.0, pair.back.0);
    let link = words(&format!("link put {front} {back} {}", pair.link));
    let mut starts = vec![link];
    let host = |index: &usize| &cluster.hosts[*index];
    starts.extend(fronts.iter().map(|it| component(lab, pair.front, host(it))));
    starts.extend(backs.iter().map(|it| component(lab, pair.back, host(it))));
    cluster.command_line.all(starts)?;
    let person = &cluster.command_line;
    thread::scope(|scope| {
        let open = |it| scope.spawn(move || Entrance::main(host(it)).open(person, front));
        let opening: Vec<_> = fronts.iter().map(open).collect();
        opening.into_iter().try_for_each(joined)
    })?;
    for index in fronts {
        let host = host(index);
        let what = format!("{} answers on host {}", front, host.zone);
        waiting::until(&what, READY_LIMIT, || {
            Ok(answers(host, pair.probe)?.then_some(()))
        })?;
    }
    Ok(())
}

/// Whether the application on `host` answers 200 at `path`.
///
/// # Errors
/// When nobody can look.
pub(super) fn answers(host: &Host, path: &str) -> Result<bool> {
    answers_at(&host.place, host.http, path)
}

/// Whether `address` answers 200 at `path`, seen from `place`.
///
/// # Errors
/// When nobody can look.
pub(super) fn answers_at(place: &Place, address: SocketAddr, path: &str) -> Result<bool> {
    let (place, path) = (place.clone(), path.to_owned());
    // A thread of its own, since a thread that entered a namespace stays there.
    let look = thread::spawn(move || {
        place.enter()?;
        let answer = Client::new(address, LOOK_TIMEOUT).get(&path);
        Ok(answer.is_ok_and(|it| it.status == 200))
    });
    look.join().unwrap_or_else(|_| bail!("a thread panicked"))
}

/// Waits for a thread of a scenario.
///
/// # Errors
/// What the thread failed with, or that it panicked.
pub(super) fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| bail!("a thread panicked"))
}

/// Starts a load on the application of `host`.
pub(super) fn load(lab: &Lab, host: &Host, rate: u32) -> Load {
    Load::start(Plan {
        place: host.place.clone(),
        address: host.http,
        ask: Ask::Upper,
        rate,
        clients: CLIENTS,
        seed: lab
            .seed
            .wrapping_add(host.zone.bytes().map(u64::from).sum()),
    })
}
