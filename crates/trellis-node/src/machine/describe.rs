//! What the machine says of itself: its introduction, its inventory, its status.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use trellis_control::{Host, HostInventory, HostStatus};

use super::Machine;
use crate::time::{Millis, for_people};

impl Machine {
    /// Returns how the host introduces itself.
    pub fn host(&self) -> Host {
        let identity = &self.identity;
        let uptime = self.uptime();
        Host {
            rpc_host: identity.rpc_host.clone(),
            ctl_host: identity.ctl_host.clone(),
            friendly_name: identity.friendly_name.clone(),
            id: identity.host_id.as_str().to_owned(),
            js_domain: identity.js_domain.clone(),
            labels: identity.labels.clone(),
            lattice: identity.lattice.as_str().to_owned(),
            uptime_human: Some(for_people(uptime)),
            uptime_seconds: uptime.as_secs(),
            version: Some(identity.version.clone()),
        }
    }

    /// Returns what runs, complete: nothing that is starting, failed, or has exited.
    pub fn inventory(&self) -> HostInventory {
        let identity = &self.identity;
        let uptime = self.uptime();
        HostInventory {
            components: self.components.descriptions(),
            providers: self.providers.descriptions(),
            host_id: identity.host_id.as_str().to_owned(),
            friendly_name: identity.friendly_name.clone(),
            labels: identity.labels.clone(),
            version: identity.version.clone(),
            uptime_human: for_people(uptime),
            uptime_seconds: uptime.as_secs(),
        }
    }

    /// Returns how the host is, `wall` being the time of the day `now`. Links and their tiers are for
    /// the shell to add.
    pub fn status(&self, now: Millis, wall: Timestamp) -> HostStatus {
        let identity = &self.identity;
        HostStatus {
            host_id: identity.host_id.as_str().to_owned(),
            friendly_name: identity.friendly_name.clone(),
            version: identity.version.clone(),
            labels: identity.labels.clone(),
            mode: self.mode.mode,
            since: before(wall, now.since(self.mode.since)),
            why: self.mode.why.to_string(),
            uptime_seconds: now.since(self.started).as_secs(),
            components: self.components.statuses(),
            providers: self.providers.statuses(),
            links: Vec::new(),
        }
    }

    fn uptime(&self) -> Duration {
        self.now.since(self.started)
    }
}

/// Returns the time of the day `duration` before `wall`.
fn before(wall: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|it| wall.checked_sub(it).ok())
        .unwrap_or(Timestamp::MIN)
}
