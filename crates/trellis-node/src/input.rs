//! What can happen to a host.

use bytes::Bytes;
use trellis_control::{
    ComponentEventClaims, DecodeError, Link, LinkConflict, ProviderEventClaims, Request,
};
use trellis_core::ChangeId;

use crate::time::Millis;

/// Where a reply goes: a subject, opaque to the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplyTo(pub String);

/// The number of one piece of work; never used twice in a run of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub u64);

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A request came.
    Request {
        /// What is asked.
        request: Request,
        /// By what copies of it are known, where it changes the lattice's state.
        change: Option<ChangeId>,
        /// Who waits for the reply.
        reply: Option<ReplyTo>,
    },
    /// A message came that is no request.
    BadRequest {
        /// Why not.
        error: DecodeError,
        /// How its replies are wrapped.
        envelope: Envelope,
        /// Who waits for the reply.
        reply: Option<ReplyTo>,
    },
    /// The bucket with specs and claims changed.
    Specs(StoreChange),
    /// The bucket with config changed.
    Configs(StoreChange),
    /// The connection to the lattice stands, for the first time or again.
    Connected,
    /// The connection to the lattice is lost.
    Disconnected {
        /// Why, for people.
        why: String,
    },
    /// An attempt to get or renew the lease came out.
    Lease(LeaseOutcome),
    /// Work came out.
    Finished(Outcome),
    /// The host is to stop, for a reason other than a request, such as a signal.
    Stop {
        /// Why, for people.
        why: String,
    },
    /// After [`crate::Effect::Shutdown`]: everything has stopped, the connection still stands.
    Stopped,
    /// Time passed. At least once a second, better at [`crate::Machine::wake_at`].
    Tick,
}

/// How the replies to a request are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// As in 1.x: [`trellis_control::CtlResponse`]. Also on subjects that nobody knows.
    OneX,
    /// As on subjects of our own: [`trellis_control::Answer`].
    Ours,
}

/// Which bucket this is of all that have had its name, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Another text after the bucket was deleted and made again.
    pub created: String,
    /// The revision of the last change.
    pub revision: u64,
}

/// A value of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: String,
    /// Its bytes, as they are stored.
    pub value: Bytes,
    /// The number of the change that wrote it.
    pub revision: u64,
}

/// What the watch of one bucket tells; see `Change` of the lattice crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChange {
    /// What was in the bucket when this host last ran. Before the first [`StoreChange::Reset`]; does
    /// not count as read.
    Recalled {
        /// The entries.
        entries: Vec<Stored>,
        /// Which bucket they were of.
        incarnation: Incarnation,
    },
    /// Everything that is in the bucket.
    Reset {
        /// The entries.
        entries: Vec<Stored>,
        /// Which bucket they are of.
        incarnation: Incarnation,
    },
    /// A value was written.
    Put(Stored),
    /// A value was deleted.
    Delete {
        /// Its key.
        key: String,
        /// The revision of the deletion.
        revision: u64,
    },
    /// Nothing could be read for a while.
    Stale {
        /// When everything was last known to be up to date.
        since: Millis,
    },
    /// What is known is up to date again.
    Fresh,
    /// The bucket is not a later state of what it was; a [`StoreChange::Reset`] follows once it can
    /// be read.
    Rewound {
        /// How it showed, for people.
        why: String,
    },
}

/// How an attempt to get or renew the lease came out. `asked` is that of the
/// [`crate::LeaseWork`]: a lease counts from when it was asked for, not from the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// The lease is renewed.
    Renewed {
        /// When the machine asked.
        asked: Millis,
    },
    /// The lease is another's or gone.
    Lost {
        /// When the machine asked.
        asked: Millis,
        /// Why, for people.
        why: String,
    },
    /// A lease with a new term is held.
    Rejoined {
        /// When the machine asked.
        asked: Millis,
        /// The term; greater than every earlier one.
        term: u64,
    },
}

/// Claims of something that was started and is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<C> {
    /// The key in the claims.
    pub public_key: String,
    /// The revision.
    pub revision: i32,
    /// The claims, as events carry them.
    pub claims: C,
}

/// How work came out.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A component runs as the work said, and takes calls.
    ComponentRuns {
        /// The work.
        serial: Serial,
        /// `sha256:…` of the bytes that run.
        digest: String,
        /// Its claims, where it is signed.
        signed: Option<Box<Signed<ComponentEventClaims>>>,
    },
    /// The work on a component failed; what ran before runs on.
    ComponentFailed {
        /// The work.
        serial: Serial,
        /// Why, with all causes, for people.
        why: String,
    },
    /// A component has stopped.
    ComponentStopped {
        /// The work.
        serial: Serial,
    },
    /// A provider serves. Also when it does again after [`Outcome::ProviderExited`], under the serial
    /// of the same start.
    ProviderRuns {
        /// The start.
        serial: Serial,
        /// Its claims, where it is signed.
        signed: Option<Box<Signed<ProviderEventClaims>>>,
    },
    /// A provider could not be started, or not be stopped.
    ProviderFailed {
        /// The work.
        serial: Serial,
        /// Why, with all causes, for people.
        why: String,
    },
    /// A provider has stopped.
    ProviderStopped {
        /// The work.
        serial: Serial,
    },
    /// A provider ended by itself.
    ProviderExited {
        /// The start by which it ran.
        serial: Serial,
        /// How it ended, for people.
        reason: String,
        /// In how many milliseconds the shell starts it again; `None` when it gives up.
        restart_in_ms: Option<u64>,
    },
    /// A provider was asked for its health.
    ProviderChecked {
        /// The start by which it runs.
        serial: Serial,
        /// Whether it is well.
        healthy: bool,
    },
    /// The spec with the link is durable.
    LinkStored {
        /// The work.
        serial: Serial,
        /// What was written; `None` where the link was there already.
        written: Option<Stored>,
    },
    /// The link is durably gone.
    LinkDeleted {
        /// The work.
        serial: Serial,
        /// What there was to delete.
        deletion: LinkDeletion,
        /// The spec as it was written.
        written: Option<Stored>,
    },
    /// A config entry is durable.
    ConfigStored {
        /// The work.
        serial: Serial,
        /// What was written.
        written: Stored,
    },
    /// A config entry is durably gone, or was not there.
    ConfigDeleted {
        /// The work.
        serial: Serial,
        /// The revision of the deletion; `None` where there was nothing.
        revision: Option<u64>,
    },
    /// Another copy of the request has made the change before; nothing was changed now.
    MadeBefore {
        /// The work.
        serial: Serial,
    },
    /// A config entry was read.
    ConfigRead {
        /// The work.
        serial: Serial,
        /// Its bytes; `None` where there is none.
        value: Option<Bytes>,
    },
    /// A spec or claims are durable.
    Ensured {
        /// The work.
        serial: Serial,
    },
    /// The store did not do it.
    StoreFailed {
        /// The work.
        serial: Serial,
        /// Why.
        failure: StoreFailure,
    },
}

/// What there was to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkDeletion {
    /// This link, which is gone now.
    Removed(Link),
    /// The source has a spec, but no such link.
    NoSuchLink,
    /// The source has no spec.
    NoSpec,
}

/// Why a change of the store was not made, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFailure {
    /// Config that a link names does not exist. The lead-in is that of 1.x.
    #[error("Failed to validate configuration and secrets. no config or secret is named {}", names.join(", "))]
    MissingConfig {
        /// The names.
        names: Vec<String>,
    },
    /// Another link of that name leads elsewhere.
    #[error(transparent)]
    Conflict(#[from] LinkConflict),
    /// The store did not take it; nothing was written.
    #[error("the lattice state was not changed: {why}")]
    Refused {
        /// Why, for people.
        why: String,
    },
    /// The answer of the store was lost.
    #[error(
        "it is not known whether the lattice state was changed: {why}; read it, then try again"
    )]
    Unknown {
        /// Why, for people.
        why: String,
    },
}
