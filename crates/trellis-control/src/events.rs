//! Events: what a host tells everybody, as CloudEvents 1.0 in JSON.
//!
//! Those of wasmCloud 1.9 on its subjects; what 1.x lacks on subjects of our own, because tools of
//! 1.x stumble over unknown types.

mod cloud_event;
mod data;
mod kind;

pub use cloud_event::{CloudEvent, EventError};
pub use data::{
    ComponentEventClaims, ComponentScaleFailed, ComponentScaled, ConfigChanged, HostMode,
    HostModeChanged, HostStarted, HostStopped, LabelsChanged, LinkDeleted, LinkSetFailed,
    OtherEvent, ProviderEventClaims, ProviderExited, ProviderHealth, ProviderStartFailed,
    ProviderStarted, ProviderStopped,
};
pub use kind::EventKind;

use crate::messages::{HostInventory, Link};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A host is there and takes requests.
    HostStarted(HostStarted),
    /// A host is about to exit.
    HostStopped(HostStopped),
    /// A host is still there, with all that it runs.
    HostHeartbeat(HostInventory),
    /// A component runs with so many instances; 0 when it was stopped.
    ComponentScaled(ComponentScaled),
    /// A component could not be scaled.
    ComponentScaleFailed(ComponentScaleFailed),
    /// A link was set.
    LinkSet(Link),
    /// A link could not be set.
    LinkSetFailed(LinkSetFailed),
    /// A link was removed, or was not there.
    LinkDeleted(LinkDeleted),
    /// A provider runs.
    ProviderStarted(ProviderStarted),
    /// A provider could not be started.
    ProviderStartFailed(ProviderStartFailed),
    /// A provider was stopped.
    ProviderStopped(ProviderStopped),
    /// A provider became healthy.
    HealthCheckPassed(ProviderHealth),
    /// A provider became unhealthy.
    HealthCheckFailed(ProviderHealth),
    /// A provider is as healthy as before.
    HealthCheckStatus(ProviderHealth),
    /// A config entry was set.
    ConfigSet(ConfigChanged),
    /// A config entry was removed.
    ConfigDeleted(ConfigChanged),
    /// The labels of a host changed.
    LabelsChanged(LabelsChanged),
    /// Ours: a host went from one mode to another.
    HostModeChanged(HostModeChanged),
    /// Ours: a provider ended by itself.
    ProviderExited(ProviderExited),
    /// A type that this version does not know, as it came.
    Other(OtherEvent),
}

impl Event {
    /// Returns the kind; `None` for what is unknown.
    pub fn kind(&self) -> Option<EventKind> {
        Some(match self {
            Self::HostStarted(_) => EventKind::HostStarted,
            Self::HostStopped(_) => EventKind::HostStopped,
            Self::HostHeartbeat(_) => EventKind::HostHeartbeat,
            Self::ComponentScaled(_) => EventKind::ComponentScaled,
            Self::ComponentScaleFailed(_) => EventKind::ComponentScaleFailed,
            Self::LinkSet(_) => EventKind::LinkSet,
            Self::LinkSetFailed(_) => EventKind::LinkSetFailed,
            Self::LinkDeleted(_) => EventKind::LinkDeleted,
            Self::ProviderStarted(_) => EventKind::ProviderStarted,
            Self::ProviderStartFailed(_) => EventKind::ProviderStartFailed,
            Self::ProviderStopped(_) => EventKind::ProviderStopped,
            Self::HealthCheckPassed(_) => EventKind::HealthCheckPassed,
            Self::HealthCheckFailed(_) => EventKind::HealthCheckFailed,
            Self::HealthCheckStatus(_) => EventKind::HealthCheckStatus,
            Self::ConfigSet(_) => EventKind::ConfigSet,
            Self::ConfigDeleted(_) => EventKind::ConfigDeleted,
            Self::LabelsChanged(_) => EventKind::LabelsChanged,
            Self::HostModeChanged(_) => EventKind::HostModeChanged,
            Self::ProviderExited(_) => EventKind::ProviderExited,
            Self::Other(_) => return None,
        })
    }
}
