//! What is due after each input: to say that the host is there, heartbeats, the lease, specs to write.

use std::time::Duration;

use trellis_control::{Event, HostStarted};

use super::Machine;
use crate::effect::Effect;
use crate::time::Millis;
use crate::turn::Turn;

/// The first heartbeat after a connection comes within this time: hosts that connect together do not
/// speak together.
pub(super) const FIRST_HEARTBEAT_WITHIN: Duration = Duration::from_secs(2);

/// How long a host waits for its first lease before it says that it is there without one: five
/// attempts. Then it is at least seen.
const ANNOUNCED_WITHOUT_LEASE_AFTER: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn do_what_is_due(&mut self, turn: &mut Turn<'_>) {
        for (id, url) in std::mem::take(&mut turn.specs_wanted) {
            self.state_changes.want_spec(id, url);
        }
        for claims in std::mem::take(&mut turn.claims_wanted) {
            self.state_changes.want_claims(claims);
        }
        if self.permits.store && self.mirror.is_read() && !self.has_stopped {
            self.state_changes.ensure(&self.mirror, turn);
        }
        if self.detached.is_none() && !self.has_stopped {
            let attempt = self.lease.attempt(turn.now);
            attempt
                .into_iter()
                .for_each(|it| turn.push(Effect::Lease(it)));
        }
        self.heartbeat(turn);
    }

    /// Says that the host is there, once it is connected, knows the lattice state and has a lease: managers
    /// give it work upon that, which it would refuse before.
    pub(super) fn announce(&mut self, turn: &mut Turn<'_>) {
        let waits = self.lease.is_missing()
            && turn.now.since(self.mode.since) < ANNOUNCED_WITHOUT_LEASE_AFTER;
        if self.announced || self.detached.is_some() || !self.mirror.is_read() || waits {
            return;
        }
        (self.announced, turn.audible) = (true, true);
        self.heartbeat_at = turn.now.after(self.phase_within(FIRST_HEARTBEAT_WITHIN));
        turn.publish(Event::HostStarted(HostStarted {
            friendly_name: self.identity.friendly_name.clone(),
            labels: self.identity.labels.clone(),
            uptime_seconds: 0,
            version: self.identity.version.clone(),
        }));
    }

    pub(super) fn heartbeats(&self) -> bool {
        self.announced && self.detached.is_none() && self.stopping.is_none() && !self.has_stopped
    }

    fn heartbeat(&mut self, turn: &mut Turn<'_>) {
        if !self.heartbeats() || turn.now < self.heartbeat_at {
            return;
        }
        turn.publish(Event::HostHeartbeat(self.inventory()));
        // On a grid of its own, so that hosts keep apart.
        let interval = self
            .options
            .heartbeat_interval
            .max(Duration::from_millis(1));
        let grid = u64::try_from(interval.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let phase = u64::try_from(self.phase_within(interval).as_millis()).unwrap_or(0);
        let past = (turn.now.0 % grid + grid - phase % grid) % grid;
        self.heartbeat_at = Millis(turn.now.0.saturating_add(grid - past));
    }

    /// Returns this host's part of `whole`: another for each host id, the same for each run.
    pub(super) fn phase_within(&self, whole: Duration) -> Duration {
        // FNV-1a, because the hasher of the standard library may change.
        let hash = self
            .identity
            .host_id
            .as_str()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let part = (hash >> 32) as u32;
        Duration::from_secs_f64(whole.as_secs_f64() * f64::from(part) / 4_294_967_296.0)
    }
}
