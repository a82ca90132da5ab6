//! A start while the lattice is out of reach: from what the host remembers, and the way back.

use std::time::{Duration, Instant};

use trellis_control::HostMode;
use trellis_core::{ComponentId, with_causes};
use trellis_node::{Adopted, ComponentSettings, Input, ProviderSettings};

use super::components::{Order, Purpose};
use super::recollection::{Recollection, RecollectionFile};
use super::serving::{Place, Service};
use super::state_watch::LatticeState;
use super::{Done, Node, blueprints, providers};

/// How long a change waits before it is remembered, so that many are written at once.
const REMEMBER_AFTER: Duration = Duration::from_secs(1);
/// How soon the lattice's state is asked for again when it could not be opened.
const OPEN_RETRY: Duration = Duration::from_secs(1);

/// What a host does to remember its lattice.
pub(super) struct Memory {
    file: Option<RecollectionFile>,
    /// Since when something is not written yet.
    changed: Option<Instant>,
    is_writing: bool,
}

impl Memory {
    pub(super) fn new(file: Option<RecollectionFile>) -> Self {
        Self {
            file,
            changed: None,
            is_writing: false,
        }
    }

    /// Says that what is known or what runs has changed.
    pub(super) fn touch(&mut self) {
        if self.file.is_some() {
            self.changed.get_or_insert_with(Instant::now);
        }
    }

    /// Says that writing has ended.
    pub(super) fn written(&mut self) {
        self.is_writing = false;
    }
}

impl Node {
    /// Returns what was remembered; nothing where it cannot be read, which is logged.
    pub(super) fn recollection(file: Option<&RecollectionFile>) -> Option<Recollection> {
        match file?.read() {
            Ok(recollection) => recollection,
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(error, "nothing is recalled of the lattice");
                None
            }
        }
    }

    /// Takes up what the host knew and ran when it had last joined. What may run only once stays out:
    /// it may run elsewhere by now.
    pub(super) fn recall(&mut self, recollection: &Recollection) {
        self.input(Input::Specs(recollection.specs()));
        self.input(Input::Configs(recollection.configs()));
        for (id, settings) in recollection.providers() {
            if let Ok(id) = ComponentId::new(id)
                && !settings.is_singleton()
            {
                self.recall_provider(id, settings);
            }
        }
        for (id, settings) in recollection.components() {
            if let Ok(id) = ComponentId::new(id)
                && !settings.is_singleton()
                && self.host.catalog.get(&id).is_none()
            {
                self.recall_component(id, settings);
            }
        }
    }

    fn recall_provider(&mut self, id: ComponentId, settings: ProviderSettings) {
        let Some(built_in) = blueprints::built_in(&settings.image) else {
            return;
        };
        let adopted = Adopted::Provider {
            settings: settings.clone(),
            signed: None,
        };
        let now = self.now();
        match self
            .machine
            .adopt(now, id.clone(), adopted, &mut self.effects)
        {
            Ok(serial) => {
                let provider = providers::Provider::new(serial, built_in, settings);
                self.providers.insert(id, provider);
                self.is_dirty = true;
            }
            Err(error) => tracing::warn!(error = with_causes(&error), "a provider is not recalled"),
        }
    }

    fn recall_component(&mut self, id: ComponentId, settings: ComponentSettings) {
        let blueprint = self.lattice_blueprint(&id, &settings);
        let (platform, calls) = (self.host.platform.clone(), self.calls.clone());
        self.recalling.insert(id.clone());
        self.work.spawn(async move {
            let order = Order {
                id,
                purpose: Purpose::Recalled,
                settings,
                code: None,
                blueprint,
            };
            Done::Component(Box::new(order.fill(&platform, &calls).await))
        });
    }

    /// Tells the lattice about a component that was recalled and runs.
    pub(super) fn adopt_recalled(&mut self, id: &ComponentId, digest: String) {
        let Some(settings) = self.of_lattice.get(id).cloned() else {
            return;
        };
        let adopted = Adopted::Component {
            settings,
            digest,
            signed: None,
        };
        let now = self.now();
        let adopted = self
            .machine
            .adopt(now, id.clone(), adopted, &mut self.effects);
        match adopted {
            Ok(_) => {
                let component_id = id.as_str();
                tracing::info!(
                    component_id,
                    "runs again as when the lattice was last reached"
                );
            }
            Err(error) => tracing::warn!(error = with_causes(&error), "not known to the lattice"),
        }
    }

    /// Does what a start without the lattice left undone, when it is reached for the first time.
    pub(super) async fn reached(&mut self) {
        if std::mem::replace(&mut self.was_reached, true) {
            return;
        }
        self.serve_all().await;
        self.serve_recalled_stores();
        if self.state.is_none() {
            self.open_state();
        }
    }

    /// Serves every component to other hosts that is not served yet.
    async fn serve_all(&mut self) {
        for (id, running) in self.host.catalog.iter() {
            if self.services.contains_key(id) {
                continue;
            }
            let compiled = &running.code.compiled;
            let place = Place::new(&self.lattice, &self.host_id);
            match Service::open(&self.server, place, &running.handle, compiled).await {
                Ok(service) => {
                    self.services.insert(id.clone(), service);
                }
                Err(error) => {
                    let (component_id, error) = (id.as_str(), with_causes(&error));
                    tracing::error!(component_id, error, "not served to other hosts");
                }
            }
        }
    }

    fn open_state(&mut self) {
        let (store, lattice) = (self.store.clone(), self.lattice.name().clone());
        let (host_id, known) = (self.host_id.clone(), self.recalled.clone());
        self.work.spawn(async move {
            let mut was_told = false;
            loop {
                match LatticeState::open(&*store, &lattice, &host_id, known.clone()).await {
                    Ok(state) => return Done::Opened(Box::new(state)),
                    Err(error) if !was_told => {
                        was_told = true;
                        let error = with_causes(&error);
                        tracing::warn!(error, "the lattice's state is tried again every second");
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(OPEN_RETRY).await;
            }
        });
    }

    /// Writes down what is known and runs, once it has changed and the host has joined.
    pub(super) fn remember(&mut self) {
        let is_due = |since: Instant| since.elapsed() >= REMEMBER_AFTER;
        let memory = &mut self.memory;
        let Some(file) = memory.file.clone() else {
            return;
        };
        if memory.is_writing
            || !memory.changed.is_some_and(is_due)
            || self.machine.mode() != HostMode::Joined
        {
            return;
        }
        let of_lattice = &self.of_lattice;
        // Those of the command line are named there again.
        let counts = |id: &ComponentId| of_lattice.contains_key(id);
        let Some(recollection) = Recollection::of(&self.machine, counts) else {
            return;
        };
        memory.changed = None;
        memory.is_writing = true;
        self.work.spawn(async move {
            let write = move || file.write(&recollection);
            match tokio::task::spawn_blocking(write).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error = with_causes(&error);
                    tracing::warn!(
                        error,
                        "a start without the lattice would know less than now"
                    );
                }
                Err(error) => tracing::error!(error = with_causes(&error), "a task failed"),
            }
            Done::Remembered
        });
    }
}
