//! The world that the hosts live in: its clock, its network, and everything that happens in it.

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;
use trellis_control::{DrainAction, HostMode, Request};
use trellis_core::ComponentId;
use trellis_node::{
    ComponentAction, ComponentWork, Effect, Input, LeaseOutcome, LeaseWork, Millis, Outcome,
    ProviderAction, ProviderWork, ReplyTo, Serial, StoreChange, StoreFailure, StoreWork,
};

use super::checks::Checks;
use super::client::{Client, drain};
use super::host::Host;
use super::store::{Bucket, Notice, Store};
use crate::support::component_runs;

/// Milliseconds in which everything happens to the hosts.
const TROUBLE: u64 = 50_000;
/// Milliseconds after it in which they may come to rest.
const REST: u64 = 70_000;
/// Steps that a failure shows.
const STEPS_SHOWN: usize = 80;

/// One thing that happens. `run` is the life of the host that it belongs to.
#[derive(Clone, Debug)]
enum Happening {
    Tick {
        host: usize,
        run: u32,
    },
    Watch {
        host: usize,
        run: u32,
    },
    Connect {
        host: usize,
        run: u32,
    },
    NoticeCut {
        host: usize,
        run: u32,
    },
    Deliver {
        host: usize,
        request: Box<Request>,
    },
    ComponentDone {
        host: usize,
        run: u32,
        id: ComponentId,
        serial: Serial,
    },
    ProviderDone {
        host: usize,
        run: u32,
        id: ComponentId,
        serial: Serial,
    },
    ProviderBack {
        host: usize,
        run: u32,
        id: ComponentId,
        serial: Serial,
    },
    StoreOp {
        host: usize,
        run: u32,
        work: StoreWork,
    },
    StoreAnswer {
        host: usize,
        run: u32,
        outcome: Box<Outcome>,
    },
    Notify {
        host: usize,
        run: u32,
        notice: Notice,
    },
    LeaseOp {
        host: usize,
        run: u32,
        work: LeaseWork,
    },
    LeaseAnswer {
        host: usize,
        run: u32,
        outcome: LeaseOutcome,
    },
    Client,
    Fault,
    Heal {
        host: usize,
    },
    StoreBack,
    Operator,
}

/// One lattice, played from a seed.
pub(super) struct World {
    rng: Rng,
    pub(super) now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    pub(super) store: Store,
    store_up: bool,
    pub(super) hosts: Vec<Host>,
    client: Client,
    /// Whether nothing is done to hosts and store: then every event can be counted.
    pub(super) calm: bool,
    checks: Checks,
    aloud: bool,
    steps: VecDeque<String>,
    digest: u64,
}

impl World {
    pub(super) fn new(seed: u64, aloud: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let calm = seed.is_multiple_of(4);
        let count = rng.usize(2..5);
        Self {
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            store: Store::default(),
            store_up: true,
            hosts: (0..count).map(|it| Host::new(it, 0, 0)).collect(),
            client: Client {
                links: 0,
                configs: 0,
                singletons: !calm,
            },
            calm,
            checks: Checks::default(),
            aloud,
            steps: VecDeque::new(),
            digest: 0,
            rng,
        }
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = &String> {
        self.steps.iter()
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// Plays trouble, then rest, then looks whether everything is as it should be.
    pub(super) fn play(&mut self) {
        for host in 0..self.hosts.len() {
            self.begin_life(host);
        }
        self.after(1_000, Happening::Client);
        self.after(2_000, Happening::Fault);
        self.run_until(TROUBLE);
        self.end_trouble();
        self.run_until(TROUBLE + REST);
        self.checks.at_rest(&self.hosts, &self.store, self.calm);
    }

    fn in_trouble(&self) -> bool {
        self.now < TROUBLE
    }

    fn begin_life(&mut self, host: usize) {
        let run = self.hosts[host].run;
        self.hosts[host].link = true;
        self.after(1, Happening::Tick { host, run });
        let connect = self.rng.u64(10..2_000);
        self.after(connect, Happening::Connect { host, run });
        self.after(connect, Happening::Watch { host, run });
    }

    fn end_trouble(&mut self) {
        self.store_up = true;
        for host in 0..self.hosts.len() {
            self.after(1, Happening::Heal { host });
        }
        self.after(20_000, Happening::Operator);
    }

    fn run_until(&mut self, end: u64) {
        while let Some(((at, sequence), happening)) = self.queue.pop_first() {
            if at > end {
                self.queue.insert((at, sequence), happening);
                break;
            }
            self.now = at;
            self.happen(happening);
        }
        self.now = end;
    }

    fn after(&mut self, millis: u64, happening: Happening) {
        self.sequence += 1;
        self.queue
            .insert((self.now + millis, self.sequence), happening);
    }

    fn soon(&mut self, within: u64, happening: Happening) {
        let millis = self.rng.u64(1..within);
        self.after(millis, happening);
    }

    /// Tells whether something happens that does so `percent` of the time, while there is trouble.
    fn trouble(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent && self.in_trouble()
    }

    fn lives(&self, host: usize, run: u32) -> bool {
        self.hosts[host].run == run
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick { host, run } if self.lives(host, run) => {
                self.feed(host, Input::Tick);
                self.soon(1_000, Happening::Tick { host, run });
            }
            Happening::Watch { host, run } if self.lives(host, run) => {
                self.watch(host);
                self.after(1_000, Happening::Watch { host, run });
            }
            Happening::Connect { host, run } if self.lives(host, run) => self.connect(host),
            Happening::NoticeCut { host, run } if self.lives(host, run) => self.notice_cut(host),
            Happening::Deliver { host, request } => self.deliver(host, *request),
            Happening::ComponentDone {
                host,
                run,
                id,
                serial,
            } if self.lives(host, run) => self.component_done(host, &id, serial),
            Happening::ProviderDone {
                host,
                run,
                id,
                serial,
            } if self.lives(host, run) => self.provider_done(host, &id, serial),
            Happening::ProviderBack {
                host,
                run,
                id,
                serial,
            } if self.lives(host, run) => self.provider_back(host, &id, serial),
            Happening::StoreOp { host, run, work } => self.store_op(host, run, work),
            Happening::StoreAnswer { host, run, outcome } if self.lives(host, run) => {
                self.feed(host, Input::Finished(*outcome));
            }
            Happening::Notify { host, run, notice } if self.lives(host, run) => {
                self.notify(host, notice);
            }
            Happening::LeaseOp { host, run, work } => self.lease_op(host, run, work),
            Happening::LeaseAnswer { host, run, outcome } if self.lives(host, run) => {
                self.hosts[host].note_lease(&outcome);
                self.feed(host, Input::Lease(outcome));
            }
            Happening::Client if self.in_trouble() => {
                self.send_request();
                self.soon(250, Happening::Client);
            }
            Happening::Fault if self.in_trouble() => {
                self.fault();
                self.soon(6_000, Happening::Fault);
            }
            Happening::Heal { host } => {
                let run = self.hosts[host].run;
                self.hosts[host].link = true;
                self.soon(2_000, Happening::Connect { host, run });
            }
            Happening::StoreBack => self.store_up = true,
            Happening::Operator => self.operate(),
            _ => {}
        }
    }

    fn connect(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        if !it.link || it.connected {
            return;
        }
        it.connected = true;
        for view in &mut it.views {
            view.read_at = 0;
        }
        self.feed(host, Input::Connected);
    }

    fn notice_cut(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        if !it.link && it.connected {
            it.connected = false;
            let why = "the server does not answer".to_owned();
            self.feed(host, Input::Disconnected { why });
        }
    }

    /// Reads the buckets where it is time.
    fn watch(&mut self, host: usize) {
        for (index, bucket) in Bucket::BOTH.into_iter().enumerate() {
            let it = &mut self.hosts[host];
            let view = &mut it.views[index];
            let age = self.now - view.read_at;
            let changes = if it.connected && it.link && self.store_up {
                match view.read_at == 0 || age >= 10_000 {
                    true => view.read(self.store.bucket(bucket), self.now),
                    false => continue,
                }
            } else if age > 30_000 && !view.stale && view.read_at > 0 {
                view.stale = true;
                let since = Millis(view.read_at);
                vec![StoreChange::Stale { since }]
            } else {
                continue;
            };
            for change in changes {
                self.feed(host, of_bucket(bucket, change));
            }
        }
    }

    fn notify(&mut self, host: usize, notice: Notice) {
        let it = &mut self.hosts[host];
        if !it.link || !it.connected {
            return;
        }
        let bucket = notice.bucket;
        let index = Bucket::BOTH.iter().position(|it| *it == bucket).unwrap();
        if let Some(change) = it.views[index].notice(notice) {
            self.feed(host, of_bucket(bucket, change));
        }
    }

    /// Sends a request through the network.
    fn send_request(&mut self) {
        let request = self.client.request(&mut self.rng);
        let host = self.rng.usize(0..self.hosts.len());
        let copies = match self.rng.u32(0..100) {
            0..5 => 0,
            5..8 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let request = Box::new(request.clone());
            self.soon(200, Happening::Deliver { host, request });
        }
    }

    fn deliver(&mut self, host: usize, request: Request) {
        let it = &self.hosts[host];
        if !it.link || !it.connected {
            return;
        }
        let number = self
            .checks
            .delivered(host, it.run, &request, self.store.wipes);
        let reply = Some(ReplyTo(number.to_string()));
        self.feed(
            host,
            Input::Request {
                request,
                change: None,
                reply,
            },
        );
    }

    /// Hands an input to a machine and carries out what it decides.
    fn feed(&mut self, host: usize, input: Input) {
        if self.aloud || self.steps.capacity() > 0 {
            self.step(format!("{:>6} N{host} <- {input:?}", self.now));
        }
        let mut effects = Vec::new();
        let it = &mut self.hosts[host];
        let before = it.machine.mode();
        it.machine.handle(Millis(self.now), input, &mut effects);
        let after = it.machine.mode();
        self.count(host, effects.len());
        for effect in effects {
            if self.aloud || self.steps.capacity() > 0 {
                self.step(format!("{:>6} N{host} -> {effect:?}", self.now));
            }
            self.checks
                .effect(&mut self.hosts[host], &effect, [before, after], &self.store);
            self.carry_out(host, effect);
        }
        self.checks.after_input(&self.hosts[host], self.now);
    }

    fn step(&mut self, step: String) {
        if self.aloud {
            println!("{step}");
        }
        if self.steps.len() >= STEPS_SHOWN {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
    }

    /// Keeps steps from now on, to be shown.
    pub(super) fn keep_steps(&mut self) {
        self.steps.reserve(STEPS_SHOWN + 1);
    }

    fn count(&mut self, host: usize, effects: usize) {
        for number in [self.now, host as u64, effects as u64] {
            self.digest = (self.digest ^ number).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn carry_out(&mut self, host: usize, effect: Effect) {
        let run = self.hosts[host].run;
        match effect {
            Effect::Component(work) => self.begin_component(host, work),
            Effect::Provider(work) => self.begin_provider(host, work),
            Effect::Store(work) => {
                let within = match self.trouble(10) {
                    true => 2_500,
                    false => 150,
                };
                self.soon(within, Happening::StoreOp { host, run, work });
            }
            Effect::Lease(work) if self.hosts[host].link && !self.trouble(10) => {
                self.soon(150, Happening::LeaseOp { host, run, work });
            }
            _ => {}
        }
    }

    fn begin_component(&mut self, host: usize, work: ComponentWork) {
        let ComponentWork { serial, id, action } = work;
        let it = &mut self.hosts[host];
        let before = it.component_jobs.insert(id.clone(), (serial, action));
        let run = it.run;
        // What a stop ended may still be reported; nobody listens.
        if let Some((ended, _)) = before
            && self.rng.bool()
        {
            let why = "it was ended".to_owned();
            let serial = ended;
            let outcome = Box::new(Outcome::ComponentFailed { serial, why });
            self.soon(500, Happening::StoreAnswer { host, run, outcome });
        }
        let within = [300, 3_000][self.rng.usize(0..2)];
        self.soon(
            within,
            Happening::ComponentDone {
                host,
                run,
                id,
                serial,
            },
        );
    }

    fn component_done(&mut self, host: usize, id: &ComponentId, serial: Serial) {
        let fails = self.trouble(15);
        let it = &mut self.hosts[host];
        match it.component_jobs.get(id) {
            Some((current, _)) if *current == serial => {}
            _ => return,
        }
        let outcome = match it.component_jobs.remove(id) {
            Some((_, ComponentAction::Stop)) => {
                it.components.remove(id);
                Outcome::ComponentStopped { serial }
            }
            Some((_, ComponentAction::Run(settings) | ComponentAction::Update(settings)))
                if !fails =>
            {
                it.components.insert(id.clone(), settings);
                component_runs(serial)
            }
            _ => {
                let why = "the registry does not answer".to_owned();
                Outcome::ComponentFailed { serial, why }
            }
        };
        self.feed(host, Input::Finished(outcome));
    }

    fn begin_provider(&mut self, host: usize, work: ProviderWork) {
        let ProviderWork { serial, id, action } = work;
        let it = &mut self.hosts[host];
        if action == ProviderAction::Stop {
            it.backing_off.remove(&id);
        }
        it.provider_jobs.insert(id.clone(), (serial, action));
        let run = it.run;
        self.soon(
            2_000,
            Happening::ProviderDone {
                host,
                run,
                id,
                serial,
            },
        );
    }

    fn provider_done(&mut self, host: usize, id: &ComponentId, serial: Serial) {
        let fails = self.trouble(15);
        let it = &mut self.hosts[host];
        match it.provider_jobs.get(id) {
            Some((current, _)) if *current == serial => {}
            _ => return,
        }
        let outcome = match it.provider_jobs.remove(id) {
            Some((_, ProviderAction::Stop)) => {
                it.providers.remove(id);
                Outcome::ProviderStopped { serial }
            }
            Some((_, ProviderAction::Start(settings))) if !fails => {
                it.providers.insert(id.clone(), (serial, settings));
                let signed = None;
                Outcome::ProviderRuns { serial, signed }
            }
            _ => {
                let why = "the port is taken".to_owned();
                Outcome::ProviderFailed { serial, why }
            }
        };
        self.feed(host, Input::Finished(outcome));
    }

    fn provider_exits(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        let run = it.run;
        let Some((id, (serial, settings))) = it.providers.pop_first() else {
            return;
        };
        let restarts = self.rng.bool() && !it.provider_jobs.contains_key(&id);
        if restarts {
            it.backing_off.insert(id.clone(), (serial, settings));
            self.after(
                1_000,
                Happening::ProviderBack {
                    host,
                    run,
                    id,
                    serial,
                },
            );
        }
        let outcome = Outcome::ProviderExited {
            serial,
            reason: "exit status 1".to_owned(),
            restart_in_ms: restarts.then_some(1_000),
        };
        self.feed(host, Input::Finished(outcome));
    }

    fn provider_back(&mut self, host: usize, id: &ComponentId, serial: Serial) {
        let it = &mut self.hosts[host];
        let Some((started, settings)) = it.backing_off.remove(id) else {
            return;
        };
        it.providers.insert(id.clone(), (started, settings));
        let signed = None;
        self.feed(
            host,
            Input::Finished(Outcome::ProviderRuns { serial, signed }),
        );
    }

    fn store_op(&mut self, host: usize, run: u32, work: StoreWork) {
        let serial = work.serial;
        let lost = |failure| Box::new(Outcome::StoreFailed { serial, failure });
        let why = "the store does not answer".to_owned();
        if !self.lives(host, run) || !self.hosts[host].link || !self.store_up || self.trouble(3) {
            let outcome = lost(StoreFailure::Refused { why });
            return self.after(2_000, Happening::StoreAnswer { host, run, outcome });
        }
        let (outcome, notice) = self.store.work(work);
        if let Some(notice) = notice {
            self.spread(notice);
        }
        if self.trouble(5) {
            let outcome = lost(StoreFailure::Unknown { why });
            return self.after(2_000, Happening::StoreAnswer { host, run, outcome });
        }
        let outcome = Box::new(outcome);
        self.soon(150, Happening::StoreAnswer { host, run, outcome });
    }

    /// Tells every watch, soon, late or never.
    fn spread(&mut self, notice: Notice) {
        for host in 0..self.hosts.len() {
            if self.trouble(15) {
                continue;
            }
            let within = [20, 1_500][self.rng.usize(0..2)];
            let (run, notice) = (self.hosts[host].run, notice.clone());
            self.soon(within, Happening::Notify { host, run, notice });
        }
    }

    fn lease_op(&mut self, host: usize, run: u32, work: LeaseWork) {
        if !self.lives(host, run) || !self.hosts[host].link {
            return;
        }
        let lease = &mut self.hosts[host].lease;
        let outcome = match work {
            LeaseWork::Renew { asked, term } => {
                match lease.0 == term && self.now - lease.1 < 4_000 {
                    true => {
                        lease.1 = self.now;
                        LeaseOutcome::Renewed { asked }
                    }
                    false => LeaseOutcome::Lost {
                        asked,
                        why: "its lease ended".to_owned(),
                    },
                }
            }
            LeaseWork::Rejoin { asked } => {
                *lease = (lease.0 + 1, self.now);
                let term = lease.0;
                LeaseOutcome::Rejoined { asked, term }
            }
        };
        if !self.trouble(5) {
            self.soon(150, Happening::LeaseAnswer { host, run, outcome });
        }
    }

    fn fault(&mut self) {
        let host = self.rng.usize(0..self.hosts.len());
        let kind = self.rng.u32(0..100);
        match kind {
            0..20 => self.provider_exits(host),
            _ if self.calm => {}
            20..60 => self.cut(host),
            60..75 => self.kill(host),
            75..85 => {
                self.store.wipe();
                self.checks.wiped();
            }
            85..92 => {
                self.store_up = false;
                let back = self.rng.u64(5_000..42_000);
                self.after(back, Happening::StoreBack);
            }
            _ => {}
        }
    }

    fn cut(&mut self, host: usize) {
        let run = self.hosts[host].run;
        self.hosts[host].link = false;
        self.soon(9_000, Happening::NoticeCut { host, run });
        self.soon(15_000, Happening::Heal { host });
    }

    fn kill(&mut self, host: usize) {
        let run = self.hosts[host].run + 1;
        let lease = self.hosts[host].lease;
        self.hosts[host] = Host::new(host, run, self.now);
        self.hosts[host].lease = lease;
        self.begin_life(host);
    }

    /// Resumes what is out of service or waits for an operator, until nothing does.
    fn operate(&mut self) {
        let mut again = false;
        for host in 0..self.hosts.len() {
            let mode = self.hosts[host].machine.mode();
            if matches!(mode, HostMode::Draining | HostMode::StoreRewound) {
                let request = Box::new(drain(DrainAction::Resume));
                self.after(1, Happening::Deliver { host, request });
                again = true;
            }
        }
        if again {
            self.after(500, Happening::Operator);
        }
    }
}

fn of_bucket(bucket: Bucket, change: StoreChange) -> Input {
    match bucket {
        Bucket::Specs => Input::Specs(change),
        Bucket::Configs => Input::Configs(change),
    }
}
