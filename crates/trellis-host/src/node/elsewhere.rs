//! What the other hosts of the lattice run, as far as they tell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::stream::{SelectAll, StreamExt};
use trellis_control::{CloudEvent, Event, EventKind, HostId, Subjects};
use trellis_core::ComponentId;
use trellis_lattice::{Lattice, Message, SubscribeError, Subscription};

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
    hosts: BTreeMap<String, OtherHost>,
    gone: Vec<String>,
}

struct OtherHost {
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

    /// Takes note of what another host told at `now`.
    pub(super) fn take(&mut self, News(event): News, now: Instant) {
        self.hosts
            .retain(|_, host| now.duration_since(host.heard) < SILENCE_MAX);
        let source = event.source;
        match event.event {
            Event::HostHeartbeat(inventory) => {
                let ids = inventory.components.iter().map(|it| it.id.as_str());
                let components = ids.filter_map(|id| ComponentId::new(id).ok());
                let components = components.take(COMPONENTS_MAX).collect();
                if let Some(host) = self.host(source, now) {
                    host.components = components;
                }
            }
            Event::ComponentScaled(scaled) => {
                let Ok(id) = ComponentId::new(&scaled.component_id) else {
                    return;
                };
                let Some(host) = self.host(source, now) else {
                    return;
                };
                if scaled.max_instances == 0 {
                    host.components.remove(&id);
                } else if host.components.len() < COMPONENTS_MAX {
                    host.components.insert(id);
                }
            }
            Event::HostStopped(_) => {
                self.hosts.remove(&source);
                self.gone.push(source);
            }
            _ => {}
        }
    }

    fn host(&mut self, id: String, now: Instant) -> Option<&mut OtherHost> {
        if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(&id) {
            return None;
        }
        let host = self.hosts.entry(id).or_insert_with(|| OtherHost {
            components: BTreeSet::new(),
            heard: now,
        });
        host.heard = now;
        Some(host)
    }

    /// Tells whether no other host is known.
    pub(super) fn is_alone(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Returns everything that runs on some other host.
    pub(super) fn components(&self) -> BTreeSet<ComponentId> {
        let hosts = self.hosts.values();
        hosts.flat_map(|host| host.components.clone()).collect()
    }

    /// Returns the hosts that said that they stopped, once each.
    pub(super) fn take_gone(&mut self) -> Vec<String> {
        std::mem::take(&mut self.gone)
    }
}
