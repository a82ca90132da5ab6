//! The components of a host: what runs, the one piece of work under way for each, and the commands
//! that wait for it.
//!
//! Of commands that wait for one id only the last is carried out. Every accepted command gets one
//! event that says how its component ended up.

mod entry;

use std::collections::{BTreeMap, HashMap};

use trellis_control::{
    Claims, ComponentClaims, ComponentDescription, ComponentEventClaims, ComponentScaleFailed,
    ComponentScaled, ComponentStatus, Event, ScaleComponentCommand, TextMap,
    UpdateComponentCommand,
};
use trellis_core::ComponentId;

use self::entry::{Entry, Failed, Held, Next, Owed, Running, Step, Work, WorkKind};
use super::{COMMANDS_WAITING_MAX, COMPONENTS_MAX, RETRY_AFTER, settings_fit};
use crate::effect::{ComponentAction, ComponentSettings, ComponentWork, Effect};
use crate::input::{ReplyTo, Serial, Signed};
use crate::turn::Turn;

type Claimed = Option<Box<Signed<ComponentEventClaims>>>;

/// All components of a host.
#[derive(Debug, Default)]
pub(crate) struct Components {
    entries: BTreeMap<ComponentId, Entry>,
    by_serial: HashMap<Serial, ComponentId>,
}

impl Components {
    /// Takes a scale command; the mode allows it.
    pub(crate) fn scale(
        &mut self,
        id: ComponentId,
        command: ScaleComponentCommand,
        reply: Option<ReplyTo>,
        turn: &mut Turn<'_>,
    ) {
        let owed = Owed {
            image: command.component_ref.clone(),
            instances_max: command.count,
            annotations: command.annotations.clone(),
        };
        if command.count == 0 {
            turn.done(reply, "");
            return self.ask(id, None, owed, turn);
        }
        let entry = self.entries.get(&id);
        let (settings, warning) = settings_after(&id, command, entry);
        if let Err(why) = self.check_room(&id, &settings) {
            return turn.refuse(reply, &why);
        }
        if settings.is_singleton() && !turn.permits.singletons {
            return turn.refuse(reply, LEASE_MISSING);
        }
        turn.done(reply, &warning);
        self.ask(id, Some(settings), owed, turn);
    }

    /// Takes an update command; the mode allows it.
    pub(crate) fn update(
        &mut self,
        id: ComponentId,
        command: UpdateComponentCommand,
        reply: Option<ReplyTo>,
        turn: &mut Turn<'_>,
    ) {
        let target = self.entries.get(&id).and_then(Entry::target);
        let Some(mut settings) = target.cloned() else {
            return turn.refuse(reply, &format!("component {id} not found"));
        };
        let (old, new) = (settings.image.clone(), command.new_component_ref);
        if old == new {
            return turn.done(reply, &format!("component {id} already updated to {new}"));
        }
        settings.image = new.clone();
        if !command.annotations.is_empty() {
            settings.annotations = command.annotations;
        }
        if let Err(why) = self.check_room(&id, &settings) {
            return turn.refuse(reply, &why);
        }
        turn.done(
            reply,
            &format!("component {id} updating from {old} to {new}"),
        );
        let owed = Owed {
            image: new,
            instances_max: settings.instances_max,
            annotations: settings.annotations.clone(),
        };
        self.ask(id, Some(settings), owed, turn);
    }

    /// Makes room for one more command for `id`, or says why there is none.
    fn check_room(&mut self, id: &ComponentId, settings: &ComponentSettings) -> Result<(), String> {
        let texts = [Some(&settings.annotations), settings.limits.as_ref()];
        settings_fit(id, &settings.image, &settings.config, texts)?;
        let waiting: usize = self.entries.values().map(Entry::owed).sum();
        if waiting >= COMMANDS_WAITING_MAX {
            return Err(format!(
                "{COMMANDS_WAITING_MAX} commands for components wait on this host, the most it \
                 takes; try again in a moment"
            ));
        }
        if self.entries.contains_key(id) || self.entries.len() < COMPONENTS_MAX {
            return Ok(());
        }
        if self.forget_oldest_failure() {
            return Ok(());
        }
        Err(format!(
            "this host already has {COMPONENTS_MAX} components, the most it takes; start {id} on \
             another host"
        ))
    }

    fn forget_oldest_failure(&mut self) -> bool {
        let failures = self.entries.iter().filter(|(_, it)| it.is_only_failed());
        let oldest = failures.min_by_key(|(_, it)| it.failed.as_ref().map(|it| it.at));
        match oldest.map(|(id, _)| id.clone()) {
            Some(id) => self.entries.remove(&id).is_some(),
            None => false,
        }
    }

    /// Lets `id` become `target` (`None`: stop) as soon as it can.
    fn ask(
        &mut self,
        id: ComponentId,
        target: Option<ComponentSettings>,
        owed: Owed,
        turn: &mut Turn<'_>,
    ) {
        let entry = self.entries.entry(id.clone()).or_default();
        let mut all = entry.next.take().map(|it| it.owed).unwrap_or_default();
        all.push(owed);
        entry.next = Some(Next { target, owed: all });
        self.advance(&id, turn);
    }

    /// Does what is possible now for every component.
    pub(crate) fn advance_all(&mut self, turn: &mut Turn<'_>) {
        let waits = |it: &&Entry| it.step(&turn.permits, turn.now) != Step::Wait;
        let ids = self.entries.iter().filter(|(_, it)| waits(it));
        let ids: Vec<ComponentId> = ids.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.advance(&id, turn);
        }
    }

    /// Does what is possible now for `id`.
    fn advance(&mut self, id: &ComponentId, turn: &mut Turn<'_>) {
        // Each round ends waiting, begins work, or takes away what was next: three at most.
        while let Some(entry) = self.entries.get_mut(id) {
            match entry.step(&turn.permits, turn.now) {
                Step::Wait => return,
                Step::Hold => self.hold(id, turn),
                Step::Refuse => {
                    let owed = entry.next.take().map(|it| it.owed).unwrap_or_default();
                    let why = match turn.permits.start {
                        true => LEASE_MISSING.to_owned(),
                        false => turn.refusal.to_string(),
                    };
                    tell_failed(id, owed, &why, turn);
                    self.forget_if_empty(id);
                }
                Step::Begin => self.begin(id, turn),
                Step::Restart => {
                    let Some(held) = entry.held.as_ref() else {
                        return;
                    };
                    let settings = held.settings.clone();
                    self.start(id, WorkKind::Restart(settings), Vec::new(), turn);
                }
            }
        }
    }

    /// Stops a singleton, to start it again once the lease allows.
    fn hold(&mut self, id: &ComponentId, turn: &mut Turn<'_>) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let restarting = match &entry.work {
            Some(work) => work.kind.restarts().cloned(),
            None => None,
        };
        let running = entry.running.as_ref().map(|it| it.settings.clone());
        let owed = entry.work.take().map(|it| self.by_serial.forget(it));
        tell_failed(id, owed.unwrap_or_default(), LEASE_MISSING, turn);
        let hold = running.or(restarting);
        self.start(id, WorkKind::Stop { hold }, Vec::new(), turn);
    }

    /// Begins what is next, or finds that nothing is to be done for it.
    fn begin(&mut self, id: &ComponentId, turn: &mut Turn<'_>) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let Some(Next { target, owed }) = entry.next.take() else {
            return;
        };
        let Some(settings) = target else {
            return self.begin_stop(id, owed, turn);
        };
        entry.held = None;
        match &mut entry.running {
            Some(running) if running.settings.runs_like(&settings) => {
                running.settings.annotations = settings.annotations;
                entry.failed = None;
                tell_scaled(id, running, owed.len(), turn);
            }
            Some(_) => self.start(id, WorkKind::Update(settings), owed, turn),
            None => self.start(id, WorkKind::Run(settings), owed, turn),
        }
    }

    fn begin_stop(&mut self, id: &ComponentId, owed: Vec<Owed>, turn: &mut Turn<'_>) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        entry.held = None;
        // Even what is not known here is stopped: the shell may be about to run it again after a start
        // without the lattice. A stop ends what is under way; whoever asked for that hears that it was stopped.
        let ended = entry.work.take().map(|it| self.by_serial.forget(it));
        let mut all = ended.unwrap_or_default();
        all.extend(owed);
        self.start(id, WorkKind::Stop { hold: None }, all, turn);
    }

    fn start(&mut self, id: &ComponentId, kind: WorkKind, owed: Vec<Owed>, turn: &mut Turn<'_>) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let serial = turn.next_serial();
        let action = match &kind {
            WorkKind::Run(it) | WorkKind::Restart(it) => {
                turn.specs_wanted.push((id.clone(), it.image.clone()));
                ComponentAction::Run(it.clone())
            }
            WorkKind::Update(it) => ComponentAction::Update(it.clone()),
            WorkKind::Stop { .. } => ComponentAction::Stop,
        };
        entry.work = Some(Work { serial, kind, owed });
        self.by_serial.insert(serial, id.clone());
        turn.push(Effect::Component(ComponentWork {
            serial,
            id: id.clone(),
            action,
        }));
    }

    /// Takes the work `serial` from its component; `None` for work that was ended.
    fn take_work(&mut self, serial: Serial) -> Option<(ComponentId, Work)> {
        let id = self.by_serial.remove(&serial)?;
        let entry = self.entries.get_mut(&id)?;
        Some((id, entry.work.take()?))
    }

    /// Work came out well.
    pub(crate) fn runs(
        &mut self,
        serial: Serial,
        digest: String,
        signed: Claimed,
        turn: &mut Turn<'_>,
    ) {
        let Some((id, work)) = self.take_work(serial) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let settings = match work.kind {
            WorkKind::Run(it) | WorkKind::Restart(it) | WorkKind::Update(it) => it,
            // Only a mistake of the shell reports a stop as running; it is tried again when asked.
            WorkKind::Stop { .. } => {
                tell_failed(&id, work.owed, "it did not stop", turn);
                return self.advance(&id, turn);
            }
        };
        turn.claims_wanted
            .extend(signed.as_deref().map(stored_claims));
        (entry.failed, entry.held) = (None, None);
        let running = entry.running.insert(Running {
            settings,
            digest,
            signed,
        });
        tell_scaled(&id, running, work.owed.len().max(1), turn);
        self.advance(&id, turn);
    }

    /// Work came out badly.
    pub(crate) fn failed(&mut self, serial: Serial, why: String, turn: &mut Turn<'_>) {
        let Some((id, work)) = self.take_work(serial) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if matches!(work.kind, WorkKind::Stop { .. }) && entry.running.is_none() {
            return self.after_stop(&id, work, turn);
        }
        let again_at = turn.now.after(RETRY_AFTER);
        match work.kind {
            WorkKind::Stop { .. } => entry.hold_at = again_at,
            WorkKind::Restart(_) => entry.restart_at = again_at,
            WorkKind::Run(_) | WorkKind::Update(_) => {}
        }
        tell_failed(&id, work.owed, &why, turn);
        let image = match work.kind {
            WorkKind::Run(it) | WorkKind::Restart(it) | WorkKind::Update(it) => it.image,
            WorkKind::Stop { .. } => String::new(),
        };
        let at = turn.now;
        entry.failed = Some(Failed { image, why, at });
        self.advance(&id, turn);
    }

    /// A component has stopped.
    pub(crate) fn stopped(&mut self, serial: Serial, turn: &mut Turn<'_>) {
        if let Some((id, work)) = self.take_work(serial) {
            self.after_stop(&id, work, turn);
        }
    }

    fn after_stop(&mut self, id: &ComponentId, work: Work, turn: &mut Turn<'_>) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let ran = entry.running.take();
        entry.failed = None;
        let Work { kind, owed, .. } = work;
        match kind {
            WorkKind::Stop { hold: Some(it) } => entry.held = Some(Held { settings: it }),
            WorkKind::Stop { hold: None } => {}
            // It stopped while it was to start or change.
            WorkKind::Run(_) | WorkKind::Restart(_) | WorkKind::Update(_) => {
                tell_failed(id, owed, "it stopped", turn);
                self.forget_if_empty(id);
                return self.advance(id, turn);
            }
        }
        tell_stopped(id, ran, owed, turn);
        self.forget_if_empty(id);
        self.advance(id, turn);
    }

    fn forget_if_empty(&mut self, id: &ComponentId) {
        if self.entries.get(id).is_some_and(Entry::is_empty) {
            self.entries.remove(id);
        }
    }

    /// Takes over what runs already; `None` where that cannot be.
    pub(crate) fn adopt(
        &mut self,
        id: ComponentId,
        settings: ComponentSettings,
        running: (String, Claimed),
        turn: &mut Turn<'_>,
    ) -> Result<(), String> {
        self.check_room(&id, &settings)?;
        let entry = self.entries.entry(id.clone()).or_default();
        if entry.work.is_some() || entry.next.is_some() {
            return Err(format!("a command for component {id} is under way"));
        }
        turn.specs_wanted.push((id.clone(), settings.image.clone()));
        let (digest, signed) = running;
        let running = Running {
            settings,
            digest,
            signed,
        };
        tell_scaled(&id, &running, 1, turn);
        *entry = Entry {
            running: Some(running),
            ..Entry::default()
        };
        self.advance(&id, turn);
        Ok(())
    }

    /// Forgets what the shell has stopped by itself.
    pub(crate) fn release(&mut self, id: &ComponentId, turn: &mut Turn<'_>) {
        let Some(entry) = self.entries.remove(id) else {
            return;
        };
        let mut owed = Vec::new();
        if let Some(work) = entry.work {
            owed.extend(self.by_serial.forget(work));
        }
        owed.extend(entry.next.into_iter().flat_map(|it| it.owed));
        tell_stopped(id, entry.running, owed, turn);
    }

    /// Tells whether an instance of `id` runs.
    pub(crate) fn runs_here(&self, id: &ComponentId) -> bool {
        self.entries.get(id).is_some_and(|it| it.running.is_some())
    }

    /// Tells whether `id` runs, or is about to.
    pub(crate) fn is_taken(&self, id: &str) -> bool {
        self.find(id).is_some_and(|it| !it.is_only_failed())
    }

    /// Tells whether a component that does not run yet could.
    pub(crate) fn has_room(&self) -> bool {
        self.entries.len() < COMPONENTS_MAX || self.entries.values().any(Entry::is_only_failed)
    }

    fn find(&self, id: &str) -> Option<&Entry> {
        self.entries.get(&ComponentId::new(id).ok()?)
    }

    /// Returns what runs.
    pub(crate) fn running(&self) -> impl Iterator<Item = (&ComponentId, &ComponentSettings)> {
        let all = self.entries.iter();
        all.filter_map(|(id, it)| Some((id, &it.running.as_ref()?.settings)))
    }

    pub(crate) fn descriptions(&self) -> Vec<ComponentDescription> {
        let all = self.entries.iter();
        all.filter_map(|(id, it)| Some(it.running.as_ref()?.describe(id)))
            .collect()
    }

    pub(crate) fn statuses(&self) -> Vec<ComponentStatus> {
        self.entries.iter().map(|(id, it)| it.status(id)).collect()
    }
}

/// Forgetting work whose outcome does not count any more.
trait Forget {
    /// Returns the commands that wait for an event.
    fn forget(&mut self, work: Work) -> Vec<Owed>;
}

impl Forget for HashMap<Serial, ComponentId> {
    fn forget(&mut self, work: Work) -> Vec<Owed> {
        self.remove(&work.serial);
        work.owed
    }
}

/// Why a singleton does not start.
pub(crate) const LEASE_MISSING: &str =
    "it may run only once in the lattice, and this host has not renewed its lease in time";

/// Returns what `command` makes of the component, and the words for the reply.
fn settings_after(
    id: &ComponentId,
    command: ScaleComponentCommand,
    entry: Option<&Entry>,
) -> (ComponentSettings, String) {
    let asked = command.component_ref;
    let base = entry.and_then(Entry::target);
    let replaces = entry.is_some_and(|it| it.running.is_some() || it.held.is_some());
    let (image, warning) = match base {
        // A start that is under way may be of an image that never works: the new one counts.
        Some(base) if replaces && base.image != asked => {
            let old = &base.image;
            match command.allow_update {
                true => {
                    let words =
                        format!("component {id} is scaled and updating from {old} to {asked}");
                    (asked, words)
                }
                false => {
                    let words = format!(
                        "component {id} is scaled and keeps {old}: to change it to {asked}, update it, \
                         or scale it with `allow_update`"
                    );
                    (old.clone(), words)
                }
            }
        }
        _ => (asked, String::new()),
    };
    let kept = |said: TextMap| match base {
        Some(base) if said.is_empty() => base.annotations.clone(),
        _ => said,
    };
    let settings = ComponentSettings {
        image,
        instances_max: command.count,
        limits: command
            .component_limits
            .or_else(|| base.and_then(|it| it.limits.clone())),
        config: command.config,
        annotations: kept(command.annotations),
    };
    (settings, warning)
}

fn tell_scaled(id: &ComponentId, running: &Running, times: usize, turn: &mut Turn<'_>) {
    for _ in 0..times {
        turn.publish(Event::ComponentScaled(ComponentScaled {
            public_key: running.signed.as_ref().map(|it| it.public_key.clone()),
            claims: running.signed.as_ref().map(|it| it.claims.clone()),
            annotations: running.settings.annotations.clone(),
            host_id: turn.host_id.as_str().to_owned(),
            image_ref: running.settings.image.clone(),
            max_instances: running.settings.instances_max,
            component_id: id.as_str().to_owned(),
        }));
    }
}

/// Tells that `id` does not run: once for each command, or once where it did run.
fn tell_stopped(id: &ComponentId, ran: Option<Running>, owed: Vec<Owed>, turn: &mut Turn<'_>) {
    let times = owed.len().max(usize::from(ran.is_some()));
    let mut owed = owed.into_iter();
    for _ in 0..times {
        let owed = owed.next();
        let (image, annotations) = match (&ran, owed) {
            (Some(ran), _) => (ran.settings.image.clone(), ran.settings.annotations.clone()),
            (None, Some(owed)) => (owed.image, owed.annotations),
            (None, None) => (String::new(), TextMap::new()),
        };
        turn.publish(Event::ComponentScaled(ComponentScaled {
            public_key: ran
                .as_ref()
                .and_then(|it| Some(it.signed.as_ref()?.public_key.clone())),
            claims: ran
                .as_ref()
                .and_then(|it| Some(it.signed.as_ref()?.claims.clone())),
            annotations,
            host_id: turn.host_id.as_str().to_owned(),
            image_ref: image,
            max_instances: 0,
            component_id: id.as_str().to_owned(),
        }));
    }
}

fn tell_failed(id: &ComponentId, owed: Vec<Owed>, why: &str, turn: &mut Turn<'_>) {
    for owed in owed {
        turn.publish(Event::ComponentScaleFailed(ComponentScaleFailed {
            public_key: None,
            annotations: owed.annotations,
            component_id: id.as_str().to_owned(),
            host_id: turn.host_id.as_str().to_owned(),
            image_ref: owed.image,
            max_instances: owed.instances_max,
            error: why.to_owned(),
        }));
    }
}

/// Returns the claims of a component as the lattice state keeps them.
fn stored_claims(signed: &Signed<ComponentEventClaims>) -> Claims {
    let claims = signed.claims.clone();
    Claims::Component(ComponentClaims {
        call_alias: claims.call_alias.unwrap_or_default(),
        issuer: claims.issuer.unwrap_or_default(),
        name: claims.name.unwrap_or_default(),
        revision: signed.revision.to_string(),
        subject: signed.public_key.clone(),
        tags: claims.tags.unwrap_or_default(),
        version: claims.version.unwrap_or_default(),
    })
}
