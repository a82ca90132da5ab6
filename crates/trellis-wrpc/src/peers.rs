//! The hosts with which calls are open, and when each was last heard.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_nats::Subject;

/// Hosts known at once. A lattice of more hosts works, with deadlines alone.
const PEERS_MAX: usize = 16_384;

/// Bytes of a peer's inbox. Those of NATS clients have less than 100; the line of a beat names it twice,
/// and a server takes lines of 4,096 bytes. A longer one gets no beats.
const INBOX_BYTES_MAX: usize = 1_024;

/// Beats in a row that reach nobody before a peer counts as gone.
const UNREACHED_MAX: u32 = 2;

/// The last token of the subject on which an inbox hears that a peer lives. No call has this number:
/// it is not hexadecimal.
pub(crate) const BEAT: &str = "beat";

/// What the inbox of a peer stands behind in the reply subject of a beat. Nobody answers there but the
/// NATS server, when the beat reached nobody.
pub(crate) const UNREACHED: &str = "gone.";

/// One transport at the other end of open calls, known by its inbox. Whoever has an open call with
/// it holds it.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Where it hears that we live.
    pub(crate) beat: Subject,
    /// Where we hear that it could not hear us.
    pub(crate) unreached: Subject,
    host: OnceLock<String>,
    heard: AtomicU64,
    /// Beats that reached nobody since it was last heard.
    missed: AtomicU32,
}

impl Peer {
    /// Returns whether this transport belongs to the host of this id.
    pub(crate) fn is_of(&self, host: &str) -> bool {
        self.host.get().is_some_and(|known| known == host)
    }

    /// Returns the id of the host, if it told.
    pub(crate) fn host(&self) -> Option<&str> {
        self.host.get().map(String::as_str)
    }

    fn hear(&self, now: u64) {
        self.heard.store(now, Relaxed);
        self.missed.store(0, Relaxed);
    }
}

/// What it means that a beat reached nobody.
pub(crate) enum Unreached {
    /// The peer may be on its way to another server.
    Once,
    /// The peer is gone, and forgotten.
    Gone(Arc<Peer>),
}

/// All peers of one transport.
pub(crate) struct Peers {
    start: Instant,
    own_inbox: String,
    known: Mutex<HashMap<String, Arc<Peer>>>,
}

impl Peers {
    pub(crate) fn new(own_inbox: &str) -> Self {
        Self {
            start: Instant::now(),
            own_inbox: own_inbox.to_owned(),
            known: Mutex::default(),
        }
    }

    /// Returns the peer with this inbox. A new one counts as just heard.
    pub(crate) fn get(&self, inbox: &str, host: Option<&str>) -> Option<Arc<Peer>> {
        let now = self.now();
        let mut known = self.lock();
        let peer = match known.get(inbox) {
            Some(peer) => {
                if Arc::strong_count(peer) == 1 {
                    peer.hear(now); // nothing was open, so it had no reason to beat
                }
                peer.clone()
            }
            None if known.len() >= PEERS_MAX || inbox.len() > INBOX_BYTES_MAX => return None,
            None => {
                let peer = Arc::new(Peer {
                    beat: format!("{inbox}.{BEAT}").into(),
                    unreached: format!("{}.{UNREACHED}{inbox}", self.own_inbox).into(),
                    host: OnceLock::new(),
                    heard: AtomicU64::new(now),
                    missed: AtomicU32::new(0),
                });
                known.insert(inbox.to_owned(), peer.clone());
                peer
            }
        };
        drop(known);
        if let Some(host) = host {
            peer.host.get_or_init(|| host.to_owned());
        }
        Some(peer)
    }

    /// Notes that the peer with this inbox lives.
    pub(crate) fn heard(&self, inbox: &str) {
        if let Some(peer) = self.lock().get(inbox) {
            peer.hear(self.now());
        }
    }

    /// Notes that a beat did not reach the peer with this inbox.
    pub(crate) fn unreached(&self, inbox: &str) -> Option<Unreached> {
        let mut known = self.lock();
        let missed = known.get(inbox)?.missed.fetch_add(1, Relaxed) + 1;
        if missed < UNREACHED_MAX {
            return Some(Unreached::Once);
        }
        known.remove(inbox).map(Unreached::Gone)
    }

    /// Counts every peer as just heard: we ourselves were away.
    pub(crate) fn refresh(&self) {
        let now = self.now();
        for peer in self.lock().values() {
            peer.hear(now);
        }
    }

    /// Returns the peers with open calls, and forgets the others.
    pub(crate) fn in_use(&self) -> Vec<Arc<Peer>> {
        let mut known = self.lock();
        known.retain(|_, peer| Arc::strong_count(peer) > 1);
        known.values().cloned().collect()
    }

    /// Returns the peers that the last beat did not reach.
    pub(crate) fn missed(&self) -> Vec<Arc<Peer>> {
        let known = self.lock();
        let missed = known.values().filter(|it| it.missed.load(Relaxed) > 0);
        missed.cloned().collect()
    }

    /// Forgets and returns the peers with open calls that were silent for `silence_max`; and when the
    /// next of the others would have been.
    pub(crate) fn sweep(&self, silence_max: Duration) -> (Vec<Arc<Peer>>, Option<Instant>) {
        let now = self.now();
        let silence_max = u64::try_from(silence_max.as_millis()).unwrap_or(u64::MAX);
        let (mut silent, mut next) = (Vec::new(), None);
        self.lock().retain(|_, peer| {
            if Arc::strong_count(peer) == 1 {
                return false;
            }
            let silent_at = peer.heard.load(Relaxed).saturating_add(silence_max);
            let is_silent = silent_at <= now;
            if is_silent {
                silent.push(peer.clone());
            } else {
                next = Some(next.map_or(silent_at, |next: u64| next.min(silent_at)));
            }
            !is_silent
        });
        let next = next.and_then(|next| self.start.checked_add(Duration::from_millis(next)));
        (silent, next)
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Peer>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SILENCE_MAX: Duration = Duration::from_secs(2);

    /// Moves everything that happened so far into the past.
    fn later(peers: Peers, by: Duration) -> Peers {
        Peers {
            start: peers.start - by,
            ..peers
        }
    }

    #[test]
    fn a_peer_is_kept_as_long_as_a_call_holds_it() {
        let peers = Peers::new("own");
        let peer = peers.get("inbox", Some("host-a")).unwrap();
        assert!(peer.is_of("host-a") && !peer.is_of("host-b"));
        assert_eq!(peers.in_use().len(), 1);
        drop(peer);
        assert_eq!(peers.in_use().len(), 0);
        assert!(peers.get(&"i".repeat(2_000), None).is_none());
    }

    #[test]
    fn a_silent_peer_is_reported_once() {
        let peers = Peers::new("own");
        let _peer = peers.get("inbox", None).unwrap();
        let (silent, next) = peers.sweep(SILENCE_MAX);
        assert!(silent.is_empty());
        let left = next.unwrap().saturating_duration_since(Instant::now());
        assert!(left <= SILENCE_MAX && left > SILENCE_MAX / 2, "{left:?}");
        let peers = later(peers, Duration::from_secs(5));
        let (silent, next) = peers.sweep(SILENCE_MAX);
        assert_eq!((silent.len(), next), (1, None));
        assert!(peers.sweep(SILENCE_MAX).0.is_empty());
    }

    #[test]
    fn a_peer_that_no_beat_reaches_is_gone_the_second_time() {
        let peers = Peers::new("own");
        let peer = peers.get("inbox", None).unwrap();
        assert_eq!(peer.unreached.as_str(), "own.gone.inbox");
        assert!(peers.unreached("unknown").is_none() && peers.missed().is_empty());
        assert!(matches!(peers.unreached("inbox"), Some(Unreached::Once)));
        assert_eq!(peers.missed().len(), 1);
        // It was on its way to another server.
        peers.heard("inbox");
        assert!(peers.missed().is_empty());
        assert!(matches!(peers.unreached("inbox"), Some(Unreached::Once)));
        let gone = peers.unreached("inbox");
        assert!(matches!(gone, Some(Unreached::Gone(it)) if Arc::ptr_eq(&it, &peer)));
        assert!(peers.unreached("inbox").is_none());
    }
}
