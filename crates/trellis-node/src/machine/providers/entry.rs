//! One provider, and what is to be done for it next. Pure.

use trellis_control::{ProviderDescription, ProviderEventClaims, ProviderStatus};
use trellis_core::ComponentId;

use crate::effect::ProviderSettings;
use crate::input::{ReplyTo, Serial, Signed};
use crate::mode::Permits;
use crate::time::Millis;

/// One provider.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) settings: ProviderSettings,
    pub(super) running: Option<Running>,
    /// The start by which it runs, or is started again by the shell after it exited.
    pub(super) incarnation: Option<Serial>,
    pub(super) restarts: u64,
    pub(super) work: Option<Work>,
    /// To be started after the stop that is under way.
    pub(super) next: Option<ProviderSettings>,
    /// A singleton that waits for a lease.
    pub(super) held: bool,
    pub(super) failed: Option<Failed>,
    /// Earliest moment at which a stop for want of a lease that failed is tried again.
    pub(super) hold_at: Millis,
    /// Earliest moment at which a start under a new lease that failed is tried again.
    pub(super) restart_at: Millis,
}

/// What serves.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) signed: Option<Box<Signed<ProviderEventClaims>>>,
    pub(super) healthy: Option<bool>,
}

/// The work under way.
#[derive(Debug)]
pub(super) enum Work {
    Start((Serial, Start)),
    Stop(Stop),
}

/// Why a provider is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Somebody said so, and gets an event.
    Commanded,
    /// A singleton starts again under a new lease.
    Again,
}

#[derive(Debug)]
pub(super) struct Stop {
    pub(super) serial: Serial,
    /// Who waits until it has stopped.
    pub(super) replies: Vec<Option<ReplyTo>>,
    /// Whether it is started again once the lease allows.
    pub(super) hold: bool,
}

/// The last work that failed, or the last exit.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) why: String,
    pub(super) at: Millis,
}

/// What is to be done for a provider.
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

impl Entry {
    /// Decides what is to be done.
    pub(super) fn step(&self, permits: &Permits, now: Millis) -> Step {
        let stopping = matches!(self.work, Some(Work::Stop(_)));
        let active = self.lives() || self.work.is_some();
        if !permits.singletons
            && active
            && !stopping
            && now >= self.hold_at
            && self.settings.is_singleton()
        {
            return Step::Hold;
        }
        if let Some(next) = &self.next {
            return match self.work {
                _ if !permits.start || (next.is_singleton() && !permits.singletons) => Step::Refuse,
                None => Step::Begin,
                Some(_) => Step::Wait,
            };
        }
        let restarts = self.held && self.work.is_none() && permits.restart;
        if restarts && now >= self.restart_at {
            return Step::Restart;
        }
        Step::Wait
    }

    /// Tells whether it serves, or the shell is about to start it again.
    pub(super) fn lives(&self) -> bool {
        self.running.is_some() || self.incarnation.is_some()
    }

    /// Tells whether a start of the same id is one too many.
    pub(super) fn is_taken(&self) -> bool {
        match &self.work {
            Some(Work::Stop(stop)) => self.next.is_some() || stop.hold,
            Some(Work::Start(_)) => true,
            None => self.lives() || self.held,
        }
    }

    /// Returns how many wait for a reply.
    pub(super) fn replies(&self) -> usize {
        match &self.work {
            Some(Work::Stop(stop)) => stop.replies.len(),
            _ => 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.failed.is_none() && self.is_only_failed()
    }

    /// Tells whether nothing but a failure is left of it.
    pub(super) fn is_only_failed(&self) -> bool {
        !self.lives() && self.work.is_none() && self.next.is_none() && !self.held
    }

    pub(super) fn describe(&self, id: &ComponentId) -> Option<ProviderDescription> {
        let signed = self.running.as_ref()?.signed.as_deref();
        Some(ProviderDescription {
            id: id.as_str().to_owned(),
            image_ref: Some(without_scheme(&self.settings.image).to_owned()),
            name: signed.and_then(|it| it.claims.name.clone()),
            revision: signed.map_or(0, |it| it.revision),
            annotations: self.settings.annotations.clone(),
        })
    }

    pub(super) fn status(&self, id: &ComponentId) -> ProviderStatus {
        ProviderStatus {
            id: id.as_str().to_owned(),
            image_ref: self.settings.image.clone(),
            ready: self.running.is_some(),
            why: self.why(),
            restarts: self.restarts,
            annotations: self.settings.annotations.clone(),
        }
    }

    fn why(&self) -> Option<String> {
        match &self.work {
            Some(Work::Start(_)) => return Some("it is starting".to_owned()),
            Some(Work::Stop(_)) => return Some("it is stopping".to_owned()),
            None => {}
        }
        let unwell = self
            .running
            .as_ref()
            .is_some_and(|it| it.healthy == Some(false));
        let failed = self.failed.as_ref().map(|it| it.why.clone());
        failed
            .or_else(|| unwell.then(|| "it says that it is not well".to_owned()))
            .or_else(|| self.held.then(|| super::LEASE_MISSING.to_owned()))
    }
}

/// Returns an image as inventories of 1.x write it.
fn without_scheme(image: &str) -> &str {
    ["wasmcloud+builtin://", "oci://", "file://"]
        .iter()
        .find_map(|scheme| image.strip_prefix(scheme))
        .unwrap_or(image)
}
