//! What the state of a connection is, from what the client tells and from what it is seen to be.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_nats::connection::State;
use async_nats::{Event, ServerError, Statistics};
use tokio::sync::{broadcast, watch};

/// Refusals that a waiting request may lag behind. More than this many at once is a connection that
/// may do nothing, and the log says so.
const REFUSALS_QUEUED_MAX: usize = 64;

/// The state of a connection and what has happened on it so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionState {
    /// Where it stands.
    pub phase: ConnectionPhase,
    /// How many times it was established; greater than before after an interruption, however short.
    pub connects: u64,
    /// Messages dropped because a subscription was full. What reads it is too slow.
    pub messages_dropped: u64,
    /// Publishes and subscriptions that the server refused for want of permission.
    pub refusals: u64,
}

impl ConnectionState {
    /// Says whether messages reach the server now.
    pub fn is_connected(&self) -> bool {
        matches!(
            self.phase,
            ConnectionPhase::Connected | ConnectionPhase::LameDuck
        )
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionPhase {
    /// It was not established yet.
    Connecting,
    /// It works.
    Connected,
    /// It works, but the server is about to stop and will be left for another one.
    LameDuck,
    /// It was lost and is sought again.
    Disconnected {
        /// When that was noticed.
        since: Instant,
    },
    /// It was closed for good.
    Closed,
}

/// What the client's events and the handle share.
pub(crate) struct Shared {
    state: watch::Sender<ConnectionState>,
    refused: broadcast::Sender<Arc<str>>,
    statistics: OnceLock<Arc<Statistics>>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        let state = ConnectionState {
            phase: ConnectionPhase::Connecting,
            connects: 0,
            messages_dropped: 0,
            refusals: 0,
        };
        Self {
            state: watch::Sender::new(state),
            refused: broadcast::Sender::new(REFUSALS_QUEUED_MAX),
            statistics: OnceLock::new(),
        }
    }

    /// Begins to count from the client's own counts, which lose nothing.
    pub(crate) fn count_from(&self, statistics: Arc<Statistics>) {
        self.statistics.get_or_init(|| statistics);
    }

    fn connects(&self) -> u64 {
        // An event that comes before the counts do is that of the first connection.
        let counted = self.statistics.get();
        counted.map_or(1, |counted| counted.connects.load(Ordering::Relaxed))
    }

    pub(crate) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.subscribe()
    }

    /// Returns the subjects on which the server refuses to publish, from now on.
    pub(crate) fn refusals(&self) -> broadcast::Receiver<Arc<str>> {
        self.refused.subscribe()
    }

    /// Takes in one event of the client.
    pub(crate) fn observe(&self, event: &Event) {
        match event {
            Event::Connected => self.enter(ConnectionPhase::Connected),
            Event::Disconnected => self.enter(ConnectionPhase::Disconnected {
                since: Instant::now(),
            }),
            Event::LameDuckMode => self.enter(ConnectionPhase::LameDuck),
            Event::Closed => self.enter(ConnectionPhase::Closed),
            Event::Draining | Event::ClientError(_) => {}
            Event::SlowConsumer(_) | Event::ServerError(ServerError::SlowConsumer(_)) => {
                self.state.send_modify(|state| state.messages_dropped += 1);
            }
            Event::ServerError(error) => self.server_error(error),
        }
    }

    fn server_error(&self, error: &ServerError) {
        tracing::warn!(%error, "the lattice's server refused something");
        let ServerError::Other(text) = error else {
            return;
        };
        self.state.send_modify(|state| state.refusals += 1);
        if let Some(subject) = refused_subject(text) {
            // Nobody may be waiting for this subject.
            drop(self.refused.send(subject.into()));
        }
    }

    fn enter(&self, phase: ConnectionPhase) {
        let connects = self.connects();
        self.state.send_if_modified(|state| {
            let unchanged = match (state.phase, phase) {
                (ConnectionPhase::Closed, _) => true, // and stays so
                (ConnectionPhase::Disconnected { .. }, ConnectionPhase::Disconnected { .. }) => {
                    true
                }
                (before, now) => before == now && state.connects == connects,
            };
            if !unchanged {
                tracing::debug!(phase = ?phase, "the connection to the lattice changed");
                state.phase = phase;
                if state.is_connected() {
                    state.connects = connects;
                }
            }
            !unchanged
        });
    }

    /// Puts right what a lost event left wrong: the client drops events while many arrive.
    pub(crate) fn reconcile(&self, seen: &State) {
        let connects = self.connects();
        let known = self.state.borrow().clone();
        match seen {
            State::Connected if !known.is_connected() || known.connects != connects => {
                self.enter(ConnectionPhase::Connected);
            }
            State::Disconnected if known.is_connected() => {
                self.enter(ConnectionPhase::Disconnected {
                    since: Instant::now(),
                });
            }
            _ => {}
        }
    }
}

/// Returns the subject of `Permissions Violation for Publish to "subject"`.
fn refused_subject(text: &str) -> Option<&str> {
    let start = "permissions violation for publish to ";
    let head = text.get(..start.len())?;
    if !head.eq_ignore_ascii_case(start) {
        return None;
    }
    Some(text[start.len()..].trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_subject_is_read_from_the_servers_words() {
        let text = r#"Permissions Violation for Publish to "wasmbus.ctl.v1.a""#;
        assert_eq!(refused_subject(text), Some("wasmbus.ctl.v1.a"));
        assert_eq!(
            refused_subject("Permissions Violation for Subscription to \"a\""),
            None
        );
        assert_eq!(refused_subject("Stale Connection"), None);
    }

    #[test]
    fn a_lost_event_is_made_good_and_closed_is_final() {
        let shared = Shared::new();
        let state = shared.state();
        shared.reconcile(&State::Connected);
        assert!(state.borrow().is_connected());
        assert_eq!(state.borrow().connects, 1);
        shared.reconcile(&State::Disconnected);
        assert!(!state.borrow().is_connected());
        shared.observe(&Event::SlowConsumer(7));
        assert_eq!(state.borrow().messages_dropped, 1);
        shared.observe(&Event::Closed);
        shared.observe(&Event::Connected);
        assert_eq!(state.borrow().phase, ConnectionPhase::Closed);
    }
}
