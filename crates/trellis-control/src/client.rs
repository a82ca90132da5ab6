//! The client of the control interface: one method for each request, typed errors, bounded waits.
//!
//! A request is checked with the rules of the receiver before it is sent, so that what could never
//! work costs no round trip and a bad id never becomes a subject.

mod ask;
mod errors;
mod events;
mod gather;
mod host_verbs;
mod lattice_verbs;
mod logs;
mod our_verbs;

use std::time::Duration;

use trellis_lattice::Lattice;

pub use errors::ClientError;
pub use events::Events;
pub use gather::Gathered;
pub use logs::LogLines;

use crate::subjects::{PrefixError, Subjects};

/// How long a [`Client`] waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For the answer of one host. 2 s, as tools of 1.x have it.
    pub request: Duration,
    /// For work that is answered only when it is done: to stop a provider, to examine a host. Longer
    /// than the grace that a host gives a provider.
    pub work: Duration,
    /// For bids. 5 s, as tools of 1.x have it; less where it is known how many hosts there are.
    pub auction: Duration,
    /// For hosts to answer a ping.
    pub ping: Duration,
    /// After the latest answer to a ping, before no further one is expected. A host answers a ping
    /// without waiting for anything, so this is network latency and scheduling, with room.
    pub ping_silence: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(2),
            work: Duration::from_secs(10),
            auction: Duration::from_secs(5),
            ping: Duration::from_secs(2),
            ping_silence: Duration::from_millis(500),
        }
    }
}

/// Asks the hosts of one lattice. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    lattice: Lattice,
    subjects: Subjects,
    timing: Timing,
}

impl Client {
    /// Returns a client of `lattice` under the usual prefix.
    pub fn new(lattice: Lattice) -> Self {
        Self {
            subjects: Subjects::new(lattice.name()),
            lattice,
            timing: Timing::default(),
        }
    }

    /// Uses another prefix of subjects than [`crate::PREFIX_DEFAULT`].
    ///
    /// # Errors
    /// When `prefix` cannot begin a subject.
    pub fn with_prefix(self, prefix: &str) -> Result<Self, PrefixError> {
        Ok(Self {
            subjects: Subjects::with_prefix(self.lattice.name(), prefix)?,
            ..self
        })
    }

    /// Waits as `timing` says.
    pub fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// Returns the connection.
    pub fn lattice(&self) -> &Lattice {
        &self.lattice
    }

    /// Returns the subjects in use.
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// Returns the waits in use.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }
}
