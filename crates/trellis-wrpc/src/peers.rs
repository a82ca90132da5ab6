//! The hosts with which calls are open, and when each was last heard.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_nats::Subject;

/// Hosts known at once. A lattice of more hosts works, with deadlines alone.
const PEERS_MAX: usize = 16_384;

/// The last token of the subject on which an inbox hears that a peer lives. No call has this number:
/// it is not hexadecimal.
pub(crate) const BEAT: &str = "beat";

/// One transport at the other end of open calls, known by its inbox. Whoever has an open call with
/// it holds it.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Where it hears that we live.
    pub(crate) beat: Subject,
    host: OnceLock<String>,
    heard: AtomicU64,
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
}

/// All peers of one transport.
pub(crate) struct Peers {
    start: Instant,
    known: Mutex<HashMap<String, Arc<Peer>>>,
}

impl Peers {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
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
                    peer.heard.store(now, Relaxed); // nothing was open, so it had no reason to beat
                }
                peer.clone()
            }
            None if known.len() >= PEERS_MAX => return None,
            None => {
                let peer = Arc::new(Peer {
                    beat: format!("{inbox}.{BEAT}").into(),
                    host: OnceLock::new(),
                    heard: AtomicU64::new(now),
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
            peer.heard.store(self.now(), Relaxed);
        }
    }

    /// Counts every peer as just heard: we ourselves were away.
    pub(crate) fn refresh(&self) {
        let now = self.now();
        for peer in self.lock().values() {
            peer.heard.store(now, Relaxed);
        }
    }

    /// Forgets peers without open calls. Returns the others: those that live, and those that were
    /// silent for longer than `silence_max`, which are forgotten too.
    pub(crate) fn sweep(&self, silence_max: Duration) -> (Vec<Arc<Peer>>, Vec<Arc<Peer>>) {
        let now = self.now();
        let (mut alive, mut silent) = (Vec::new(), Vec::new());
        self.lock().retain(|_, peer| {
            if Arc::strong_count(peer) == 1 {
                return false;
            }
            let silence = now.saturating_sub(peer.heard.load(Relaxed));
            let is_alive = silence <= silence_max.as_millis() as u64;
            if is_alive { &mut alive } else { &mut silent }.push(peer.clone());
            is_alive
        });
        (alive, silent)
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

    #[test]
    fn a_peer_is_kept_as_long_as_a_call_holds_it() {
        let peers = Peers::new();
        let peer = peers.get("inbox", Some("host-a")).unwrap();
        assert!(peer.is_of("host-a") && !peer.is_of("host-b"));
        let (alive, silent) = peers.sweep(Duration::from_secs(60));
        assert_eq!((alive.len(), silent.len()), (1, 0));
        drop((peer, alive));
        let (alive, silent) = peers.sweep(Duration::from_secs(60));
        assert_eq!((alive.len(), silent.len()), (0, 0));
    }

    #[test]
    fn a_silent_peer_is_reported_once() {
        let peers = Peers::new();
        let peer = peers.get("inbox", None).unwrap();
        peer.heard.store(0, Relaxed);
        let peers = Peers {
            start: Instant::now() - Duration::from_secs(5),
            ..peers
        };
        let (alive, silent) = peers.sweep(Duration::from_secs(2));
        assert_eq!((alive.len(), silent.len()), (0, 1));
        let (alive, silent) = peers.sweep(Duration::from_secs(2));
        assert_eq!((alive.len(), silent.len()), (0, 0));
    }
}
