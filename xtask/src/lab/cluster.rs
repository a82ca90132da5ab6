//! One real NATS server and the hosts that joined it, each with a home of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;

use super::command_line::{self, CommandLine};
use super::namespaces::{Network, Place};
use super::nats_server::NatsServer;
use super::process::Process;
use super::{Lab, fresh_folder, make_folder, waiting};

/// How long a process may take to start on a machine that builds at the same time.
pub(super) const START_LIMIT: Duration = Duration::from_secs(30);

/// Below those that systems give to outgoing connections.
const PORTS: Range<u16> = 20_000..30_000;

/// A machine on which so many are taken has a problem of its own.
const PORTS_TRIED_MAX: usize = 100;

/// After this a host that has not joined counts as one that never does.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);

/// Everything of one scenario. All of it ends when this is dropped, and the logs stay.
pub(super) struct Cluster {
    /// The hosts, `z1` first.
    pub(super) hosts: Vec<Host>,
    /// The server.
    pub(super) nats: NatsServer,
    /// Commands against the lattice, run where the server is.
    pub(super) command_line: CommandLine,
    /// The network, where it is not the machine's own. Last: its processes must have ended.
    pub(super) network: Option<Network>,
}

/// How a cluster is laid out.
pub(super) enum Layout {
    /// Everything on loopback.
    Loopback,
    /// The server and each host in a network namespace.
    Namespaces,
}

impl Cluster {
    /// Starts a server and `count` hosts, and waits until all have joined.
    ///
    /// # Errors
    /// What keeps one of them from starting.
    pub(super) fn start(lab: &Lab, scenario: &str, layout: Layout, count: u8) -> Result<Self> {
        let mut cluster = Self::prepare(lab, scenario, layout, count)?;
        cluster.nats.start()?;
        for host in &mut cluster.hosts {
            host.start(&[])?;
        }
        for host in &mut cluster.hosts {
            host.wait_for_id()?;
        }
        cluster.wait_until_joined(usize::from(count), START_LIMIT)?;
        Ok(cluster)
    }

    /// The same with nothing started.
    ///
    /// # Errors
    /// Folders or namespaces that cannot be made.
    pub(super) fn prepare(lab: &Lab, scenario: &str, layout: Layout, count: u8) -> Result<Self> {
        let folder = fresh_folder(lab, scenario)?;
        let network = match layout {
            Layout::Loopback => None,
            Layout::Namespaces => Some(Network::new(count + 1)?),
        };
        let place = |index: u8| match &network {
            None => Place::loopback(),
            Some(network) => network.places()[usize::from(index)].clone(),
        };
        let nats = NatsServer::prepare(lab, place(0), folder.clone())?;
        let command_line = CommandLine {
            place: place(0),
            trellis: lab.trellis.clone(),
            home: folder.join("person"),
            server: nats.url(),
        };
        make_folder(&command_line.home)?;
        let host = |index| Host::prepare(&command_line, place(index), &folder, index);
        let hosts = (1..=count).map(host).collect::<Result<_>>()?;
        Ok(Self {
            hosts,
            nats,
            command_line,
            network,
        })
    }

    /// Waits until `count` hosts answer that they are joined.
    ///
    /// # Errors
    /// When they do not within `limit`.
    pub(super) fn wait_until_joined(&self, count: usize, limit: Duration) -> Result<()> {
        let what = format!("{count} hosts say that they are joined");
        waiting::until(&what, limit, || Ok((self.joined() >= count).then_some(())))?;
        Ok(())
    }

    /// Returns how often each host has joined so far.
    pub(super) fn joins(&self) -> Vec<usize> {
        self.hosts.iter().map(|it| it.times_in("joined")).collect()
    }

    /// Waits until every host has joined once more than `before`, as their logs tell, and answers so. Returns how
    /// long the former took from `start` on, or nothing when it does not come to that.
    ///
    /// # Errors
    /// When nobody can look.
    pub(super) fn joined_since(
        &self,
        start: Instant,
        before: &[usize],
    ) -> Result<Option<Duration>> {
        let seen = waiting::within(JOIN_PATIENCE, || {
            let is_back = |(now, before): (usize, &usize)| now > *before;
            let all = self.joins().into_iter().zip(before).all(is_back);
            Ok(all.then(|| start.elapsed()))
        })?;
        let Some((time, _)) = seen else {
            return Ok(None);
        };
        // An answer takes a second: the command waits for hosts that it does not know of.
        let answered = waiting::within(JOIN_PATIENCE, || {
            Ok((self.joined() >= self.hosts.len()).then_some(()))
        })?;
        Ok(answered.map(|_| time))
    }

    /// Returns how many hosts answer that they are joined; none where the command fails.
    pub(super) fn joined(&self) -> usize {
        let hosts = self.command_line.run(&["get", "hosts"]);
        let hosts = hosts.ok().and_then(|it| it["hosts"].as_array().cloned());
        let is_joined = |host: &&Value| host["mode"] == "joined";
        hosts.map_or(0, |hosts| hosts.iter().filter(is_joined).count())
    }

    /// Returns what every host runs: `HOST/ID` of components and providers, sorted.
    ///
    /// # Errors
    /// When they cannot be asked.
    pub(super) fn running(&self) -> Result<Vec<String>> {
        let answer = self.command_line.run(&["get", "inventory"])?;
        let hosts = answer["inventories"].as_array();
        let mut running = Vec::new();
        for host in hosts.context("no inventories")? {
            for kind in ["components", "providers"] {
                let items = host[kind].as_array().into_iter().flatten();
                running.extend(items.map(|it| format!("{}/{}", host["host_id"], it["id"])));
            }
        }
        running.sort();
        Ok(running)
    }
}

/// Returns a port that nobody uses at present, and that no outgoing connection will take: whoever listens there may
/// be away for a while.
///
/// # Errors
/// When none is found.
pub(super) fn free_port() -> Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut tried = (0..PORTS_TRIED_MAX).map(|_| fastrand::u16(PORTS));
    tried.find(is_free).context("no free port was found")
}

/// One `trellis up`.
pub(super) struct Host {
    /// Its label `zone`, and the name of its files.
    pub(super) zone: String,
    /// Where it runs.
    pub(super) place: Place,
    /// Where its provider of HTTP listens.
    pub(super) http: SocketAddr,
    /// Where applications listen that it starts by itself.
    pub(super) own_http: SocketAddr,
    /// Its id of the current start.
    pub(super) id: String,
    command_line: CommandLine,
    folder: PathBuf,
    process: Option<Process>,
}

impl Host {
    fn prepare(person: &CommandLine, place: Place, folder: &Path, index: u8) -> Result<Self> {
        let zone = format!("z{index}");
        let home = folder.join(&zone);
        make_folder(&home)?;
        let command_line = CommandLine {
            place: place.clone(),
            home,
            ..person.clone()
        };
        Ok(Self {
            zone,
            place,
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)),
            own_http: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)),
            id: String::new(),
            command_line,
            folder: folder.to_owned(),
            process: None,
        })
    }

    /// Starts it with the applications at `paths`, without waiting for anything.
    ///
    /// # Errors
    /// A binary that cannot be started.
    pub(super) fn start(&mut self, paths: &[&str]) -> Result<Instant> {
        let CommandLine {
            place,
            trellis,
            home,
            server,
        } = &self.command_line;
        let mut command = command_line::trellis(place, trellis, home, server);
        let label = format!("zone={}", self.zone);
        command
            .args(["up", "--label", &label])
            .args(["--http", &self.own_http.to_string()])
            .args(["--output", "json"])
            .args(paths);
        let started = Instant::now();
        self.process = Some(Process::start(command, &self.zone, &self.folder)?);
        Ok(started)
    }

    /// Waits until it says that it has started, and notes its id.
    ///
    /// # Errors
    /// A host that ends instead.
    pub(super) fn wait_for_id(&mut self) -> Result<()> {
        let output = self.folder.join(format!("{}.out", self.zone));
        let what = format!("host {} has started", self.zone);
        let process = self.process.as_mut().context("it was not started")?;
        let (id, _) = waiting::until(&what, START_LIMIT, || {
            if let Some(status) = process.ended()? {
                bail!("host {} ended: {status}; see {0}.log", self.zone);
            }
            let text = fs::read_to_string(&output).unwrap_or_default();
            let line: Option<Value> = serde_json::from_str(text.trim()).ok();
            Ok(line.and_then(|it| Some(it["host_id"].as_str()?.to_owned())))
        })?;
        self.id = id;
        Ok(())
    }

    /// Returns the folder that it takes for its person's.
    pub(super) fn home(&self) -> &Path {
        &self.command_line.home
    }

    /// Returns its commands: as a person at this host would type them.
    pub(super) fn command_line(&self) -> &CommandLine {
        &self.command_line
    }

    /// Kills it without warning. Returns when.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(super) fn kill(&mut self) -> Result<Instant> {
        let now = Instant::now();
        self.process
            .as_mut()
            .context("it was not started")?
            .kill()?;
        Ok(now)
    }

    /// Sends a signal. Returns when.
    pub(super) fn signal(&self, signal: Signal) -> Instant {
        let now = Instant::now();
        if let Some(process) = &self.process {
            process.signal(signal);
        }
        now
    }

    /// Waits for its end. Returns the exit code and when, or nothing when it does not end within `limit`.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(super) fn wait_for_end(
        &mut self,
        limit: Duration,
    ) -> Result<Option<(Option<i32>, Instant)>> {
        let process = self.process.as_mut().context("it was not started")?;
        let ended = process.end_within(limit)?;
        Ok(ended.map(|(status, when)| (status.code(), when)))
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// When it cannot be asked for.
    pub(super) fn is_running(&mut self) -> Result<bool> {
        match &mut self.process {
            Some(process) => Ok(process.ended()?.is_none()),
            None => Ok(false),
        }
    }

    /// Returns how often it has come into the mode of this name, over all its starts.
    pub(super) fn times_in(&self, mode: &str) -> usize {
        let log = self.folder.join(format!("{}.log", self.zone));
        let log = fs::read_to_string(log).unwrap_or_default();
        log.matches(&format!("to=\"{mode}\"")).count()
    }
}
