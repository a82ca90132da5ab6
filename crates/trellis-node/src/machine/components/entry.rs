//! One component, and what is to be done for it next. Pure.

use trellis_control::{ComponentDescription, ComponentEventClaims, ComponentStatus, TextMap};
use trellis_core::ComponentId;

use crate::effect::ComponentSettings;
use crate::input::{Serial, Signed};
use crate::mode::Permits;
use crate::time::Millis;

/// One component: at least one of its fields says something.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) running: Option<Running>,
    pub(super) work: Option<Work>,
    pub(super) next: Option<Next>,
    pub(super) held: Option<Held>,
    pub(super) failed: Option<Failed>,
    /// Earliest moment at which a stop for want of a lease that failed is tried again.
    pub(super) hold_at: Millis,
    /// Earliest moment at which a start under a new lease that failed is tried again.
    pub(super) restart_at: Millis,
}

/// What runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) settings: ComponentSettings,
    pub(super) digest: String,
    pub(super) signed: Option<Box<Signed<ComponentEventClaims>>>,
}

/// The work under way, and the commands that wait for it.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) serial: Serial,
    pub(super) kind: WorkKind,
    pub(super) owed: Vec<Owed>,
}

#[derive(Debug)]
pub(super) enum WorkKind {
    /// Told to start.
    Run(ComponentSettings),
    /// A singleton starts again under a new lease.
    Restart(ComponentSettings),
    Update(ComponentSettings),
    Stop {
        /// What to start again once the lease allows.
        hold: Option<ComponentSettings>,
    },
}

/// What is to be done after the work under way.
#[derive(Debug)]
pub(super) struct Next {
    /// `None`: stop.
    pub(super) target: Option<ComponentSettings>,
    pub(super) owed: Vec<Owed>,
}

/// A command that gets an event: what it asked for.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) image: String,
    pub(super) instances_max: u32,
    pub(super) annotations: TextMap,
}

/// A singleton that waits for a lease.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) settings: ComponentSettings,
}

/// The last work that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) image: String,
    pub(super) why: String,
    pub(super) at: Millis,
}

/// What is to be done for a component.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing now.
    Wait,
    /// Stop it, for want of a lease.
    Hold,
    /// What is next is not allowed any more.
    Refuse,
    /// Begin what is next.
    Begin,
    /// Start it again.
    Restart,
}

impl WorkKind {
    fn settings(&self) -> Option<&ComponentSettings> {
        match self {
            Self::Run(it) | Self::Restart(it) | Self::Update(it) => Some(it),
            Self::Stop { .. } => None,
        }
    }

    pub(super) fn restarts(&self) -> Option<&ComponentSettings> {
        match self {
            Self::Restart(it) => Some(it),
            _ => None,
        }
    }
}

impl Entry {
    /// Decides what is to be done.
    pub(super) fn step(&self, permits: &Permits, now: Millis) -> Step {
        let stopping = matches!(
            self.work.as_ref().map(|it| &it.kind),
            Some(WorkKind::Stop { .. })
        );
        let under_way = self.work.as_ref().and_then(|it| it.kind.settings());
        let running = self.running.as_ref().map(|it| &it.settings);
        let active = running.or(under_way);
        if !permits.singletons
            && !stopping
            && now >= self.hold_at
            && active.is_some_and(ComponentSettings::is_singleton)
        {
            return Step::Hold;
        }
        if let Some(next) = &self.next {
            return match &next.target {
                Some(it) if !permits.start || (it.is_singleton() && !permits.singletons) => {
                    Step::Refuse
                }
                None if !permits.stop => Step::Refuse,
                Some(_) if self.work.is_some() => Step::Wait,
                None if stopping => Step::Wait,
                _ => Step::Begin,
            };
        }
        let restarts = self.work.is_none() && self.held.is_some() && permits.restart;
        if restarts && now >= self.restart_at {
            return Step::Restart;
        }
        Step::Wait
    }

    /// Returns what it will be after everything that was accepted; `None` where it is to be stopped.
    pub(super) fn target(&self) -> Option<&ComponentSettings> {
        if let Some(next) = &self.next {
            return next.target.as_ref();
        }
        if let Some(work) = &self.work {
            return match &work.kind {
                WorkKind::Stop { hold } => hold.as_ref(),
                kind => kind.settings(),
            };
        }
        let held = self.held.as_ref().map(|it| &it.settings);
        held.or_else(|| self.running.as_ref().map(|it| &it.settings))
    }

    /// Returns how many commands wait for an event.
    pub(super) fn owed(&self) -> usize {
        let work = self.work.as_ref().map_or(0, |it| it.owed.len());
        work + self.next.as_ref().map_or(0, |it| it.owed.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.failed.is_none() && self.is_only_failed()
    }

    /// Tells whether nothing but a failure is left of it.
    pub(super) fn is_only_failed(&self) -> bool {
        self.running.is_none() && self.work.is_none() && self.next.is_none() && self.held.is_none()
    }

    pub(super) fn status(&self, id: &ComponentId) -> ComponentStatus {
        let running = self.running.as_ref().map(|it| &it.settings);
        let settings = running.or_else(|| self.target());
        let failed = self.failed.as_ref();
        ComponentStatus {
            id: id.as_str().to_owned(),
            image_ref: settings
                .map(|it| it.image.clone())
                .or_else(|| failed.map(|it| it.image.clone()))
                .unwrap_or_default(),
            digest: self
                .running
                .as_ref()
                .map(|it| it.digest.clone())
                .unwrap_or_default(),
            max_instances: settings.map_or(0, |it| it.instances_max),
            ready: self.running.is_some(),
            why: self.why(),
            annotations: settings
                .map(|it| it.annotations.clone())
                .unwrap_or_default(),
        }
    }

    fn why(&self) -> Option<String> {
        let at_work = self.work.as_ref().map(|work| match &work.kind {
            WorkKind::Run(_) | WorkKind::Restart(_) => "it is starting".to_owned(),
            WorkKind::Update(it) => format!("it is changing to {}", it.image),
            WorkKind::Stop { .. } => "it is stopping".to_owned(),
        });
        let failed = self.failed.as_ref().map(|it| match it.image.as_str() {
            "" => format!("it could not be stopped: {}", it.why),
            image => format!("{image} could not be started: {}", it.why),
        });
        let held = self.held.as_ref().map(|_| super::LEASE_MISSING.to_owned());
        at_work.or(failed).or(held)
    }
}

impl Running {
    pub(super) fn describe(&self, id: &ComponentId) -> ComponentDescription {
        let claims = self.signed.as_deref();
        ComponentDescription {
            id: id.as_str().to_owned(),
            image_ref: self.settings.image.clone(),
            name: claims.and_then(|it| it.claims.name.clone()),
            annotations: self.settings.annotations.clone(),
            revision: claims.map_or(0, |it| it.revision),
            max_instances: self.settings.instances_max,
            limits: self.settings.limits.clone(),
        }
    }
}
