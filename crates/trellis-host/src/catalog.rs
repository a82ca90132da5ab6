//! The components of a host: what each runs as, and where its links lead now.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use trellis_core::{ComponentId, WitInterface};
use trellis_engine::{ComponentHandle, Generation};

use crate::blueprint::{Blueprint, Fault};
use crate::deploy::{Built, Code};
use crate::imports::{self, Neighbour, Neighbours, RemoteCalls, Slot, Surroundings};
use crate::report::LinkReport;

/// Every component of a host. Owned by one task.
#[derive(Default)]
pub(crate) struct Catalog {
    components: BTreeMap<ComponentId, Running>,
    /// Handles of components that were taken out. The routes of a manifest keep theirs for the life of the
    /// host, so that a component which is started anew answers them again.
    withdrawn: BTreeMap<ComponentId, Weak<ComponentHandle>>,
}

/// One component.
pub(crate) struct Running {
    /// Its image, as it was named.
    pub(crate) image: String,
    pub(crate) code: Code,
    pub(crate) handle: Arc<ComponentHandle>,
    pub(crate) blueprint: Blueprint,
    exports: Arc<[String]>,
    slots: Vec<Slot>,
    provider_links: Vec<LinkReport>,
    led_links: Vec<LinkReport>,
    /// Links that lead nowhere now.
    pub(crate) faults: Vec<Fault>,
    /// Built, but not in force yet.
    next: Option<Arc<Generation>>,
}

impl Running {
    pub(crate) fn new(
        image: String,
        code: Code,
        handle: Arc<ComponentHandle>,
        blueprint: Blueprint,
        built: Built,
    ) -> Self {
        Self {
            image,
            exports: code.compiled.exports().into(),
            code,
            handle,
            blueprint,
            slots: built.slots,
            provider_links: built.links,
            led_links: Vec::new(),
            faults: Vec::new(),
            next: Some(built.generation),
        }
    }

    /// Returns the interfaces that the component imports.
    pub(crate) fn imports(&self) -> Vec<WitInterface> {
        let names = self.code.compiled.imports();
        names.iter().filter_map(|name| name.parse().ok()).collect()
    }

    fn neighbour(&self) -> Neighbour {
        Neighbour {
            handle: self.handle.clone(),
            exports: self.exports.clone(),
        }
    }
}

impl Catalog {
    /// Returns the handle that a component has, or had while somebody still calls by it, or a new one.
    pub(crate) fn handle(&self, id: &ComponentId) -> Arc<ComponentHandle> {
        let running = self.components.get(id).map(|it| it.handle.clone());
        running
            .or_else(|| self.withdrawn.get(id).and_then(Weak::upgrade))
            .unwrap_or_else(|| ComponentHandle::new(id.clone()))
    }

    /// Takes a component in, or its next version; calls reach it once it is published.
    pub(crate) fn prepare(&mut self, running: Running) {
        self.components.insert(running.handle.id().clone(), running);
    }

    /// Switches a component to the version that was prepared last.
    pub(crate) fn publish(&mut self, id: &ComponentId) {
        if let Some(running) = self.components.get_mut(id)
            && let Some(generation) = running.next.take()
        {
            running.handle.publish(generation);
        }
    }

    /// Takes a component out of service; what it is doing ends in peace.
    pub(crate) fn remove(&mut self, id: &ComponentId) -> Option<Running> {
        let running = self.components.remove(id)?;
        running.handle.withdraw();
        self.withdrawn.retain(|_, handle| handle.strong_count() > 0);
        self.withdrawn
            .insert(id.clone(), Arc::downgrade(&running.handle));
        Some(running)
    }

    pub(crate) fn withdraw_all(&self) {
        for running in self.components.values() {
            running.handle.withdraw();
        }
    }

    pub(crate) fn get(&self, id: &ComponentId) -> Option<&Running> {
        self.components.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &ComponentId) -> Option<&mut Running> {
        self.components.get_mut(id)
    }

    /// Returns the handles of all components.
    pub(crate) fn handles(&self) -> Vec<Arc<ComponentHandle>> {
        let running = self.components.values();
        running.map(|running| running.handle.clone()).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ComponentId, &Running)> {
        self.components.iter()
    }

    /// Leads every link between components to where it should lead now. Returns the links that lead
    /// nowhere, by their source.
    pub(crate) fn lead(
        &mut self,
        remote: Option<&dyn RemoteCalls>,
    ) -> Vec<(ComponentId, Vec<Fault>)> {
        let neighbours: Neighbours = self
            .components
            .iter()
            .map(|(id, running)| (id.clone(), running.neighbour()))
            .collect();
        let around = Surroundings {
            neighbours: &neighbours,
            remote,
        };
        let mut failed = Vec::new();
        for (id, running) in &mut self.components {
            let (links, faults) = imports::lead(&running.blueprint, &running.slots, around);
            running.led_links = links;
            running.faults.clone_from(&faults);
            if !faults.is_empty() {
                failed.push((id.clone(), faults));
            }
        }
        failed
    }

    /// Returns the links of one component, with the tier of each.
    pub(crate) fn links(&self, id: &ComponentId) -> impl Iterator<Item = &LinkReport> {
        self.components
            .get(id)
            .into_iter()
            .flat_map(|running| running.provider_links.iter().chain(&running.led_links))
    }
}
