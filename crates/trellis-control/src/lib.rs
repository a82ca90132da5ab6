//! The control interface of a lattice: subjects, messages, events and state values of wasmCloud 1.x,
//! the versioned subjects of our own beside them, and a client.
//!
//! What travels between processes is declared here and nowhere else. A host turns a message into a
//! [`Request`] with [`Request::decode`] and answers with a [`CtlResponse`] or, on subjects of our
//! own, with an [`Answer`]; the CLI and the dashboard use the [`Client`]. The crate decides nothing
//! about running components: functions that encode a rule of the wire, such as [`put_link`], are
//! pure.
//!
//! Invariant: no bytes from the network panic, recurse deeper than [`NESTING_MAX`] or allocate more
//! than a small multiple of their length.

mod change;
mod json;
mod names;
mod subjects;
mod timestamp;

mod messages;
mod request;

mod events;
mod state;

mod client;

pub use change::change_id;
pub use client::{Client, ClientError, Events, Gathered, LogLines, Timing};
pub use events::{
    CloudEvent, ComponentEventClaims, ComponentScaleFailed, ComponentScaled, ConfigChanged, Event,
    EventError, EventKind, HostMode, HostModeChanged, HostStarted, HostStopped, LabelsChanged,
    LinkDeleted, LinkSetFailed, OtherEvent, ProviderEventClaims, ProviderExited, ProviderHealth,
    ProviderStartFailed, ProviderStarted, ProviderStopped,
};
pub use json::{JsonError, NESTING_MAX, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, decode, encode};
pub use messages::*;
pub use names::{ConfigName, HostId, NAME_LENGTH_MAX, NameError};
pub use request::{DecodeError, Request};
pub use state::{
    Claims, ComponentClaims, ComponentSpec, Config, ImportTable, LatticeKey, LinkConflict,
    MissingConfig, ProviderClaims, config_bucket, delete_link, import_table, is_secret_name,
    lattice_bucket, merge_config, put_link, resolve_config,
};
pub use subjects::{
    Auctions, LogSource, PREFIX_DEFAULT, PrefixError, Route, SubjectError, Subjects, Subscription,
};
