//! The model of one host: its machine, and what really runs.

use std::collections::BTreeMap;

use trellis_core::ComponentId;
use trellis_node::{
    ComponentAction, ComponentSettings, LeaseOutcome, LeasePolicy, Machine, Millis, Options,
    ProviderAction, ProviderSettings, Serial,
};

use super::store::View;
use crate::support;

/// One host.
pub(super) struct Host {
    pub(super) machine: Machine,
    /// Counts its lives.
    pub(super) run: u32,
    /// Whether bytes get through.
    pub(super) link: bool,
    /// Whether the shell believes that they do.
    pub(super) connected: bool,
    pub(super) components: BTreeMap<ComponentId, ComponentSettings>,
    pub(super) component_jobs: BTreeMap<ComponentId, (Serial, ComponentAction)>,
    pub(super) providers: BTreeMap<ComponentId, (Serial, ProviderSettings)>,
    pub(super) provider_jobs: BTreeMap<ComponentId, (Serial, ProviderAction)>,
    /// Providers that exited and are about to be started again.
    pub(super) backing_off: BTreeMap<ComponentId, (Serial, ProviderSettings)>,
    pub(super) views: [View; 2],
    /// The lease as the lattice has it: its term, and when it was last renewed.
    pub(super) lease: (u64, u64),
    /// When the last lease that this host was told of was asked for.
    pub(super) lease_asked: Option<u64>,
    pub(super) announced: bool,
    /// Commands for components that were accepted, and events that told how one came out.
    pub(super) accepted: u64,
    pub(super) told: u64,
}

impl Host {
    pub(super) fn new(index: usize, run: u32, now: u64) -> Self {
        let options = Options {
            lease: LeasePolicy::Kept,
            ..Options::default()
        };
        let identity = support::identity(&format!("N{index}"));
        Self {
            machine: Machine::new(identity, options, Millis(now)),
            run,
            link: false,
            connected: false,
            components: BTreeMap::new(),
            component_jobs: BTreeMap::new(),
            providers: BTreeMap::new(),
            provider_jobs: BTreeMap::new(),
            backing_off: BTreeMap::new(),
            views: Default::default(),
            lease: (0, 0),
            lease_asked: None,
            announced: false,
            accepted: 0,
            told: 0,
        }
    }

    /// Tells whether everything that was begun has ended.
    pub(super) fn is_quiet(&self) -> bool {
        self.component_jobs.is_empty()
            && self.provider_jobs.is_empty()
            && self.backing_off.is_empty()
    }
}

impl Host {
    /// Remembers a lease that was granted.
    pub(super) fn note_lease(&mut self, outcome: &LeaseOutcome) {
        let asked = match outcome {
            LeaseOutcome::Renewed { asked } | LeaseOutcome::Rejoined { asked, .. } => asked.0,
            LeaseOutcome::Lost { .. } => return,
        };
        self.lease_asked = self.lease_asked.max(Some(asked));
    }
}
