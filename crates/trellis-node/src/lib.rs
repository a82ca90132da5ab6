//! What a host decides: in which mode it is, how it answers each request, what it starts and stops,
//! what it tells the lattice. A pure state machine: no I/O, no clock, nothing asynchronous.
//!
//! A shell around it turns what happens into an [`Input`], hands it to [`Machine::handle`] with the
//! time, and carries out the [`Effect`]s in their order. What takes long (a start, a write to the
//! store) is an effect with a [`Serial`]; its [`Outcome`] comes back as an input. So every
//! interleaving of a lattice can be played in a test, from a seed; `tests/it/simulation.rs` does.
//!
//! Invariant: every table has a named bound; what does not fit is refused with a reply that says so.

mod time;

mod effect;
mod identity;
mod input;

mod lease;
mod mirror;
mod mode;
mod turn;

mod machine;

pub use effect::{
    ComponentAction, ComponentSettings, ComponentWork, Effect, LeaseWork, LinkAnnouncement, Note,
    ProviderAction, ProviderSettings, ProviderWork, SINGLETON_ANNOTATION, StoreTask, StoreWork,
};
pub use identity::{Identity, LeasePolicy, Options};
pub use input::{
    Envelope, Incarnation, Input, LeaseOutcome, LinkDeletion, Outcome, ReplyTo, Serial, Signed,
    StoreChange, StoreFailure, Stored,
};
pub use lease::{LEASE_LENGTH, RENEWAL_INTERVAL, SINGLETONS_STOP_AFTER};
pub use machine::{
    AdoptError, Adopted, COMMANDS_WAITING_MAX, COMPONENTS_MAX, LABEL_BYTES_MAX, LABELS_MAX,
    Machine, PROVIDERS_MAX, SETTINGS_BYTES_MAX, STORE_TASKS_MAX,
};
pub use mirror::{ENTRIES_MIRRORED_MAX, LinksOf};
pub use time::Millis;
