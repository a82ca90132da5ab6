//! What a host does about it. The shell carries effects out in their order.

use std::time::Duration;

use bytes::Bytes;
use trellis_control::{
    Claims, ConfigName, DeleteLink, Event, HostMode, JsonError, Link, Registries, Request, TextMap,
};
use trellis_core::{ChangeId, ComponentId};

use crate::input::{ReplyTo, Serial, StoreFailure};
use crate::time::Millis;

/// Annotation with the value `true` of what may run only once in a lattice: it stops while the host
/// cannot hold its lease.
pub const SINGLETON_ANNOTATION: &str = "trellis.dev/singleton";

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a reply.
    Reply {
        /// To whom.
        to: ReplyTo,
        /// The bytes.
        payload: Bytes,
    },
    /// Publish an event, in the order of these effects.
    Publish(Event),
    /// Start, change or stop a component.
    Component(ComponentWork),
    /// Start or stop a provider.
    Provider(ProviderWork),
    /// Change or read the store.
    Store(StoreWork),
    /// Bind the links and config of these again; see [`crate::Machine::links_of`]. All of them run on
    /// this host. Each once.
    Rewire {
        /// Components and providers.
        ids: Vec<ComponentId>,
    },
    /// Tell providers on hosts of 1.x that a link changed, on the connection of calls.
    AnnounceLink(LinkAnnouncement),
    /// Use these credentials, and keep those of other registries.
    Registries(Registries),
    /// Answer this request: the machine has checked that its mode allows it. [`Request::Drain`] has
    /// taken effect on the mode already.
    Delegate {
        /// The request.
        request: Request,
        /// Who waits for the reply.
        reply: Option<ReplyTo>,
    },
    /// Get or renew the lease.
    Lease(LeaseWork),
    /// The mode changed. The event of it is an effect of its own.
    ModeChanged {
        /// The mode before.
        from: HostMode,
        /// The mode now.
        to: HostMode,
        /// Why, for people.
        why: String,
    },
    /// Finish what is in flight, stop everything, then say [`crate::Input::Stopped`] and exit.
    Shutdown {
        /// Time for it; the host's own default where absent.
        timeout: Option<Duration>,
    },
    /// Log this.
    Note(Note),
}

/// What a component is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentSettings {
    /// The image.
    pub image: String,
    /// Instances at once; at least 1.
    pub instances_max: u32,
    /// The limits of the scale command; `None` where it had none.
    pub limits: Option<TextMap>,
    /// Names of config entries, merged from left to right.
    pub config: Vec<String>,
    /// What was said when it was scaled.
    pub annotations: TextMap,
}

/// What a provider is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderSettings {
    /// The image.
    pub image: String,
    /// Names of config entries, merged from left to right.
    pub config: Vec<String>,
    /// What was said when it was started.
    pub annotations: TextMap,
}

impl ComponentSettings {
    /// Tells whether it may run only once in a lattice.
    pub fn is_singleton(&self) -> bool {
        is_singleton(&self.annotations)
    }

    /// Tells whether `other` runs in the same way: all but the annotations is equal.
    pub fn runs_like(&self, other: &Self) -> bool {
        self.image == other.image
            && self.instances_max == other.instances_max
            && self.limits == other.limits
            && self.config == other.config
    }
}

impl ProviderSettings {
    /// Tells whether it may run only once in a lattice.
    pub fn is_singleton(&self) -> bool {
        is_singleton(&self.annotations)
    }
}

fn is_singleton(annotations: &TextMap) -> bool {
    annotations
        .get(SINGLETON_ANNOTATION)
        .is_some_and(|it| it == "true")
}

/// Work on one component. One at a time for an id, except that a stop ends what is under way: its
/// outcome is then ignored, and it must not become ready any more. A stop of what has just ended by
/// itself has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentWork {
    /// The number to report the outcome with.
    pub serial: Serial,
    /// The component.
    pub id: ComponentId,
    /// What to do.
    pub action: ComponentAction,
}

/// What to do with a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComponentAction {
    /// Start it; nothing of that id runs.
    Run(ComponentSettings),
    /// Replace what runs without losing a request; on failure leave it as it is.
    Update(ComponentSettings),
    /// Stop it. Needs no image.
    Stop,
}

/// Work on one provider. As for components, a stop ends a start that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderWork {
    /// The number to report the outcome with.
    pub serial: Serial,
    /// The provider.
    pub id: ComponentId,
    /// What to do.
    pub action: ProviderAction,
}

/// What to do with a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderAction {
    /// Start it, and start it again with back-off when it exits, until it is stopped.
    Start(ProviderSettings),
    /// Let it finish, then stop it.
    Stop,
}

/// Work on the store. Ends within the deadline of the store, one way or the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreWork {
    /// The number to report the outcome with.
    pub serial: Serial,
    /// What to do.
    pub task: StoreTask,
    /// By what the store knows whether another copy of the request has done it.
    pub change: Option<ChangeId>,
}

/// What to do with the store. Changes are read, decided and written with a revision check, again on a
/// conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreTask {
    /// Put a link into the spec of its source; see [`trellis_control::put_link`].
    PutLink {
        /// The link.
        link: Link,
        /// Config entries that it names and this host has not seen: they must be in the store.
        unseen_config: Vec<String>,
    },
    /// Remove a link; see [`trellis_control::delete_link`].
    DeleteLink(DeleteLink),
    /// Write a config entry.
    PutConfig {
        /// Its name.
        name: ConfigName,
        /// The bytes to store as they are.
        bytes: Bytes,
    },
    /// Purge a config entry.
    DeleteConfig(ConfigName),
    /// Read a config entry.
    ReadConfig(ConfigName),
    /// Make a spec where there is none; leave one that is there.
    EnsureSpec {
        /// The component or provider.
        id: ComponentId,
        /// The image.
        url: String,
    },
    /// Write claims under `CLAIMS_{subject}`.
    PutClaims(Claims),
}

/// A link that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAnnouncement {
    /// It was set. Names no secret.
    Put(Link),
    /// It was removed.
    Deleted(Link),
}

/// An attempt on the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseWork {
    /// Renew the lease of this term, for [`crate::LEASE_LENGTH`].
    Renew {
        /// To repeat in the outcome.
        asked: Millis,
        /// The term.
        term: u64,
    },
    /// Get a lease with a new term.
    Rejoin {
        /// To repeat in the outcome.
        asked: Millis,
    },
}

/// What a person may want to know, and nobody asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// A value of the store cannot be read; the one before stays in force.
    #[error("the value of {key:?} in the lattice state cannot be read and is left out")]
    BadValue {
        /// Its key.
        key: String,
        /// Where and why.
        #[source]
        source: JsonError,
    },
    /// Claims are stored under the key of another.
    #[error("the claims at {key:?} are about {subject:?} and are left out")]
    ForeignClaims {
        /// Their key.
        key: String,
        /// Whom they are about.
        subject: String,
    },
    /// The store holds more than a host keeps in memory.
    #[error("the lattice state has more than {entries_max} entries; {key:?} is left out")]
    TooManyEntries {
        /// The key that is left out.
        key: String,
        /// The bound.
        entries_max: usize,
    },
    /// A spec or claims could not be written; it is tried again.
    #[error("cannot write {what} to the lattice state")]
    NotEnsured {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: Box<StoreFailure>,
    },
}
