//! The providers of a host: what runs, and the one piece of work under way for each.

mod entry;

use std::collections::{BTreeMap, HashMap};

use trellis_control::{
    Claims, Event, ProviderClaims, ProviderDescription, ProviderEventClaims, ProviderExited,
    ProviderHealth, ProviderStartFailed, ProviderStarted, ProviderStatus, ProviderStopped, success,
};
use trellis_core::ComponentId;

use self::entry::{Entry, Failed, Running, Start, Step, Stop, Work};
use super::components::LEASE_MISSING;
use super::{COMMANDS_WAITING_MAX, PROVIDERS_MAX, RETRY_AFTER, settings_fit};
use crate::effect::{Effect, ProviderAction, ProviderSettings, ProviderWork};
use crate::input::{ReplyTo, Serial, Signed};
use crate::turn::Turn;

type Claimed = Option<Box<Signed<ProviderEventClaims>>>;

const RUNNING_ALREADY: &str = "provider with that ID is already running";
const NOT_RUNNING: &str = "provider with that ID is not running";
const STOPPED_FIRST: &str = "it was stopped before it was ready";

/// All providers of a host.
#[derive(Debug, Default)]
pub(crate) struct Providers {
    entries: BTreeMap<ComponentId, Entry>,
    by_serial: HashMap<Serial, ComponentId>,
}

impl Providers {
    /// Takes a start command; the mode allows it.
    pub(crate) fn start(
        &mut self,
        id: ComponentId,
        settings: ProviderSettings,
        reply: Option<ReplyTo>,
        turn: &mut Turn<'_>,
    ) {
        if self.entries.get(&id).is_some_and(Entry::is_taken) {
            return turn.refuse(reply, RUNNING_ALREADY);
        }
        if let Err(why) = self.check_room(&id, &settings) {
            return turn.refuse(reply, &why);
        }
        if settings.is_singleton() && !turn.permits.singletons {
            return turn.refuse(reply, LEASE_MISSING);
        }
        turn.done(reply, success::PROVIDER_STARTED);
        let entry = self.entries.entry(id.clone()).or_default();
        if matches!(entry.work, Some(Work::Stop(_))) {
            entry.next = Some(settings);
            return;
        }
        entry.failed = None;
        entry.settings = settings;
        self.begin_start(&id, Start::Commanded, turn);
    }

    /// Takes a stop command; the mode allows it. The reply comes when it has stopped.
    pub(crate) fn stop(&mut self, id: &ComponentId, reply: Option<ReplyTo>, turn: &mut Turn<'_>) {
        let waiting: usize = self.entries.values().map(Entry::replies).sum();
        let Some(entry) = self.entries.get_mut(id) else {
            return turn.refuse(reply, NOT_RUNNING);
        };
        if waiting >= COMMANDS_WAITING_MAX {
            return turn.refuse(
                reply,
                "too many commands for providers wait on this host; try again in a moment",
            );
        }
        let lives = entry.lives();
        match &mut entry.work {
            Some(Work::Stop(stop)) => {
                let next = entry.next.take();
                stop.hold = false;
                stop.replies.push(reply);
                if let Some(next) = next {
                    tell_start_failed(id, &next, STOPPED_FIRST, turn);
                }
            }
            Some(Work::Start(_)) => self.begin_stop(id, vec![reply], false, turn),
            None if lives => self.begin_stop(id, vec![reply], false, turn),
            None if entry.held => {
                turn.done(reply, success::PROVIDER_STOPPED);
                tell_stopped(id, entry, turn);
                self.entries.remove(id);
            }
            None => {
                turn.refuse(reply, NOT_RUNNING);
                self.entries.remove(id);
            }
        }
    }

    fn check_room(&mut self, id: &ComponentId, settings: &ProviderSettings) -> Result<(), String> {
        let texts = [Some(&settings.annotations), None];
        settings_fit(id, &settings.image, &settings.config, texts)?;
        if self.entries.contains_key(id) || self.entries.len() < PROVIDERS_MAX {
            return Ok(());
        }
        let failures = self.entries.iter().filter(|(_, it)| it.is_only_failed());
        let oldest = failures.min_by_key(|(_, it)| it.failed.as_ref().map(|it| it.at));
        if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
            self.entries.remove(&oldest);
            return Ok(());
        }
        Err(format!(
            "this host already has {PROVIDERS_MAX} providers, the most it takes; start {id} on \
             another host"
        ))
    }

    /// Does what is possible now for every provider.
    pub(crate) fn advance_all(&mut self, turn: &mut Turn<'_>) {
        let waits = |it: &Entry| it.step(&turn.permits, turn.now) == Step::Wait;
        let ids = self.entries.iter().filter(|(_, it)| !waits(it));
        let ids: Vec<ComponentId> = ids.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.advance(&id, turn);
        }
    }

    fn advance(&mut self, id: &ComponentId, turn: &mut Turn<'_>) {
        // Each round ends waiting, begins work, or takes away what was next: three at most.
        while let Some(entry) = self.entries.get_mut(id) {
            match entry.step(&turn.permits, turn.now) {
                Step::Wait => return,
                Step::Hold => {
                    let commanded = matches!(entry.work, Some(Work::Start((_, Start::Commanded))));
                    self.begin_stop(id, Vec::new(), !commanded, turn);
                }
                Step::Refuse => {
                    let Some(next) = entry.next.take() else {
                        return;
                    };
                    let why = turn.refusal.to_string();
                    tell_start_failed(id, &next, &why, turn);
                    self.forget_if_empty(id);
                }
                Step::Begin => {
                    let Some(next) = entry.next.take() else {
                        return;
                    };
                    entry.settings = next;
                    entry.held = false;
                    self.begin_start(id, Start::Commanded, turn);
                }
                Step::Restart => self.begin_start(id, Start::Again, turn),
            }
        }
    }

    fn begin_start(&mut self, id: &ComponentId, start: Start, turn: &mut Turn<'_>) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let serial = turn.next_serial();
        self.by_serial.insert(serial, id.clone());
        entry.work = Some(Work::Start((serial, start)));
        let settings = entry.settings.clone();
        turn.specs_wanted.push((id.clone(), settings.image.clone()));
        turn.push(Effect::Provider(ProviderWork {
            serial,
            id: id.clone(),
            action: ProviderAction::Start(settings),
        }));
    }

    /// Stops what runs, or is about to; `hold`: to start it again once the lease allows.
    fn begin_stop(
        &mut self,
        id: &ComponentId,
        replies: Vec<Option<ReplyTo>>,
        hold: bool,
        turn: &mut Turn<'_>,
    ) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        if let Some(Work::Start((started, start))) = entry.work.take() {
            self.by_serial.remove(&started);
            let why = match replies.is_empty() {
                true => LEASE_MISSING,
                false => STOPPED_FIRST,
            };
            if start == Start::Commanded {
                tell_start_failed(id, &entry.settings, why, turn);
            }
        }
        let serial = turn.next_serial();
        self.by_serial.insert(serial, id.clone());
        entry.work = Some(Work::Stop(Stop {
            serial,
            replies,
            hold,
        }));
        turn.push(Effect::Provider(ProviderWork {
            serial,
            id: id.clone(),
            action: ProviderAction::Stop,
        }));
    }

    fn entry_of(&mut self, serial: Serial) -> Option<(ComponentId, &mut Entry)> {
        let id = self.by_serial.get(&serial)?;
        Some((id.clone(), self.entries.get_mut(id)?))
    }

    /// A provider serves: it was started, or the shell started it again after it exited.
    pub(crate) fn runs(&mut self, serial: Serial, signed: Claimed, turn: &mut Turn<'_>) {
        let Some((id, entry)) = self.entry_of(serial) else {
            return;
        };
        match &entry.work {
            Some(Work::Start((begun, _))) if *begun == serial => {
                entry.work = None;
                entry.restarts = 0;
            }
            _ if entry.incarnation == Some(serial) && entry.running.is_none() => {
                entry.restarts += 1;
            }
            _ => return,
        }
        turn.claims_wanted
            .extend(signed.as_deref().map(stored_claims));
        entry.incarnation = Some(serial);
        (entry.failed, entry.held) = (None, false);
        entry.running = Some(Running {
            signed,
            healthy: None,
        });
        tell_started(&id, entry, turn);
        self.advance(&id, turn);
    }

    /// A provider could not be started or stopped, or the shell gave it up.
    pub(crate) fn failed(&mut self, serial: Serial, why: String, turn: &mut Turn<'_>) {
        let Some((id, entry)) = self.entry_of(serial) else {
            return;
        };
        // Nothing runs that a stop could have failed to stop.
        if !entry.lives() && matches!(entry.work, Some(Work::Stop(_))) {
            return self.stopped(serial, turn);
        }
        let (at, again_at) = (turn.now, turn.now.after(RETRY_AFTER));
        match entry.work.take() {
            Some(Work::Start((begun, start))) if begun == serial => {
                if start == Start::Commanded {
                    tell_start_failed(&id, &entry.settings, &why, turn);
                }
                entry.restart_at = again_at;
                entry.failed = Some(Failed { why, at });
            }
            Some(Work::Stop(stop)) if stop.serial == serial => {
                for reply in stop.replies {
                    turn.refuse(reply, &why);
                }
                entry.hold_at = again_at;
                entry.failed = Some(Failed { why, at });
            }
            work if entry.incarnation == Some(serial) && entry.running.is_none() => {
                entry.work = work;
                entry.incarnation = None;
                entry.failed = Some(Failed { why, at });
            }
            work => {
                entry.work = work;
                return;
            }
        }
        self.by_serial.remove(&serial);
        self.forget_if_empty(&id);
        self.advance(&id, turn);
    }

    /// A provider has stopped, as it was told to.
    pub(crate) fn stopped(&mut self, serial: Serial, turn: &mut Turn<'_>) {
        let Some((id, entry)) = self.entry_of(serial) else {
            return;
        };
        let stop = match entry.work.take() {
            Some(Work::Stop(stop)) if stop.serial == serial => stop,
            work => {
                entry.work = work;
                return;
            }
        };
        tell_stopped(&id, entry, turn);
        entry.running = None;
        entry.failed = None;
        entry.held = stop.hold;
        let incarnation = entry.incarnation.take();
        self.by_serial.remove(&serial);
        if let Some(incarnation) = incarnation {
            self.by_serial.remove(&incarnation);
        }
        for reply in stop.replies {
            turn.done(reply, success::PROVIDER_STOPPED);
        }
        self.forget_if_empty(&id);
        self.advance(&id, turn);
    }

    /// A provider ended by itself.
    pub(crate) fn exited(
        &mut self,
        serial: Serial,
        reason: String,
        restart_in_ms: Option<u64>,
        turn: &mut Turn<'_>,
    ) {
        let Some((id, entry)) = self.entry_of(serial) else {
            return;
        };
        if entry.incarnation != Some(serial) || entry.running.take().is_none() {
            return;
        }
        turn.publish(Event::ProviderExited(ProviderExited {
            host_id: turn.host_id.as_str().to_owned(),
            provider_id: id.as_str().to_owned(),
            reason: reason.clone(),
            restart_in_ms,
        }));
        let (why, at) = (format!("it exited: {reason}"), turn.now);
        entry.failed = Some(Failed { why, at });
        if restart_in_ms.is_none() {
            entry.incarnation = None;
            self.by_serial.remove(&serial);
        }
        self.advance(&id, turn);
    }

    /// A provider was asked for its health.
    pub(crate) fn checked(&mut self, serial: Serial, healthy: bool, turn: &mut Turn<'_>) {
        let Some((id, entry)) = self.entry_of(serial) else {
            return;
        };
        let Some(running) = &mut entry.running else {
            return;
        };
        let before = running.healthy.replace(healthy);
        let health = ProviderHealth {
            host_id: turn.host_id.as_str().to_owned(),
            provider_id: id.as_str().to_owned(),
        };
        turn.publish(match (before, healthy) {
            (Some(before), _) if before == healthy => Event::HealthCheckStatus(health),
            (_, true) => Event::HealthCheckPassed(health),
            (_, false) => Event::HealthCheckFailed(health),
        });
    }

    fn forget_if_empty(&mut self, id: &ComponentId) {
        if self.entries.get(id).is_some_and(Entry::is_empty) {
            self.entries.remove(id);
        }
    }

    /// Takes over what serves already. Returns the serial to report its end with.
    pub(crate) fn adopt(
        &mut self,
        id: ComponentId,
        settings: ProviderSettings,
        signed: Claimed,
        turn: &mut Turn<'_>,
    ) -> Result<Serial, String> {
        self.check_room(&id, &settings)?;
        let serial = turn.next_serial();
        let entry = self.entries.entry(id.clone()).or_default();
        if entry.work.is_some() || entry.next.is_some() {
            return Err(format!("a command for provider {id} is under way"));
        }
        if let Some(before) = entry.incarnation {
            self.by_serial.remove(&before);
        }
        turn.specs_wanted.push((id.clone(), settings.image.clone()));
        *entry = Entry {
            settings,
            running: Some(Running {
                signed,
                healthy: None,
            }),
            incarnation: Some(serial),
            ..Entry::default()
        };
        tell_started(&id, entry, turn);
        self.by_serial.insert(serial, id.clone());
        self.advance(&id, turn);
        Ok(serial)
    }

    /// Forgets what the shell has stopped by itself.
    pub(crate) fn release(&mut self, id: &ComponentId, turn: &mut Turn<'_>) {
        let Some(mut entry) = self.entries.remove(id) else {
            return;
        };
        self.by_serial.retain(|_, of| of != id);
        tell_stopped(id, &entry, turn);
        if let Some(Work::Stop(stop)) = entry.work.take() {
            for reply in stop.replies {
                turn.done(reply, success::PROVIDER_STOPPED);
            }
        }
        if let Some(next) = entry.next.take() {
            tell_start_failed(id, &next, STOPPED_FIRST, turn);
        }
    }

    /// Tells whether `id` serves.
    pub(crate) fn runs_here(&self, id: &ComponentId) -> bool {
        self.entries.get(id).is_some_and(|it| it.running.is_some())
    }

    /// Tells whether `id` serves, or is about to.
    pub(crate) fn is_taken(&self, id: &str) -> bool {
        self.find(id).is_some_and(|it| !it.is_only_failed())
    }

    /// Tells whether a provider that does not run yet could.
    pub(crate) fn has_room(&self) -> bool {
        self.entries.len() < PROVIDERS_MAX || self.entries.values().any(Entry::is_only_failed)
    }

    fn find(&self, id: &str) -> Option<&Entry> {
        self.entries.get(&ComponentId::new(id).ok()?)
    }

    /// Returns what serves.
    pub(crate) fn running(&self) -> impl Iterator<Item = (&ComponentId, &ProviderSettings)> {
        let all = self.entries.iter();
        all.filter(|(_, it)| it.running.is_some())
            .map(|(id, it)| (id, &it.settings))
    }

    pub(crate) fn descriptions(&self) -> Vec<ProviderDescription> {
        let all = self.entries.iter();
        all.filter_map(|(id, it)| it.describe(id)).collect()
    }

    pub(crate) fn statuses(&self) -> Vec<ProviderStatus> {
        self.entries.iter().map(|(id, it)| it.status(id)).collect()
    }
}

fn tell_started(id: &ComponentId, entry: &Entry, turn: &mut Turn<'_>) {
    let signed = entry.running.as_ref().and_then(|it| it.signed.as_deref());
    let when_signed = |text: &str| signed.map(|_| text.to_owned());
    turn.publish(Event::ProviderStarted(ProviderStarted {
        host_id: turn.host_id.as_str().to_owned(),
        image_ref: entry.settings.image.clone(),
        provider_id: id.as_str().to_owned(),
        annotations: entry.settings.annotations.clone(),
        claims: signed.map(|it| it.claims.clone()),
        instance_id: when_signed(id.as_str()),
        public_key: when_signed(id.as_str()),
        link_name: when_signed("default"),
    }));
}

fn tell_start_failed(
    id: &ComponentId,
    settings: &ProviderSettings,
    why: &str,
    turn: &mut Turn<'_>,
) {
    turn.publish(Event::ProviderStartFailed(ProviderStartFailed {
        provider_ref: settings.image.clone(),
        provider_id: id.as_str().to_owned(),
        host_id: turn.host_id.as_str().to_owned(),
        error: why.to_owned(),
        link_name: "default".to_owned(),
    }));
}

fn tell_stopped(id: &ComponentId, entry: &Entry, turn: &mut Turn<'_>) {
    turn.publish(Event::ProviderStopped(ProviderStopped {
        host_id: turn.host_id.as_str().to_owned(),
        provider_id: id.as_str().to_owned(),
        annotations: entry.settings.annotations.clone(),
        reason: "stop".to_owned(),
        instance_id: Some(id.as_str().to_owned()),
        public_key: Some(id.as_str().to_owned()),
        link_name: Some("default".to_owned()),
    }));
}

/// Returns the claims of a provider as the lattice state keeps them.
fn stored_claims(signed: &Signed<ProviderEventClaims>) -> Claims {
    let claims = signed.claims.clone();
    Claims::Provider(ProviderClaims {
        issuer: claims.issuer.unwrap_or_default(),
        name: claims.name.unwrap_or_default(),
        revision: signed.revision.to_string(),
        subject: signed.public_key.clone(),
        version: claims.version.unwrap_or_default(),
        config_schema: None,
    })
}
