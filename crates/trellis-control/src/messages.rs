//! The messages of the control interface, one file for each group.
//!
//! Fields, defaults and what is left out or written as `null` follow wasmCloud 1.9. Ids are text
//! here, because a reader must take what hosts of 1.x send; [`crate::Request::decode`] checks those
//! of requests. Unknown fields are skipped. Lists and maps that 1.x leaves out when empty may also
//! be `null`, as clients in Go write them.

mod auction;
mod call;
mod claims;
mod component;
mod doctor;
mod drain;
mod envelope;
mod host;
mod inventory;
mod label;
mod link;
mod logs;
mod provider;
mod registry;
mod status;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

pub use auction::{
    ComponentAuctionAck, ComponentAuctionRequest, ProviderAuctionAck, ProviderAuctionRequest,
    constraints_met,
};
pub use call::{
    CallCommand, CallResult, ComponentExports, DescribeCommand, ExportedFunction, ExportedInterface,
};
pub use claims::{ClaimsMap, claims_map};
pub use component::{
    LIMIT_EXECUTION_TIME, LIMIT_MEMORY, ScaleComponentCommand, UpdateComponentCommand,
};
pub use doctor::{DoctorCheck, DoctorOutcome, DoctorReport};
pub use drain::{DrainAction, DrainCommand, DrainState};
pub use envelope::{Answer, CtlResponse, ErrorCode, Failure, success};
pub use host::{Host, StopHostCommand};
pub use inventory::{ComponentDescription, HostInventory, ProviderDescription};
pub use label::{Label, LabelKey, RESERVED_LABEL_PREFIX, label_is_reserved};
pub use link::{DeleteLink, Link, ResolvedLink};
pub use logs::{FOLLOW_MAX, LINES_MAX, LogLevel, LogLine, LogTail, TailCommand};
pub use provider::{StartProviderCommand, StopProviderCommand};
pub use registry::{Registries, RegistryCredential};
pub use status::{ComponentStatus, HostStatus, LinkStatus, LinkTier, ProviderStatus};

/// Text by name: labels, annotations, constraints.
pub type TextMap = BTreeMap<String, String>;

/// Reads `null` as the empty value.
fn null_as_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
