//! A host that is part of a lattice: it hears requests, follows the lattice's state, and tells what it
//! does.
//!
//! The decisions are those of [`trellis_node::Machine`]; this is the shell around it. One task owns
//! everything: it turns what happens into an input, and carries out the effects. Work that takes long
//! runs on tasks of its own and comes back as an input.

mod blueprints;
mod carry_out;
mod components;
mod converge;
mod delegate;
mod doctor;
mod elsewhere;
mod inbox;
mod lease;
mod log_book;
mod metrics;
mod providers;
mod rebuilds;
mod recall;
mod recollection;
mod remote;
mod retry;
mod runners;
mod serving;
mod state_watch;
mod store_work;
mod streams;
pub mod twins;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use trellis_control::{HostId, HostMode, Subjects};
use trellis_core::{ComponentId, LatticeName, with_causes};
use trellis_gateway::{DrainReport, ShutdownSignal};
use trellis_lattice::store::{Incarnation, Store, StoreError};
use trellis_lattice::{ConnectionState, Lattice};
use trellis_node::{ComponentSettings, Effect, Identity, Input, Machine, Millis, Options, Serial};
use trellis_wrpc::{Client, Config, OpenError, Server, ServerConfig, Transport};

pub use self::blueprints::{can_run_component, can_run_provider};
pub use self::log_book::{FollowedLines, LogBook};
pub use self::metrics::{Metrics, MetricsError};

use self::components::ComponentDone;
use self::elsewhere::Elsewhere;
use self::inbox::Inbox;
use self::providers::{Provider, StoreOpened};
use self::rebuilds::Rebuilds;
use self::recall::Memory;
use self::recollection::RecollectionFile;
use self::remote::LatticeCalls;
use self::retry::Retry;
use self::serving::Service;
use self::state_watch::{LatticeState, Told};
use crate::host::Host;
use crate::report::LinkReport;

/// How often the machine is told that time passes. It decides in steps of a second.
const TICK: Duration = Duration::from_millis(250);

/// How long a host that reaches its lattice may take to join it, before it is said to be ready without.
const READY_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a host needs to be part of a lattice.
pub struct NodeConfig {
    /// Who it is.
    pub identity: Identity,
    /// What it was told to do differently.
    pub options: Options,
    /// The connection. Where it does not stand yet, the host starts from what it remembers.
    pub lattice: Lattice,
    /// The lattice's state.
    pub store: Arc<dyn Store>,
    /// The file in which it remembers the lattice for such a start. Its folder must be there.
    pub recollection: Option<PathBuf>,
    /// The subjects of the control interface.
    pub subjects: Subjects,
    /// Where its metrics are served, if anywhere.
    pub metrics: Option<Metrics>,
    /// Its log.
    pub log_book: LogBook,
    /// The lines of it that somebody follows.
    pub followed: FollowedLines,
}

/// Why a host cannot join a lattice.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A bucket of the lattice's state cannot be opened.
    #[error("cannot open the state of the lattice")]
    Store(#[from] StoreError),
    /// The lattice has a name that no bucket can have.
    #[error("the lattice's state cannot be named")]
    Name(#[from] trellis_lattice::store::NameError),
    /// The connection takes no calls.
    #[error("cannot take calls from the lattice")]
    Transport(#[from] OpenError),
    /// The connection takes no requests.
    #[error("cannot take requests from the lattice")]
    Subscribe(#[from] trellis_lattice::SubscribeError),
    /// A function of a component cannot be served to other hosts.
    #[error("cannot serve components to the lattice")]
    Serve(#[from] trellis_wrpc::ServeError),
    /// The server does not answer.
    #[error("the lattice does not answer")]
    RoundTrip(#[from] trellis_lattice::RequestError),
    /// Something that runs already does not fit into the host's tables.
    #[error(transparent)]
    Adopt(#[from] trellis_node::AdoptError),
}

/// What ends as a task and comes back to the owner.
enum Done {
    Input(Box<Input>),
    Component(Box<ComponentDone>),
    /// The lattice's state was opened, which could not be done at the start.
    Opened(Box<LatticeState>),
    /// What the host knows was written down, or could not be.
    Remembered,
    Store(Box<StoreOpened>),
    Nothing,
}

/// A host that is part of a lattice. [`Node::run`] serves until it is told to stop.
pub struct Node {
    host: Host,
    host_id: HostId,
    machine: Machine,
    effects: Vec<Effect>,
    lattice: Lattice,
    subjects: Subjects,
    inbox: Inbox,
    store: Arc<dyn Store>,
    /// `None` until the lattice was reached for the first time.
    state: Option<LatticeState>,
    memory: Memory,
    /// Which state was recalled, specs first.
    recalled: Option<[Incarnation; 2]>,
    lease: lease::Lease,
    calls: Arc<LatticeCalls>,
    server: Server,
    transport: Transport,
    elsewhere: Elsewhere,
    work: JoinSet<Done>,
    /// The work under way on each component; an outcome of any other is ignored.
    under_way: BTreeMap<ComponentId, Serial>,
    /// Components whose instances are made anew because their links changed.
    rebuilds: Rebuilds,
    /// Components that are built because they ran when the lattice was last reached.
    recalling: BTreeSet<ComponentId>,
    /// The functions of this host's components that other hosts call.
    services: BTreeMap<ComponentId, Service>,
    providers: BTreeMap<ComponentId, Provider>,
    /// When providers that do not serve are tried again.
    providers_retry: Option<Retry>,
    /// The links by which providers of this host call components.
    provider_links: Vec<LinkReport>,
    /// Components that the lattice started, unlike those of the applications given at the start.
    of_lattice: BTreeMap<ComponentId, ComponentSettings>,
    /// Something changed that links or routes depend on.
    is_dirty: bool,
    is_over: bool,
    has_joined: bool,
    /// The lattice was reached once.
    was_reached: bool,
    started: Instant,
    metrics: Option<Metrics>,
    log_book: LogBook,
    followed: FollowedLines,
}

impl Node {
    /// Makes `host` part of the lattice: takes requests, and announces what runs already. Where the
    /// lattice cannot be reached, the host runs what it remembers and joins as soon as it can.
    ///
    /// # Errors
    /// When the lattice's state cannot be opened, or the connection takes no subscriptions.
    pub async fn join(host: Host, config: NodeConfig) -> Result<Self, JoinError> {
        let NodeConfig {
            identity,
            options,
            lattice,
            store,
            recollection,
            subjects,
            metrics,
            log_book,
            followed,
        } = config;
        let started = Instant::now();
        let host_id = identity.host_id.clone();
        let was_reached = lattice.is_connected();
        let state = match was_reached {
            true => Some(LatticeState::open(&*store, lattice.name(), &host_id, None).await?),
            false => None,
        };
        let transport =
            Transport::open(lattice.nats().clone(), Config::new(host_id.as_str())).await?;
        let calls = LatticeCalls::new(Client::new(&transport), lattice.name().clone());
        let inbox = Inbox::open(&lattice, &subjects, &host_id).await?;
        let elsewhere = Elsewhere::open(&lattice, &subjects, &host_id).await?;
        if was_reached {
            lattice.round_trip().await?;
        }
        let lease = lease::Lease::new(
            store.clone(),
            lattice.name().clone(),
            host_id.clone(),
            options.lease,
        );
        let file = recollection.map(RecollectionFile::new);
        let recollection = match was_reached {
            true => None,
            false => Self::recollection(file.as_ref()),
        };
        let mut node = Self {
            server: Server::new(&transport, ServerConfig::default()),
            calls: Arc::new(calls),
            host,
            machine: Machine::new(identity, options, Millis(0)),
            effects: Vec::new(),
            host_id,
            lattice,
            subjects,
            inbox,
            store,
            state,
            memory: Memory::new(file),
            recalled: recollection.as_ref().map(|it| it.incarnations()),
            lease,
            transport,
            elsewhere,
            work: JoinSet::new(),
            under_way: BTreeMap::new(),
            rebuilds: Rebuilds::default(),
            recalling: BTreeSet::new(),
            services: BTreeMap::new(),
            providers: BTreeMap::new(),
            providers_retry: None,
            provider_links: Vec::new(),
            of_lattice: BTreeMap::new(),
            is_dirty: true,
            is_over: false,
            has_joined: false,
            was_reached,
            started,
            metrics,
            log_book,
            followed,
        };
        node.adopt().await?;
        if let Some(recollection) = recollection {
            node.recall(&recollection);
        }
        Ok(node)
    }

    /// Returns what the host was started with.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the name of the lattice.
    pub fn lattice_name(&self) -> &LatticeName {
        self.lattice.name()
    }

    /// Returns where the lattice is reached.
    pub fn server(&self) -> &str {
        self.lattice.servers()
    }

    /// Returns where the metrics are, if anywhere.
    pub fn metrics(&self) -> Option<String> {
        self.metrics.as_ref().map(Metrics::url)
    }

    /// Returns who the host is.
    pub fn host_id(&self) -> &HostId {
        &self.host_id
    }

    /// Serves until `shutdown` or until a request stops the host. What is in flight may finish. Calls
    /// `ready` once, when the host takes commands, or will not for a while.
    pub async fn run(
        mut self,
        mut shutdown: ShutdownSignal,
        ready: impl FnOnce(&Self) + Send,
    ) -> DrainReport {
        let mut ready = Some(ready);
        let mut connection = self.lattice.state();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told_to_stop = false;
        let mut seen = None;
        let mut report = DrainReport::default();
        let mut dirty_since = None;
        while !self.is_over {
            self.carry_out_all(&mut report, &shutdown).await;
            if let Some(ready) = ready.take_if(|_| self.is_ready()) {
                ready(&self);
            }
            if self.is_dirty {
                self.work_or_converge(&mut dirty_since).await;
                continue;
            }
            self.share_requests().await;
            let state = connection.borrow_and_update().clone();
            if self.follow_connection(&mut seen, state).await {
                continue;
            }
            // Not in a fixed order: whoever floods one of these must not keep the others, and least of all the
            // clock, from their turn.
            tokio::select! {
                () = shutdown.draining(), if !told_to_stop => {
                    told_to_stop = true;
                    self.input(Input::Stop { why: "the host was told to stop".to_owned() });
                }
                Some(done) = self.work.join_next() => self.done(done).await,
                Some(message) = self.inbox.next() => {
                    let input = inbox::read(&self.subjects, message);
                    self.input(input);
                }
                Some(told) = LatticeState::next(self.state.as_mut()) => {
                    self.memory.touch();
                    self.input(match told {
                        Told::Specs(it) => Input::Specs(state_watch::change(it, self.started)),
                        Told::Configs(it) => Input::Configs(state_watch::change(it, self.started)),
                    });
                }
                // The state is looked at above. An error means that the connection is closed for good.
                _ = connection.changed() => {}
                Some(line) = self.followed.next() => self.publish_line(line).await,
                Some(news) = self.elsewhere.next() => self.take_news(news),
                _ = tick.tick() => {
                    self.input(Input::Tick);
                    self.remember();
                    self.tell_figures();
                    self.look_again(Instant::now()).await;
                }
            }
        }
        if self.lattice.is_connected() {
            self.lattice.drain().await;
        }
        report
    }

    fn is_ready(&self) -> bool {
        self.machine.mode() == HostMode::Joined
            || !self.was_reached
            || self.started.elapsed() >= READY_WAIT_MAX
    }

    /// Returns the machine's time.
    fn now(&self) -> Millis {
        state_watch::millis(self.started.elapsed())
    }

    /// Tells the machine how the connection changed. Returns whether it did.
    async fn follow_connection(
        &mut self,
        seen: &mut Option<ConnectionState>,
        now: ConnectionState,
    ) -> bool {
        if seen.as_ref() == Some(&now) {
            return false;
        }
        let lost = seen
            .as_ref()
            .is_some_and(|seen| seen.messages_dropped < now.messages_dropped);
        if lost {
            self.transport.messages_lost();
        }
        let was = seen
            .as_ref()
            .map(|seen| (seen.is_connected(), seen.connects));
        if was != Some((now.is_connected(), now.connects)) {
            // An interruption that is over already is one all the same: messages were lost in it.
            if was.is_some_and(|(connected, _)| connected) || !now.is_connected() {
                let why = match self.was_reached {
                    true => "the connection to the lattice was lost",
                    false => "the lattice has not been reached since the host started",
                };
                let why = why.to_owned();
                self.input(Input::Disconnected { why });
            }
            if now.is_connected() {
                self.elsewhere.connected(Instant::now());
                self.reached().await;
                self.input(Input::Connected);
            }
        }
        *seen = Some(now);
        true
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        self.machine.handle(now, input, &mut self.effects);
    }

    async fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Input(input)) => self.input(*input),
            Ok(Done::Component(done)) => self.component_done(*done).await,
            Ok(Done::Opened(state)) => self.state = Some(*state),
            Ok(Done::Remembered) => self.memory.written(),
            Ok(Done::Store(opened)) => self.store_opened(*opened),
            Ok(Done::Nothing) => {}
            Err(error) if error.is_cancelled() => {}
            Err(error) => tracing::error!(error = with_causes(&error), "a task of the host failed"),
        }
    }

    /// Takes note of what other hosts run: their instances take what is too much for this host.
    fn take_news(&mut self, news: elsewhere::News) {
        if self.elsewhere.take(news, Instant::now()) {
            self.lead_elsewhere();
        }
        for host in self.elsewhere.take_gone() {
            self.transport.peer_gone(&host);
        }
    }

    /// Leads calls that find no room here to the hosts that are known now.
    fn lead_elsewhere(&mut self) {
        if self.calls.set_runners(self.elsewhere.runners()) {
            self.is_dirty = true;
        }
    }
}
