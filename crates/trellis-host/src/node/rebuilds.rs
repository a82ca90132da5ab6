//! Components that are built anew because their links or config changed: whether what comes of it is still
//! wanted, and when what failed is tried again. Pure: it builds nothing, and is told the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use trellis_core::{ComponentId, WitInterface};

use super::retry::Retry;
use crate::blueprint::Blueprint;

/// Every component that is being built anew, or could not be.
#[derive(Debug, Default)]
pub(super) struct Rebuilds {
    under_way: BTreeMap<ComponentId, UnderWay>,
    failed: BTreeMap<ComponentId, Failed>,
    last: u64,
}

/// Names one rebuild, so that one which was overtaken is told from the one that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
struct UnderWay {
    ticket: Ticket,
    tried: Blueprint,
    /// The retry that it is.
    retry: Option<Retry>,
}

#[derive(Debug)]
struct Failed {
    tried: Blueprint,
    retry: Retry,
}

impl Rebuilds {
    /// Tells whether `id` is to be built as `wanted` now: not while it is being built, nor before it is
    /// time to try again what failed. A wish that was not tried yet need not wait.
    pub(super) fn may_begin(
        &self,
        id: &ComponentId,
        wanted: &Blueprint,
        imports: &[WitInterface],
        now: Instant,
    ) -> bool {
        let waits = |failed: &Failed| {
            !failed.retry.is_due(now) && !failed.tried.needs_new_instances(wanted, imports)
        };
        !self.under_way.contains_key(id) && !self.failed.get(id).is_some_and(waits)
    }

    /// Takes note that `id` is being built as `tried`. Only the outcome with this ticket counts.
    pub(super) fn begin(&mut self, id: &ComponentId, tried: Blueprint) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        let retry = self.failed.remove(id).map(|failed| failed.retry);
        let under_way = UnderWay {
            ticket,
            tried,
            retry,
        };
        self.under_way.insert(id.clone(), under_way);
        ticket
    }

    /// Tells whether what came of a rebuild is still wanted: nothing was put in its place or stopped since.
    pub(super) fn is_wanted(&self, id: &ComponentId, ticket: Ticket) -> bool {
        let under_way = self.under_way.get(id);
        under_way.is_some_and(|it| it.ticket == ticket)
    }

    /// Takes note that the rebuild under way failed. Returns after which pause it is tried again.
    pub(super) fn failed(&mut self, id: &ComponentId, now: Instant) -> Option<Duration> {
        let UnderWay { tried, retry, .. } = self.under_way.remove(id)?;
        let retry = Retry::after(retry, now);
        self.failed.insert(id.clone(), Failed { tried, retry });
        Some(retry.pause())
    }

    /// Takes note that `id` was replaced or stopped, or runs as it should: what is being built for it is not
    /// wanted any more, and there is nothing to try again.
    pub(super) fn overtaken(&mut self, id: &ComponentId) {
        self.under_way.remove(id);
        self.failed.remove(id);
    }

    /// Returns the components whose rebuild failed and may be tried again.
    pub(super) fn due(&self, now: Instant) -> impl Iterator<Item = &ComponentId> {
        let due = self
            .failed
            .iter()
            .filter(move |(_, it)| it.retry.is_due(now));
        due.map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use trellis_core::Limits;

    use super::*;
    use crate::node::retry::{RETRY_FIRST, RETRY_MAX};

    fn id(text: &str) -> ComponentId {
        ComponentId::new(text).unwrap()
    }

    /// A blueprint of `instances` instances, so that each number is another wish.
    fn blueprint(instances: u32) -> Blueprint {
        Blueprint {
            id: id("web"),
            limits: Limits {
                instances_max: instances,
                ..Limits::default()
            },
            reuse: None,
            config: BTreeMap::new(),
            links: Vec::new(),
            explain: crate::imports::command_for_lattice,
            allow: None,
        }
    }

    #[test]
    fn a_rebuild_that_was_overtaken_is_not_wanted() {
        let (web, mut rebuilds) = (id("web"), Rebuilds::default());
        let early = rebuilds.begin(&web, blueprint(1));
        assert!(rebuilds.is_wanted(&web, early));
        rebuilds.overtaken(&web);
        assert!(!rebuilds.is_wanted(&web, early));
        let late = rebuilds.begin(&web, blueprint(2));
        assert!(!rebuilds.is_wanted(&web, early), "another is under way");
        assert!(rebuilds.is_wanted(&web, late));
    }

    #[test]
    fn what_failed_waits_and_a_new_wish_does_not() {
        let (web, now, mut rebuilds) = (id("web"), Instant::now(), Rebuilds::default());
        rebuilds.begin(&web, blueprint(1));
        assert!(!rebuilds.may_begin(&web, &blueprint(2), &[], now));
        assert_eq!(rebuilds.failed(&web, now), Some(RETRY_FIRST));
        assert!(!rebuilds.may_begin(&web, &blueprint(1), &[], now));
        assert!(rebuilds.may_begin(&web, &blueprint(2), &[], now));
        assert_eq!(rebuilds.due(now).count(), 0);
        let later = now + RETRY_FIRST;
        assert_eq!(rebuilds.due(later).collect::<Vec<_>>(), [&web]);
        assert!(rebuilds.may_begin(&web, &blueprint(1), &[], later));
    }

    #[test]
    fn pauses_grow_until_it_runs_as_it_should() {
        let (web, now, mut rebuilds) = (id("web"), Instant::now(), Rebuilds::default());
        let fail = |rebuilds: &mut Rebuilds| {
            rebuilds.begin(&web, blueprint(1));
            rebuilds.failed(&web, now).unwrap()
        };
        let pauses: Vec<_> = (0..6).map(|_| fail(&mut rebuilds)).collect();
        assert!(pauses.is_sorted() && pauses.last() == Some(&RETRY_MAX));
        rebuilds.overtaken(&id("web"));
        assert_eq!(rebuilds.due(now + RETRY_MAX).count(), 0);
        assert_eq!(fail(&mut rebuilds), RETRY_FIRST);
    }
}
