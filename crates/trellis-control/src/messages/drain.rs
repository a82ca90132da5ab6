//! Ours: to take a host out of service without stopping it, and back in.

use serde::{Deserialize, Serialize};

use crate::events::HostMode;

/// Takes a host out of service, or back in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainCommand {
    /// What to do.
    pub action: DrainAction,
    /// Time for what is in flight, in milliseconds; the host's own default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What a [`DrainCommand`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainAction {
    /// Take no new work, finish what is in flight.
    Drain,
    /// Take work again.
    Resume,
}

/// The reply: how the host is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainState {
    /// Its mode after the command.
    pub mode: HostMode,
    /// Calls still in flight.
    pub calls_in_flight: u64,
}
