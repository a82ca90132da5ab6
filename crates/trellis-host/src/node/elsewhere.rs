//! What the other hosts of the lattice run, as far as they tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{SelectAll, StreamExt};
use trellis_control::{CloudEvent, Event, EventKind, HostId, Subjects};
use trellis_core::ComponentId;
use trellis_lattice::{Lattice, Message, SubscribeError, Subscription};

use super::runners::OtherHost;

/// A host that told nothing for so long is not counted on: three heartbeats of 30 s and a bit.
const SILENCE_MAX: Duration = Duration::from_secs(100);
/// Hosts that are remembered; a lattice of more works, with less overflow between hosts.
const HOSTS_MAX: usize = 2_048;
/// Components of one host that are remembered.
const COMPONENTS_MAX: usize = 10_000;

/// The events that tell what hosts run.
const KINDS: [EventKind; 3] = [
    EventKind::HostHeartbeat,
    EventKind::ComponentScaled,
    EventKind::HostStopped,
];

/// What the other hosts run.
pub(super) struct Elsewhere {
    own: HostId,
    events: SelectAll<Subscription>,
    hosts: BTreeMap<String, Known>,
    gone: Vec<String>,
}

struct Known {
    host: Arc<OtherHost>,
    components: BTreeSet<ComponentId>,
    heard: Instant,
}

/// One thing that another host told.
pub(super) struct News(CloudEvent);

impl Elsewhere {
    /// Subscribes to what hosts tell.
    ///
    /// # Errors
    /// A connection that takes no subscription.
    pub(super) async fn open(
        lattice: &Lattice,
        subjects: &Subjects,
        own: &HostId,
    ) -> Result<Self, SubscribeError> {
        let mut events = SelectAll::new();
        for kind in KINDS {
            events.push(lattice.subscribe(&subjects.event(kind)).await?);
        }
        Ok(Self {
            own: own.clone(),
            events,
            hosts: BTreeMap::new(),
            gone: Vec::new(),
        })
    }

    /// Returns what another host tells next; `None` once the connection is closed.
    ///
    /// # Cancel safety
    /// Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Option<News> {
        loop {
            let message: Message = self.events.next().await?;
            // What cannot be read is of no use here, and whoever sent it will not read a complaint.
            if let Ok(event) = CloudEvent::decode(&message.payload)
                && event.source != self.own.as_str()
            {
                return Some(News(event));
            }
        }
    }

    /// Takes note of what another host told at `now`. Returns whether something runs elsewhere than before.
    pub(super) fn take(&mut self, News(event): News, now: Instant) -> bool {
        let known = self.hosts.len();
        self.hosts
            .retain(|_, host| now.duration_since(host.heard) < SILENCE_MAX);
        let is_silent = self.hosts.len() < known;
        is_silent | self.take_event(event.source, event.event, now)
    }

    fn take_event(&mut self, source: String, event: Event, now: Instant) -> bool {
        match event {
            Event::HostHeartbeat(inventory) => {
                let ids = inventory.components.iter().map(|it| it.id.as_str());
                let components = ids.filter_map(|id| ComponentId::new(id).ok());
                let components = components.take(COMPONENTS_MAX).collect();
                let Some(host) = self.host(source, now) else {
                    return false;
                };
                let was = std::mem::replace(&mut host.components, components);
                was != host.components
            }
            Event::ComponentScaled(scaled) => {
                let Ok(id) = ComponentId::new(&scaled.component_id) else {
                    return false;
                };
                let Some(host) = self.host(source, now) else {
                    return false;
                };
                if scaled.max_instances == 0 {
                    host.components.remove(&id)
                } else {
                    host.components.len() < COMPONENTS_MAX && host.components.insert(id)
                }
            }
            Event::HostStopped(_) => {
                let was_known = self.hosts.remove(&source).is_some();
                self.gone.push(source);
                was_known
            }
            _ => false,
        }
    }

    /// Returns what is known of a host that was heard; none where there are too many, or it has an id
    /// that no host can have.
    fn host(&mut self, id: String, now: Instant) -> Option<&mut Known> {
        if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(&id) {
            return None;
        }
        let host_id = HostId::new(&id).ok()?;
        let known = self.hosts.entry(id).or_insert_with(|| Known {
            host: OtherHost::new(host_id),
            components: BTreeSet::new(),
            heard: now,
        });
        known.heard = now;
        known.host.heard();
        Some(known)
    }

    /// Tells whether no other host is known.
    pub(super) fn is_alone(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Returns everything that runs on some other host, and on which.
    pub(super) fn runners(&self) -> BTreeMap<ComponentId, Vec<Arc<OtherHost>>> {
        let mut runners: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for known in self.hosts.values() {
            for id in &known.components {
                let hosts = runners.entry(id.clone()).or_default();
                hosts.push(known.host.clone());
            }
        }
        runners
    }

    /// Returns the hosts that said that they stopped, once each.
    pub(super) fn take_gone(&mut self) -> Vec<String> {
        std::mem::take(&mut self.gone)
    }
}
