//! What the other hosts of the lattice run, as far as they tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{SelectAll, StreamExt};
use trellis_control::{CloudEvent, Event, EventKind, HostId, Subjects};
use trellis_core::ComponentId;
use trellis_lattice::{Headers, Lattice, Message, SubscribeError, Subscription};

use super::runners::OtherHost;

/// A host that told nothing for so long is not counted on: three heartbeats of 30 s and a bit.
const SILENCE_MAX: Duration = Duration::from_secs(100);
/// Hosts that are remembered; a lattice of more works, with less overflow between hosts.
const HOSTS_MAX: usize = 2_048;
/// Components of one host that are remembered.
const COMPONENTS_MAX: usize = 10_000;

/// The header of what hosts of ours tell. Hosts of 1.x send none, and nobody of 1.x reads any.
const OURS_HEADER: &str = "trellis-host";

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
    /// Since when hosts can be heard: the connection stands.
    listens_since: Instant,
}

/// Who told something, and when.
struct Source {
    id: String,
    is_ours: bool,
    heard: Instant,
}

struct Known {
    host: Arc<OtherHost>,
    components: BTreeSet<ComponentId>,
    heard: Instant,
}

/// One thing that another host told.
pub(super) struct News {
    event: CloudEvent,
    is_ours: bool,
}

/// Returns the headers of what this host tells, by which others know that it is one of ours.
pub(super) fn headers_of_ours() -> Headers {
    let mut headers = Headers::new();
    headers
        .insert(OURS_HEADER, "1")
        .expect("it is a word and a digit");
    headers
}

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
        Ok(Self::hearing(events, own.clone(), Instant::now()))
    }

    fn hearing(events: SelectAll<Subscription>, own: HostId, now: Instant) -> Self {
        Self {
            own,
            events,
            hosts: BTreeMap::new(),
            gone: Vec::new(),
            listens_since: now,
        }
    }

    /// Takes note that the connection stands again: before that nobody could be heard.
    pub(super) fn connected(&mut self, now: Instant) {
        self.listens_since = now;
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
                let is_ours = message.headers.get(OURS_HEADER).is_some();
                return Some(News { event, is_ours });
            }
        }
    }

    /// Takes note of what another host told at `now`. Returns whether something runs elsewhere than before.
    pub(super) fn take(&mut self, News { event, is_ours }: News, now: Instant) -> bool {
        let source = Source {
            id: event.source,
            is_ours,
            heard: now,
        };
        self.forget_silent(now) | self.take_event(source, event.event)
    }

    /// Forgets hosts of which nothing was heard for too long. Returns whether there were any. Somebody has to
    /// ask from time to time: the last of them to fall silent is followed by no news.
    pub(super) fn forget_silent(&mut self, now: Instant) -> bool {
        let known = self.hosts.len();
        let since = self.listens_since;
        self.hosts
            .retain(|_, host| now.duration_since(host.heard.max(since)) < SILENCE_MAX);
        self.hosts.len() < known
    }

    fn take_event(&mut self, source: Source, event: Event) -> bool {
        match event {
            Event::HostHeartbeat(inventory) => {
                let ids = inventory.components.iter().map(|it| it.id.as_str());
                let components = ids.filter_map(|id| ComponentId::new(id).ok());
                let components = components.take(COMPONENTS_MAX).collect();
                let Some(host) = self.host(source) else {
                    return false;
                };
                let was = std::mem::replace(&mut host.components, components);
                was != host.components
            }
            Event::ComponentScaled(scaled) => {
                let Ok(id) = ComponentId::new(&scaled.component_id) else {
                    return false;
                };
                let Some(host) = self.host(source) else {
                    return false;
                };
                if scaled.max_instances == 0 {
                    host.components.remove(&id)
                } else {
                    host.components.len() < COMPONENTS_MAX && host.components.insert(id)
                }
            }
            Event::HostStopped(_) => {
                let was_known = self.hosts.remove(&source.id).is_some();
                self.gone.push(source.id);
                was_known
            }
            _ => false,
        }
    }

    /// Returns what is known of a host that was heard; none where there are too many, or it has an id
    /// that no host can have.
    fn host(&mut self, source: Source) -> Option<&mut Known> {
        let Source { id, is_ours, heard } = source;
        if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(&id) {
            return None;
        }
        let host_id = HostId::new(&id).ok()?;
        let known = self.hosts.entry(id).or_insert_with(|| Known {
            host: OtherHost::new(host_id),
            components: BTreeSet::new(),
            heard,
        });
        known.heard = heard;
        known.host.heard(is_ours);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use trellis_control::{ComponentDescription, HostInventory};

    use super::*;

    fn heartbeat(host: &str, component: &str) -> News {
        let inventory = HostInventory {
            host_id: host.to_owned(),
            components: vec![ComponentDescription {
                id: component.to_owned(),
                ..ComponentDescription::default()
            }],
            ..HostInventory::default()
        };
        let source = HostId::new(host).unwrap();
        News {
            event: CloudEvent::now(&source, Event::HostHeartbeat(inventory)),
            is_ours: true,
        }
    }

    #[test]
    fn who_falls_silent_is_forgotten_though_nobody_else_speaks() {
        let begin = Instant::now();
        let own = HostId::new("NOWN").unwrap();
        let mut elsewhere = Elsewhere::hearing(SelectAll::new(), own, begin);
        assert!(elsewhere.take(heartbeat("NA", "cart"), begin));
        let almost = begin + SILENCE_MAX - Duration::from_millis(1);
        assert!(!elsewhere.forget_silent(almost) && !elsewhere.is_alone());
        assert!(elsewhere.forget_silent(begin + SILENCE_MAX));
        assert!(elsewhere.is_alone() && elsewhere.runners().is_empty());
    }

    #[test]
    fn who_could_not_be_heard_is_not_silent() {
        let begin = Instant::now();
        let own = HostId::new("NOWN").unwrap();
        let mut elsewhere = Elsewhere::hearing(SelectAll::new(), own, begin);
        elsewhere.take(heartbeat("NA", "cart"), begin);
        elsewhere.take(heartbeat("NB", "cart"), begin);
        let again = begin + SILENCE_MAX * 2;
        elsewhere.connected(again);
        assert!(!elsewhere.take(heartbeat("NA", "cart"), again));
        assert_eq!(elsewhere.hosts.len(), 2, "the other may speak yet");
        assert!(elsewhere.take(heartbeat("NA", "cart"), again + SILENCE_MAX));
        assert_eq!(elsewhere.hosts.len(), 1);
    }
}
