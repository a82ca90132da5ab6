//! The closed set of event types, with their names.

/// What kind of event; everything but its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// `host_started`
    HostStarted,
    /// `host_stopped`
    HostStopped,
    /// `host_heartbeat`
    HostHeartbeat,
    /// `component_scaled`
    ComponentScaled,
    /// `component_scale_failed`
    ComponentScaleFailed,
    /// `linkdef_set`
    LinkSet,
    /// `linkdef_set_failed`
    LinkSetFailed,
    /// `linkdef_deleted`
    LinkDeleted,
    /// `provider_started`
    ProviderStarted,
    /// `provider_start_failed`
    ProviderStartFailed,
    /// `provider_stopped`
    ProviderStopped,
    /// `health_check_passed`
    HealthCheckPassed,
    /// `health_check_failed`
    HealthCheckFailed,
    /// `health_check_status`
    HealthCheckStatus,
    /// `config_set`
    ConfigSet,
    /// `config_deleted`
    ConfigDeleted,
    /// `labels_changed`
    LabelsChanged,
    /// Ours: `host_mode_changed`
    HostModeChanged,
    /// Ours: `provider_exited`
    ProviderExited,
}

/// What stands before the name in the type of an event of 1.x.
const TYPE_PREFIX: &str = "com.wasmcloud.lattice.";

/// What stands before the name in the type of an event of ours.
const TYPE_PREFIX_OURS: &str = "trellis.lattice.";

impl EventKind {
    /// Every kind, in the order of the reference.
    pub const ALL: [Self; 19] = [
        Self::HostStarted,
        Self::HostStopped,
        Self::HostHeartbeat,
        Self::ComponentScaled,
        Self::ComponentScaleFailed,
        Self::LinkSet,
        Self::LinkSetFailed,
        Self::LinkDeleted,
        Self::ProviderStarted,
        Self::ProviderStartFailed,
        Self::ProviderStopped,
        Self::HealthCheckPassed,
        Self::HealthCheckFailed,
        Self::HealthCheckStatus,
        Self::ConfigSet,
        Self::ConfigDeleted,
        Self::LabelsChanged,
        Self::HostModeChanged,
        Self::ProviderExited,
    ];

    /// Returns the name: the last token of the subject and of the type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HostStarted => "host_started",
            Self::HostStopped => "host_stopped",
            Self::HostHeartbeat => "host_heartbeat",
            Self::ComponentScaled => "component_scaled",
            Self::ComponentScaleFailed => "component_scale_failed",
            Self::LinkSet => "linkdef_set",
            Self::LinkSetFailed => "linkdef_set_failed",
            Self::LinkDeleted => "linkdef_deleted",
            Self::ProviderStarted => "provider_started",
            Self::ProviderStartFailed => "provider_start_failed",
            Self::ProviderStopped => "provider_stopped",
            Self::HealthCheckPassed => "health_check_passed",
            Self::HealthCheckFailed => "health_check_failed",
            Self::HealthCheckStatus => "health_check_status",
            Self::ConfigSet => "config_set",
            Self::ConfigDeleted => "config_deleted",
            Self::LabelsChanged => "labels_changed",
            Self::HostModeChanged => "host_mode_changed",
            Self::ProviderExited => "provider_exited",
        }
    }

    /// Returns the kind with this name, such as `component_scaled`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Tells whether 1.x does not have this kind.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::HostModeChanged | Self::ProviderExited)
    }

    /// Returns the CloudEvents type, such as `com.wasmcloud.lattice.component_scaled`.
    pub fn event_type(self) -> String {
        let prefix = if self.is_ours() {
            TYPE_PREFIX_OURS
        } else {
            TYPE_PREFIX
        };
        format!("{prefix}{}", self.name())
    }

    /// Returns the kind with this CloudEvents type.
    pub fn from_event_type(event_type: &str) -> Option<Self> {
        let ours = event_type.strip_prefix(TYPE_PREFIX_OURS);
        let name = ours.or_else(|| event_type.strip_prefix(TYPE_PREFIX))?;
        Self::from_name(name).filter(|it| it.is_ours() == ours.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_type_reads_back() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_name(kind.name()), Some(kind));
            assert_eq!(EventKind::from_event_type(&kind.event_type()), Some(kind));
        }
        for unknown in [
            "com.wasmcloud.lattice.provider_exited",
            "trellis.lattice.host_started",
            "host_started",
            "",
        ] {
            assert_eq!(EventKind::from_event_type(unknown), None);
        }
    }
}
