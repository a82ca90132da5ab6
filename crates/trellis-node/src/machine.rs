//! The machine: who it is, what it knows, and how one input becomes effects.
//!
//! Every input is handled in the same four steps: judge the mode by what the clock says, take the
//! input in, judge the mode again, do what is due.

mod components;
mod describe;
mod due;
mod knowledge;
mod providers;
mod requests;
mod state_changes;

use std::sync::Arc;
use std::time::Duration;

use trellis_control::{
    ComponentEventClaims, Event, HostMode, HostModeChanged, HostStopped, Link, ProviderEventClaims,
    TextMap,
};
use trellis_core::ComponentId;

use self::components::Components;
use self::due::FIRST_HEARTBEAT_WITHIN;
use self::providers::Providers;
use self::state_changes::{Asker, StateChanges};
use crate::effect::{ComponentSettings, Effect, Note, ProviderSettings};
use crate::identity::{Identity, Options};
use crate::input::{Input, LeaseOutcome, Outcome, ReplyTo, Serial, Signed};
use crate::lease::Lease;
use crate::mirror::{Mirror, Touched};
use crate::mode::{Facts, Mode, Permits};
use crate::time::Millis;
use crate::turn::{Refusal, Turn};

/// Components of one host, the failed ones included. A heartbeat lists all in one message: 4,000 of
/// a usual size fit into the 1 MiB that servers carry.
pub const COMPONENTS_MAX: usize = 4_000;
/// Providers of one host: each may be a process of its own.
pub const PROVIDERS_MAX: usize = 256;
/// Commands for components, and as many for providers, that wait for their event or reply: two for
/// each component of a full host.
pub const COMMANDS_WAITING_MAX: usize = 8_000;
/// Changes of links and config that are under way at once: a second of what the store takes.
pub const STORE_TASKS_MAX: usize = 1_024;
/// Bytes of image, config names, limits and annotations of one component or provider.
pub const SETTINGS_BYTES_MAX: usize = 16 << 10;
/// Labels of a host.
pub const LABELS_MAX: usize = 128;
/// Bytes of key and value of one label.
pub const LABEL_BYTES_MAX: usize = 1 << 10;

/// When a singleton that failed to stop or to start again is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Longest time between two looks at the clock.
const TICK_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// What one host knows and decides. See the crate's documentation for how it is driven.
#[derive(Debug)]
pub struct Machine {
    identity: Identity,
    options: Options,
    /// Host and lattice, for refusals.
    place: Arc<str>,
    started: Millis,
    now: Millis,
    last_serial: u64,

    /// Why there is no connection; `None` while it stands.
    detached: Option<String>,
    /// Why the host is out of service.
    drained: Option<String>,
    /// Why the host is stopping.
    stopping: Option<String>,
    has_stopped: bool,
    /// Whether `host_started` was told.
    announced: bool,
    heartbeat_at: Millis,
    lease: Lease,
    mode: Mode,
    permits: Permits,

    mirror: Mirror,
    components: Components,
    providers: Providers,
    state_changes: StateChanges,
}

/// Something that runs already, such as from a manifest that the host was started with.
#[derive(Clone, Debug)]
pub enum Adopted {
    /// A component.
    Component {
        /// What it is.
        settings: ComponentSettings,
        /// `sha256:…` of the bytes that run.
        digest: String,
        /// Its claims, where it is signed.
        signed: Option<Box<Signed<ComponentEventClaims>>>,
    },
    /// A provider.
    Provider {
        /// What it is.
        settings: ProviderSettings,
        /// Its claims, where it is signed.
        signed: Option<Box<Signed<ProviderEventClaims>>>,
    },
}

/// Why something cannot be adopted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot take over {id}: {why}")]
pub struct AdoptError {
    /// What was to be adopted.
    pub id: ComponentId,
    /// Why not, for people.
    pub why: String,
}

impl Machine {
    /// Makes the machine of a host that starts `now`: detached, with nothing that runs.
    pub fn new(identity: Identity, options: Options, now: Millis) -> Self {
        let place = format!(
            "host {} ({}) of lattice \"{}\"",
            identity.host_id, identity.friendly_name, identity.lattice
        );
        let why = "it has not connected yet";
        Self {
            place: place.into(),
            started: now,
            now,
            last_serial: 0,
            detached: Some(why.to_owned()),
            drained: None,
            stopping: None,
            has_stopped: false,
            announced: false,
            heartbeat_at: now,
            lease: Lease::new(options.lease, now),
            mode: Mode {
                mode: HostMode::Detached,
                since: now,
                why: why.into(),
            },
            permits: Permits::default(),
            mirror: Mirror::new(),
            components: Components::default(),
            providers: Providers::default(),
            state_changes: StateChanges::default(),
            identity,
            options,
        }
    }

    /// Takes in `input` and adds to `effects` what is to be done about it, in order. A `now` before
    /// that of the last call counts as that.
    pub fn handle(&mut self, now: Millis, input: Input, effects: &mut Vec<Effect>) {
        // What follows from the clock is judged first; nobody can hear of it any more.
        match &input {
            Input::Disconnected { why } => self.detached = Some(why.clone()),
            // A renewal that this host looks at late was in time all the same: it counts from when it
            // was asked for, and nobody else can have taken the lease meanwhile.
            Input::Lease(LeaseOutcome::Renewed { asked }) => {
                let renewed = LeaseOutcome::Renewed { asked: *asked };
                self.lease.take(self.now.max(now), renewed);
            }
            _ => {}
        }
        self.turn(now, effects, |machine, turn| machine.take(input, turn));
    }

    /// Takes over what runs already under `id`, in place of what it ran as before. Returns the serial
    /// with which to report that a provider exited.
    ///
    /// # Errors
    /// When there is no room, work for `id` is under way, or `id` is one of the other kind.
    pub fn adopt(
        &mut self,
        now: Millis,
        id: ComponentId,
        adopted: Adopted,
        effects: &mut Vec<Effect>,
    ) -> Result<Serial, AdoptError> {
        let mut result = Ok(Serial(0));
        self.turn(now, effects, |machine, turn| {
            result = machine.take_over(id.clone(), adopted, turn);
        });
        result.map_err(|why| AdoptError { id, why })
    }

    /// Forgets `id`, which the shell has stopped by itself.
    pub fn release(&mut self, now: Millis, id: &ComponentId, effects: &mut Vec<Effect>) {
        self.turn(now, effects, |machine, turn| {
            if machine.components.is_taken(id.as_str()) {
                machine.components.release(id, turn);
            } else if machine.providers.is_taken(id.as_str()) {
                machine.providers.release(id, turn);
            }
        });
    }

    /// Returns until when a [`Input::Tick`] may wait. Never more than a second after the last input.
    pub fn wake_at(&self) -> Millis {
        let lease = self.lease.wake_at(self.now, self.detached.is_none());
        let heartbeat = self.heartbeats().then_some(self.heartbeat_at);
        let tick = self.now.after(TICK_INTERVAL_MAX);
        let times = lease.into_iter().chain(heartbeat);
        times.fold(tick, Millis::min).max(self.now)
    }

    fn turn(
        &mut self,
        now: Millis,
        effects: &mut Vec<Effect>,
        step: impl FnOnce(&mut Self, &mut Turn<'_>),
    ) {
        if self.has_stopped {
            return;
        }
        self.now = self.now.max(now);
        let refusal = Refusal {
            mode: self.mode.clone(),
            place: self.place.clone(),
            now: self.now,
        };
        let host_id = self.identity.host_id.clone();
        let mut turn = Turn::new(host_id, refusal, self.permits, self.last_serial, effects);
        self.judge(&mut turn);
        step(self, &mut turn);
        self.judge(&mut turn);
        self.do_what_is_due(&mut turn);
        self.last_serial = turn.last_serial;
    }

    fn take(&mut self, input: Input, turn: &mut Turn<'_>) {
        match input {
            Input::Request {
                request,
                change,
                reply,
            } => self.request(request, Asker { change, reply }, turn),
            Input::BadRequest {
                error,
                envelope,
                reply,
            } => requests::refuse_unreadable(&error, envelope, reply, turn),
            Input::Specs(change) => {
                let mut notes = Vec::new();
                let touched = self.mirror.specs_changed(change, &mut notes);
                self.mirror_changed(touched, notes, turn);
            }
            Input::Configs(change) => {
                let mut notes = Vec::new();
                let touched = self.mirror.configs_changed(change, &mut notes);
                self.mirror_changed(touched, notes, turn);
            }
            Input::Connected => self.connected(turn),
            Input::Disconnected { .. } => {}
            Input::Lease(outcome) => self.lease.take(turn.now, outcome),
            Input::Finished(outcome) => self.finished(outcome, turn),
            Input::Stop { why } => self.stop(why, None, turn),
            Input::Stopped => self.stopped(turn),
            Input::Tick => {
                let touched = self.mirror.expire(turn.now);
                self.mirror_changed(touched, Vec::new(), turn);
                self.components.advance_all(turn);
                self.providers.advance_all(turn);
            }
        }
    }

    fn connected(&mut self, turn: &mut Turn<'_>) {
        self.detached = None;
        self.lease.hurry(turn.now);
        let soon = turn.now.after(self.phase_within(FIRST_HEARTBEAT_WITHIN));
        self.heartbeat_at = soon;
    }

    /// Begins to leave.
    fn stop(&mut self, why: String, timeout: Option<Duration>, turn: &mut Turn<'_>) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(why);
        self.judge(turn);
        turn.push(Effect::Shutdown { timeout });
    }

    fn stopped(&mut self, turn: &mut Turn<'_>) {
        if self.stopping.is_none() {
            return;
        }
        let labels = self.identity.labels.clone();
        turn.publish(Event::HostStopped(HostStopped { labels }));
        self.has_stopped = true;
    }

    fn finished(&mut self, outcome: Outcome, turn: &mut Turn<'_>) {
        match outcome {
            Outcome::ComponentRuns {
                serial,
                digest,
                signed,
            } => self.components.runs(serial, digest, signed, turn),
            Outcome::ComponentFailed { serial, why } => self.components.failed(serial, why, turn),
            Outcome::ComponentStopped { serial } => self.components.stopped(serial, turn),
            Outcome::ProviderRuns { serial, signed } => self.providers.runs(serial, signed, turn),
            Outcome::ProviderFailed { serial, why } => self.providers.failed(serial, why, turn),
            Outcome::ProviderStopped { serial } => self.providers.stopped(serial, turn),
            Outcome::ProviderExited {
                serial,
                reason,
                restart_in_ms,
            } => self.providers.exited(serial, reason, restart_in_ms, turn),
            Outcome::ProviderChecked { serial, healthy } => {
                self.providers.checked(serial, healthy, turn);
            }
            of_the_store => self.store_finished(of_the_store, turn),
        }
    }

    fn take_over(
        &mut self,
        id: ComponentId,
        adopted: Adopted,
        turn: &mut Turn<'_>,
    ) -> Result<Serial, String> {
        self.check_kind(&id, matches!(adopted, Adopted::Provider { .. }))?;
        match adopted {
            Adopted::Component {
                settings,
                digest,
                signed,
            } => {
                let running = (digest, signed);
                self.components.adopt(id, settings, running, turn)?;
                Ok(turn.next_serial())
            }
            Adopted::Provider { settings, signed } => {
                self.providers.adopt(id, settings, signed, turn)
            }
        }
    }

    /// Components and providers share their ids, since they share the keys of the lattice state.
    fn check_kind(&self, id: &ComponentId, is_provider: bool) -> Result<(), String> {
        if is_provider && self.components.is_taken(id.as_str()) {
            return Err(format!(
                "{id} is a component on this host; choose another id"
            ));
        }
        if !is_provider && self.providers.is_taken(id.as_str()) {
            return Err(format!(
                "{id} is a provider on this host; choose another id"
            ));
        }
        Ok(())
    }

    /// Judges the mode anew, and what follows from it at once.
    fn judge(&mut self, turn: &mut Turn<'_>) {
        self.lease.expire(turn.now);
        let (mode, why) = self.facts().judge();
        let from = self.mode.mode;
        if mode != from {
            self.mode.since = turn.now;
        }
        if *self.mode.why != *why {
            self.mode.why = why.as_str().into();
        }
        self.mode.mode = mode;
        self.permits = Permits::of(mode, self.lease.covers_singletons(turn.now));
        turn.refusal.mode = self.mode.clone();
        turn.audible = self.announced && self.detached.is_none();
        self.announce(turn);
        if mode != from {
            let host_id = turn.host_id.as_str().to_owned();
            let to = mode;
            turn.push(Effect::ModeChanged {
                from,
                to,
                why: why.clone(),
            });
            turn.publish(Event::HostModeChanged(HostModeChanged {
                host_id,
                from,
                to,
                why,
            }));
        }
        if turn.permits != self.permits || mode != from {
            turn.permits = self.permits;
            self.components.advance_all(turn);
            self.providers.advance_all(turn);
        }
    }

    fn facts(&self) -> Facts<'_> {
        let missing = if !self.mirror.is_read() {
            Some("it is still reading the lattice state")
        } else if self.mirror.is_stale() {
            Some("it has not been able to read the lattice state for a while")
        } else if self.lease.is_missing() {
            Some("it has no lease yet")
        } else {
            None
        };
        Facts {
            leaving: self.stopping.as_deref().or(self.drained.as_deref()),
            detached: self.detached.as_deref(),
            fenced: self.lease.lost(),
            rewound: self.mirror.rewound(),
            degraded: missing.map(str::to_owned),
        }
    }

    /// Binds again what a change of the mirror touches, and logs what could not be read.
    fn mirror_changed(&mut self, touched: Touched, notes: Vec<Note>, turn: &mut Turn<'_>) {
        notes.into_iter().for_each(|it| turn.push(Effect::Note(it)));
        let ids = self.touched_here(&touched);
        if !ids.is_empty() {
            turn.push(Effect::Rewire { ids });
        }
    }

    fn touched_here(&self, touched: &Touched) -> Vec<ComponentId> {
        let components = self.components.running();
        let components = components.map(|(id, it)| (id, &it.config));
        let providers = self.providers.running();
        let providers = providers.map(|(id, it)| (id, &it.config));
        let linked = |id: &ComponentId| {
            let by_id = |it: &String| it.as_str().cmp(id.as_str());
            touched.ids.binary_search_by(by_id).is_ok()
        };
        let configured = |names: &[String]| names.iter().any(|it| touched.configs.contains(it));
        let all = components.chain(providers).filter(|(id, config)| {
            linked(id) || configured(config) || self.links_use(id, &touched.configs)
        });
        all.map(|(id, _)| id.clone()).collect()
    }

    fn links_use(&self, id: &ComponentId, configs: &[String]) -> bool {
        if configs.is_empty() {
            return false;
        }
        let uses = |names: &[String]| names.iter().any(|it| configs.contains(it));
        let links = self.mirror.links_of(id.as_str());
        links
            .outbound
            .iter()
            .any(|it: &&Link| uses(&it.source_config))
            || links.inbound.iter().any(|it| uses(&it.target_config))
    }
}

/// Checks that what was said of a component or provider is not too long to be kept and repeated.
fn settings_fit(
    id: &ComponentId,
    image: &str,
    config: &[String],
    texts: [Option<&TextMap>; 2],
) -> Result<(), String> {
    let names: usize = config.iter().map(String::len).sum();
    let maps = texts.into_iter().flatten().flatten();
    let maps: usize = maps.map(|(key, value)| key.len() + value.len()).sum();
    let bytes = image.len() + names + maps;
    if bytes <= SETTINGS_BYTES_MAX {
        return Ok(());
    }
    Err(format!(
        "image, config names, limits and annotations of {id} have {bytes} bytes; at most \
         {SETTINGS_BYTES_MAX} are taken"
    ))
}

/// Returns a checked id; requests that were decoded have no other.
fn id_of(text: &str, reply: &Option<ReplyTo>, turn: &mut Turn<'_>) -> Option<ComponentId> {
    match ComponentId::new(text) {
        Ok(id) => Some(id),
        Err(error) => {
            turn.refuse(reply.clone(), &error.to_string());
            None
        }
    }
}
