//! The other hosts that run a component, as calls choose among them. The node writes what the lattice
//! tells; calls read it without a lock, and note who refused them and who was not there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use trellis_control::HostId;
use trellis_core::{ComponentId, ErrorClass};
use trellis_wrpc::{CallError, Client, Takers, Target};

use crate::blueprint::Retry;

/// Other hosts that are asked for one call. Where all are full each refusal costs a round trip, and
/// whoever is full has the work of refusing.
const HOSTS_ASKED_MAX: usize = 3;
/// A host that refused within this time is asked after the others: as long as a few short calls take.
const REFUSED_LATELY: Duration = Duration::from_millis(100);

/// What refusals are counted from.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One other host.
pub(super) struct OtherHost {
    id: HostId,
    /// Whether calls that were meant for it alone found it, as far as is known. They never find one of
    /// 1.x, nor one that is gone.
    is_there: AtomicBool,
    /// Whether it has said that it is one of ours. Silence of others tells nothing: they take a call only
    /// when its component has room.
    is_ours: AtomicBool,
    /// When it had no room, in milliseconds; 0 for never.
    refused: AtomicU64,
}

impl OtherHost {
    pub(super) fn new(id: HostId) -> Arc<Self> {
        Arc::new(Self {
            id,
            is_there: AtomicBool::new(true),
            is_ours: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        })
    }

    /// Returns its id.
    pub(super) fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Notes that it said something, and whether it said it as one of ours.
    pub(super) fn heard(&self, is_ours: bool) {
        self.is_there.store(true, Relaxed);
        self.is_ours.store(is_ours, Relaxed);
    }

    /// Notes how a call failed that was meant for it alone.
    pub(super) fn failed(&self, error: &CallError, client: &Client) {
        match error.class() {
            ErrorClass::Overloaded if !error.may_have_run() => {
                self.refused.store(now_millis(), Relaxed);
            }
            // Without a connection of our own nobody is found.
            ErrorClass::Unavailable if client.is_connected() => {
                let is_there = error.may_have_run() && !error.is_lost();
                self.is_there.fetch_and(is_there, Relaxed);
            }
            _ => {}
        }
    }

    fn is_there(&self) -> bool {
        self.is_there.load(Relaxed)
    }

    fn refused_lately(&self) -> bool {
        let refused = self.refused.load(Relaxed);
        let since = now_millis().saturating_sub(refused);
        refused > 0 && u128::from(since) < REFUSED_LATELY.as_millis()
    }
}

fn now_millis() -> u64 {
    u64::try_from(ORIGIN.elapsed().as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

/// The other hosts that run one component.
#[derive(Default)]
pub(super) struct Runners {
    hosts: ArcSwap<Vec<Arc<OtherHost>>>,
    turn: AtomicUsize,
}

impl Runners {
    /// Returns whom to ask for one call, in this order: each time another first, those that refused lately
    /// last, and `lost` not at all.
    pub(super) fn in_turn(&self, lost: Option<&str>) -> Vec<Arc<OtherHost>> {
        let hosts = self.hosts.load();
        let count = hosts.len().max(1);
        let start = self.turn.fetch_add(1, Relaxed) % count;
        let (late, early) = hosts.split_at(start.min(hosts.len()));
        let candidates = || {
            let all = early.iter().chain(late);
            all.filter(|host| host.is_there() && Some(host.id()) != lost)
        };
        let willing = candidates().filter(|host| !host.refused_lately());
        let others = candidates().filter(|host| host.refused_lately());
        let chosen = willing.chain(others).take(HOSTS_ASKED_MAX);
        chosen.cloned().collect()
    }

    /// Makes a call again that whoever NATS chose has not answered but with `error`: at the others that are
    /// known, where it did not begin or may run twice, and at whoever NATS chooses now, where that one was lost.
    ///
    /// `attempt` makes it, at a host or at whoever NATS chooses; `may_begin_again` says whether it still can.
    ///
    /// # Errors
    /// The first one that is not to be followed by another attempt.
    pub(super) async fn again<'a, T>(
        &self,
        error: CallError,
        retry: Retry,
        attempt: impl Fn(Option<Arc<OtherHost>>) -> BoxFuture<'a, Result<T, CallError>>,
        may_begin_again: impl Fn() -> bool,
    ) -> Result<T, CallError> {
        let failed = Failed::of(&error, retry);
        if failed == Failed::ForGood || !may_begin_again() {
            return Err(error);
        }
        for host in self.in_turn(error.lost_host()) {
            match attempt(Some(host)).await {
                Err(error) if is_untaken(&error, retry) && may_begin_again() => {}
                answer => return answer,
            }
        }
        if failed == Failed::Lost {
            return attempt(None).await;
        }
        Err(error)
    }

    /// Returns who may take a call that is for whoever NATS chooses: only ours, where nobody else is known.
    pub(super) fn takers(&self) -> Takers {
        let hosts = self.hosts.load();
        let are_ours = hosts.iter().all(|host| host.is_ours.load(Relaxed));
        match are_ours && !hosts.is_empty() {
            true => Takers::Prompt,
            false => Takers::Anyone,
        }
    }

    /// Tells whether one of them cannot be asked alone: only NATS knows the way to it.
    pub(super) fn has_unaddressed(&self) -> bool {
        self.hosts.load().iter().any(|host| !host.is_there())
    }
}

/// All components that run on other hosts.
#[derive(Default)]
pub(super) struct Directory {
    /// Not on the path of calls: they have what they need of it.
    runners: Mutex<BTreeMap<ComponentId, Arc<Runners>>>,
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ComponentId, Arc<Runners>>> {
        self.runners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the other hosts that run `id`, now and later.
    pub(super) fn runners(&self, id: &ComponentId) -> Arc<Runners> {
        self.lock().entry(id.clone()).or_default().clone()
    }

    /// Tells whether another host is known to run `id`.
    pub(super) fn knows(&self, id: &ComponentId) -> bool {
        let known = self.lock();
        known.get(id).is_some_and(|it| !it.hosts.load().is_empty())
    }

    /// Takes note of what other hosts run. Returns whether a component appeared elsewhere or went.
    pub(super) fn set(&self, mut now: BTreeMap<ComponentId, Vec<Arc<OtherHost>>>) -> bool {
        let mut is_news = false;
        let mut known = self.lock();
        known.retain(|id, runners| {
            let hosts = now.remove(id).unwrap_or_default();
            is_news |= hosts.is_empty() != runners.hosts.load().is_empty();
            let is_used = !hosts.is_empty() || Arc::strong_count(runners) > 1;
            runners.hosts.store(Arc::new(hosts));
            is_used
        });
        is_news |= !now.is_empty();
        for (id, hosts) in now {
            let runners = Runners::default();
            runners.hosts.store(Arc::new(hosts));
            known.insert(id, Arc::new(runners));
        }
        is_news
    }
}

/// One function of a component, as it is addressed: at whoever NATS chooses, and at each other host.
pub(super) struct Addresses {
    anybody: Target,
    /// Those that were used, few enough to look through.
    at: ArcSwap<Vec<(Arc<OtherHost>, Target)>>,
}

impl Addresses {
    pub(super) fn new(anybody: Target) -> Self {
        Self {
            anybody,
            at: ArcSwap::default(),
        }
    }

    /// Returns the address at whoever NATS chooses.
    pub(super) fn anybody(&self) -> &Target {
        &self.anybody
    }

    /// Returns the address at `host`, made once.
    pub(super) fn at(&self, host: &Arc<OtherHost>) -> Result<Target, CallError> {
        let is_it = |it: &&(Arc<OtherHost>, Target)| Arc::ptr_eq(&it.0, host);
        if let Some((_, known)) = self.at.load().iter().find(is_it) {
            return Ok(known.clone());
        }
        let target = self.anybody.at(host.id()).map_err(|error| {
            CallError::before_start(
                ErrorClass::Unavailable,
                format!("cannot be called: {error}"),
            )
        })?;
        self.at.rcu(|known| {
            // A host that is gone is held here alone.
            let held = known.iter().filter(|(host, _)| Arc::strong_count(host) > 1);
            let mut known: Vec<_> = held.cloned().collect();
            known.push((host.clone(), target.clone()));
            known
        });
        Ok(target)
    }
}

/// For whom a call is that leaves this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// For whoever NATS chooses, and for the others where that one has no room.
    Anybody,
    /// For the others: this host runs the target too, and has no room.
    Others,
}

/// What the failure of a call means for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It did not begin: whoever has room may take it.
    Refused,
    /// Whoever worked on it was lost, and it may be made again, once.
    Lost,
    /// That was it.
    ForGood,
}

impl Failed {
    /// Judges the failure of a call that may be repeated as `retry` says.
    pub(super) fn of(error: &CallError, retry: Retry) -> Self {
        match (error.class(), error.may_have_run()) {
            (ErrorClass::Overloaded | ErrorClass::Unavailable, false) => Self::Refused,
            (ErrorClass::Unavailable, true) if retry == Retry::Idempotent => Self::Lost,
            _ => Self::ForGood,
        }
    }
}

/// Tells whether the next host may be asked after one that was meant alone failed: it refused, or nothing at
/// all was heard of it and the call may be repeated.
fn is_untaken(error: &CallError, retry: Retry) -> bool {
    match Failed::of(error, retry) {
        Failed::Refused => true,
        Failed::Lost => error.is_lost() && error.lost_host().is_none(),
        Failed::ForGood => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn host(id: &str) -> Arc<OtherHost> {
        OtherHost::new(HostId::new(id).unwrap())
    }

    fn id(text: &str) -> ComponentId {
        ComponentId::new(text).unwrap()
    }

    fn ids(hosts: &[Arc<OtherHost>]) -> Vec<&str> {
        hosts.iter().map(|host| host.id()).collect()
    }

    #[test]
    fn each_call_begins_with_another_host_and_asks_a_few() {
        let directory = Directory::default();
        let runners = directory.runners(&id("cart"));
        assert!(runners.in_turn(None).is_empty());
        let hosts: Vec<_> = ["NA", "NB", "NC", "ND"].map(host).to_vec();
        assert!(directory.set(BTreeMap::from([(id("cart"), hosts)])));
        let first = ids(&runners.in_turn(None)).join(" ");
        let second = ids(&runners.in_turn(None)).join(" ");
        assert_ne!(first, second);
        let mut seen: Vec<String> = Vec::new();
        for _ in 0..4 {
            let asked = runners.in_turn(Some("NC"));
            assert_eq!(asked.len(), HOSTS_ASKED_MAX);
            seen.extend(asked.iter().map(|it| it.id().to_owned()));
        }
        assert!(!seen.contains(&"NC".to_owned()) && seen.contains(&"ND".to_owned()));
    }

    #[test]
    fn who_refused_comes_last_and_comes_first_again_later() {
        let (full, idle) = (host("NA"), host("NB"));
        let runners = Runners::default();
        let hosts = vec![full.clone(), idle.clone()];
        runners.hosts.store(Arc::new(hosts));
        full.refused.store(now_millis(), Relaxed);
        for _ in 0..4 {
            assert_eq!(ids(&runners.in_turn(None)), ["NB", "NA"]);
        }
        full.refused.store(0, Relaxed);
        let firsts: Vec<_> = (0..2)
            .map(|_| runners.in_turn(None)[0].id.clone())
            .collect();
        assert_ne!(firsts[0], firsts[1]);
    }

    #[test]
    fn silence_tells_something_where_all_who_may_take_a_call_are_ours() {
        let runners = Runners::default();
        assert_eq!(runners.takers(), Takers::Anyone, "nobody is known");
        let (ours, other) = (host("NA"), host("NB"));
        ours.heard(true);
        runners.hosts.store(Arc::new(vec![ours.clone()]));
        assert_eq!(runners.takers(), Takers::Prompt);
        other.heard(false);
        runners.hosts.store(Arc::new(vec![ours, other.clone()]));
        assert_eq!(runners.takers(), Takers::Anyone);
        other.heard(true);
        assert_eq!(runners.takers(), Takers::Prompt);
    }

    #[test]
    fn what_appears_and_goes_is_news_and_who_else_runs_it_is_not() {
        let directory = Directory::default();
        let at = |hosts: &[&str]| {
            let hosts = hosts.iter().map(|id| host(id)).collect();
            BTreeMap::from([(id("cart"), hosts)])
        };
        assert!(directory.set(at(&["NA"])) && directory.knows(&id("cart")));
        assert!(!directory.set(at(&["NA", "NB"])));
        assert!(directory.set(BTreeMap::new()) && !directory.knows(&id("cart")));
        assert!(directory.lock().is_empty(), "nobody uses it any more");
    }

    #[test]
    fn a_call_is_repeated_where_it_never_began_or_may_run_twice() {
        let refused = CallError::before_start(ErrorClass::Overloaded, "full");
        let lost = CallError::new(ErrorClass::Unavailable, "gone");
        let failed = CallError::new(ErrorClass::Trap, "unreachable");
        for (error, retry, expected) in [
            (&refused, Retry::Never, Failed::Refused),
            (&lost, Retry::Never, Failed::ForGood),
            (&lost, Retry::Idempotent, Failed::Lost),
            (&failed, Retry::Idempotent, Failed::ForGood),
        ] {
            assert_eq!(Failed::of(error, retry), expected, "{error}");
        }
    }
}
