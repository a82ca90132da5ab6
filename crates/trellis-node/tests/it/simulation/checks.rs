//! What must hold: after every effect, after every input, and once everything is at rest.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use trellis_control::{Event, HostMode, Request};
use trellis_node::{
    COMPONENTS_MAX, ComponentAction, ComponentSettings, Effect, PROVIDERS_MAX, ProviderAction,
    ProviderSettings,
};

use super::host::Host;
use super::store::Store;

/// A request that reached a host.
struct Delivery {
    host: usize,
    run: u32,
    request: Request,
    wipes: u64,
    replies: u32,
}

/// What was observed, and what was promised.
#[derive(Default)]
pub(super) struct Checks {
    deliveries: Vec<Delivery>,
    /// Links that were acknowledged: source by name.
    links: BTreeMap<String, String>,
    /// Config that was acknowledged.
    configs: BTreeSet<String>,
    /// Source and name of links that somebody tried to delete.
    links_deleted: BTreeSet<(String, String)>,
    configs_deleted: BTreeSet<String>,
}

impl Checks {
    /// Notes that a request reached a host; returns its number.
    pub(super) fn delivered(
        &mut self,
        host: usize,
        run: u32,
        request: &Request,
        wipes: u64,
    ) -> usize {
        match request {
            Request::LinkDelete(it) => {
                let key = (it.source_id.clone(), it.name.clone());
                self.links_deleted.insert(key);
            }
            Request::ConfigDelete(name) => {
                self.configs_deleted.insert(name.as_str().to_owned());
            }
            _ => {}
        }
        self.deliveries.push(Delivery {
            host,
            run,
            request: request.clone(),
            wipes,
            replies: 0,
        });
        self.deliveries.len() - 1
    }

    /// The store was wiped: what was promised before is void.
    pub(super) fn wiped(&mut self) {
        self.links.clear();
        self.configs.clear();
    }

    /// Looks at one effect of `host`, whose mode was the first of `modes` before the input.
    pub(super) fn effect(
        &mut self,
        host: &mut Host,
        effect: &Effect,
        modes: [HostMode; 2],
        store: &Store,
    ) {
        match effect {
            Effect::Reply { to, payload } => self.replied(host, &to.0, payload, store),
            Effect::Delegate {
                reply: Some(to), ..
            } => self.replied(host, &to.0, &Bytes::new(), store),
            Effect::Publish(event) => published(host, event),
            Effect::Component(work) => {
                // The annotations may have changed without any work.
                let said = host.machine.components().find(|(id, _)| **id == work.id);
                let runs = host.components.get(&work.id).and(said.map(|(_, it)| it));
                let at_work = host.component_jobs.contains_key(&work.id);
                match &work.action {
                    ComponentAction::Run(_) => assert!(runs.is_none() && !at_work, "{work:?}"),
                    ComponentAction::Update(_) => assert!(runs.is_some() && !at_work, "{work:?}"),
                    ComponentAction::Stop => {
                        let under_way = host.component_jobs.get(&work.id);
                        let starting = under_way.and_then(|(_, it)| settings(it));
                        // What has ended a moment ago may be told to stop.
                        let it = runs.or(starting);
                        let it = it.is_none_or(ComponentSettings::is_singleton);
                        assert!(may_stop(modes) || it, "{modes:?} {work:?}");
                    }
                }
                if let Some(it) = settings(&work.action) {
                    assert!(may_start(modes) || it.is_singleton(), "{modes:?} {work:?}");
                }
            }
            Effect::Provider(work) => match &work.action {
                ProviderAction::Start(it) => {
                    assert!(may_start(modes) || it.is_singleton(), "{modes:?} {work:?}");
                    assert!(!host.providers.contains_key(&work.id), "{work:?}");
                    assert!(!host.provider_jobs.contains_key(&work.id), "{work:?}");
                }
                ProviderAction::Stop => {
                    let runs = host.providers.get(&work.id).map(|(_, it)| it);
                    let runs = runs.or_else(|| host.backing_off.get(&work.id).map(|(_, it)| it));
                    let starting = match host.provider_jobs.get(&work.id) {
                        Some((_, ProviderAction::Start(it))) => Some(it),
                        _ => None,
                    };
                    let it = runs.or(starting);
                    let it = it.is_none_or(ProviderSettings::is_singleton);
                    assert!(may_stop(modes) || it, "{modes:?} {work:?}");
                }
            },
            Effect::Rewire { ids } => {
                assert!(!ids.is_empty());
                for (index, id) in ids.iter().enumerate() {
                    assert!(
                        host.machine.runs(id) && !ids[..index].contains(id),
                        "{ids:?}"
                    );
                }
            }
            _ => {}
        }
    }

    fn replied(&mut self, host: &mut Host, number: &str, payload: &Bytes, store: &Store) {
        let delivery = &mut self.deliveries[number.parse::<usize>().unwrap()];
        delivery.replies += 1;
        assert_eq!(delivery.replies, 1, "{:?}", delivery.request);
        let success = payload.starts_with(br#"{"success":true"#);
        if !success {
            return;
        }
        let kept = delivery.wipes == store.wipes;
        match &delivery.request {
            Request::LinkPut(link) if kept => {
                self.links.insert(link.name.clone(), link.source_id.clone());
            }
            Request::ConfigPut { name, .. } if kept => {
                self.configs.insert(name.as_str().to_owned());
            }
            Request::ComponentScale(_) => host.accepted += 1,
            Request::ComponentUpdate(_) => {
                let text = String::from_utf8_lossy(payload);
                host.accepted += u64::from(text.contains(" updating "));
            }
            _ => {}
        }
    }

    /// Looks at a host after one input.
    pub(super) fn after_input(&self, host: &Host, now: u64) {
        assert!(host.components.len() <= COMPONENTS_MAX);
        assert!(host.providers.len() <= PROVIDERS_MAX);
        // One second for the tick to come.
        let leased = host.lease_asked.is_some_and(|it| now < it + 4_000);
        if leased {
            return;
        }
        for (id, it) in host.machine.components() {
            let stops = matches!(
                host.component_jobs.get(id),
                Some((_, ComponentAction::Stop))
            );
            assert!(!it.is_singleton() || stops, "{id} runs without a lease");
        }
        for (_, action) in host.component_jobs.values() {
            let starts = settings(action).is_some_and(|it| it.is_singleton());
            let replaces = matches!(action, ComponentAction::Update(_));
            assert!(!starts || replaces, "a singleton starts without a lease");
        }
        for (id, (_, it)) in &host.providers {
            let stops = matches!(host.provider_jobs.get(id), Some((_, ProviderAction::Stop)));
            assert!(!it.is_singleton() || stops, "{id} serves without a lease");
        }
    }

    /// Looks at everything once nothing happens any more.
    pub(super) fn at_rest(&self, hosts: &[Host], store: &Store, calm: bool) {
        for (index, host) in hosts.iter().enumerate() {
            assert!(host.is_quiet(), "N{index} is at work");
            assert_eq!(host.machine.mode(), HostMode::Joined, "N{index}");
            inventory_is_true(host);
            state_is_known(host, store);
            if calm {
                assert_eq!(host.accepted, host.told, "events of commands on N{index}");
            }
        }
        for it in &self.deliveries {
            let silent = matches!(it.request, Request::ComponentAuction(_));
            let died = hosts[it.host].run != it.run;
            assert!(
                silent || died || it.replies == 1,
                "no reply to {:?}",
                it.request
            );
        }
        let links = store.links();
        for (name, source) in &self.links {
            let deleted = self.links_deleted.contains(&(source.clone(), name.clone()));
            let there = links.iter().any(|it| it.name == *name);
            assert!(deleted || there, "link {name} of {source} is lost");
        }
        for name in &self.configs {
            let there = store.configs.entries.contains_key(name);
            assert!(
                there || self.configs_deleted.contains(name),
                "{name} is lost"
            );
        }
    }
}

fn settings(action: &ComponentAction) -> Option<&ComponentSettings> {
    match action {
        ComponentAction::Run(it) | ComponentAction::Update(it) => Some(it),
        ComponentAction::Stop => None,
    }
}

fn may_stop(modes: [HostMode; 2]) -> bool {
    let may = |it| matches!(it, HostMode::Joined | HostMode::Draining);
    modes.into_iter().any(may)
}

fn may_start(modes: [HostMode; 2]) -> bool {
    modes.contains(&HostMode::Joined)
}

fn published(host: &mut Host, event: &Event) {
    assert!(host.connected, "an event without a connection: {event:?}");
    match event {
        Event::HostStarted(_) => {
            assert!(!host.announced, "started twice");
            host.announced = true;
        }
        Event::ComponentScaled(_) | Event::ComponentScaleFailed(_) => host.told += 1,
        _ => {}
    }
    assert!(host.announced, "an event before host_started: {event:?}");
}

fn inventory_is_true(host: &Host) {
    let inventory = host.machine.inventory();
    let said = inventory.components.iter();
    let said: Vec<_> = said
        .map(|it| (it.id.clone(), it.image_ref.clone(), it.max_instances))
        .collect();
    let real = host.components.iter();
    let real: Vec<_> = real
        .map(|(id, it)| (id.to_string(), it.image.clone(), it.instances_max))
        .collect();
    assert_eq!(said, real);
    let said: Vec<_> = inventory.providers.iter().map(|it| it.id.clone()).collect();
    let real: Vec<_> = host.providers.keys().map(ToString::to_string).collect();
    assert_eq!(said, real);
}

fn state_is_known(host: &Host, store: &Store) {
    let known: Vec<_> = host.machine.specs().flat_map(|(_, it)| &it.links).collect();
    assert_eq!(known, store.links().iter().collect::<Vec<_>>());
    let known = host.machine.configs();
    let known: BTreeMap<_, _> = known
        .map(|(name, it)| (name.to_owned(), it.clone()))
        .collect();
    assert_eq!(known, store.config());
    for (id, _) in host.machine.components() {
        assert!(
            store.wipes > 0 || store.specs.entries.contains_key(&format!("COMPONENT_{id}")),
            "{id} has no spec"
        );
    }
}
