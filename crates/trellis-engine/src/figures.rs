//! What a component has done on this host, counted for who watches it. Calls add to plain counters of
//! their component, without a lock and without looking anything up; whoever watches reads them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use trellis_core::{ComponentId, ErrorClass};

/// The upper bounds of the groups by which the durations of calls are counted. From a call along a link,
/// over a page, to the default deadline; each group costs every component a line of text.
pub const DURATIONS: [Duration; 12] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// One group more, for what took longer.
const GROUPS: usize = DURATIONS.len() + 1;

/// The counters of one component, the same for all its generations.
#[derive(Debug, Default)]
pub struct Figures {
    begun: AtomicU64,
    /// In the order of [`ErrorClass::ALL`].
    failed: [AtomicU64; ErrorClass::ALL.len()],
    durations: [AtomicU64; GROUPS],
    duration_nanos: AtomicU64,
    cpu_nanos: AtomicU64,
    instances_made: AtomicU64,
    instances_gone: AtomicU64,
}

/// What the counters said at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Calls that ended well.
    pub ok: u64,
    /// Calls that failed, by class.
    pub failed: [(ErrorClass, u64); ErrorClass::ALL.len()],
    /// Calls under way, those that wait for an instance included.
    pub in_flight: u64,
    /// Calls that ended, by how long they took: one for each of [`DURATIONS`], and one for longer.
    pub durations: [u64; GROUPS],
    /// How long all calls that ended took together.
    pub duration: Duration,
    /// The CPU time of all calls, that of the components which they called on this host included.
    pub cpu: Duration,
    /// Instances that exist.
    pub instances: u64,
    /// Instances that were made.
    pub instances_made: u64,
}

impl Figures {
    /// Reads the counters. Calls that end meanwhile may be in some of them and not in others.
    pub fn read(&self) -> Reading {
        let durations = self.durations.each_ref().map(|count| count.load(Relaxed));
        let ended: u64 = durations.iter().sum();
        let mut failed = ErrorClass::ALL.map(|class| (class, 0));
        for ((_, count), counter) in failed.iter_mut().zip(&self.failed) {
            *count = counter.load(Relaxed);
        }
        let failures: u64 = failed.iter().map(|(_, count)| count).sum();
        let instances_gone = self.instances_gone.load(Relaxed);
        let instances_made = self.instances_made.load(Relaxed);
        Reading {
            ok: ended.saturating_sub(failures),
            failed,
            in_flight: self.begun.load(Relaxed).saturating_sub(ended),
            durations,
            duration: Duration::from_nanos(self.duration_nanos.load(Relaxed)),
            cpu: Duration::from_nanos(self.cpu_nanos.load(Relaxed)),
            instances: instances_made.saturating_sub(instances_gone),
            instances_made,
        }
    }

    pub(crate) fn add_cpu(&self, nanos: u64) {
        self.cpu_nanos.fetch_add(nanos, Relaxed);
    }

    fn end(&self, begun: Instant, failed: Option<ErrorClass>) {
        let took = begun.elapsed();
        let group = DURATIONS.iter().position(|most| took <= *most);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.duration_nanos.fetch_add(nanos, Relaxed);
        if let Some(class) = failed {
            let index = ErrorClass::ALL.iter().position(|it| *it == class);
            self.failed[index.unwrap_or_default()].fetch_add(1, Relaxed);
        }
        self.durations[group.unwrap_or(DURATIONS.len())].fetch_add(1, Relaxed);
    }
}

/// One call that is counted. Dropped without an end it counts as cancelled.
#[derive(Debug)]
pub(crate) struct Tally {
    figures: Option<Arc<Figures>>,
    begun: Instant,
}

impl Tally {
    pub(crate) fn begin(figures: &Arc<Figures>, begun: Instant) -> Self {
        figures.begun.fetch_add(1, Relaxed);
        Self {
            figures: Some(figures.clone()),
            begun,
        }
    }

    /// Counts the call as ended; failed with a class, or well. Only the first end counts.
    pub(crate) fn end(&mut self, failed: Option<ErrorClass>) {
        if let Some(figures) = self.figures.take() {
            figures.end(self.begun, failed);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.end(Some(ErrorClass::Cancelled));
    }
}

/// One instance that is counted for as long as it exists.
#[derive(Debug)]
pub(crate) struct InstanceCount(Arc<Figures>);

impl InstanceCount {
    pub(crate) fn new(figures: &Arc<Figures>) -> Self {
        figures.instances_made.fetch_add(1, Relaxed);
        Self(figures.clone())
    }
}

impl Drop for InstanceCount {
    fn drop(&mut self) {
        self.0.instances_gone.fetch_add(1, Relaxed);
    }
}

/// The counters of all components of an engine, so that the next generation counts on from the last one.
#[derive(Debug, Default)]
pub(crate) struct AllFigures(Mutex<BTreeMap<ComponentId, Weak<Figures>>>);

impl AllFigures {
    /// Returns the counters of a component that is deployed: new ones where nothing is left of it.
    pub(crate) fn of(&self, id: &ComponentId) -> Arc<Figures> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(figures) = all.get(id).and_then(Weak::upgrade) {
            return figures;
        }
        all.retain(|_, figures| figures.strong_count() > 0);
        let figures = Arc::default();
        all.insert(id.clone(), Arc::downgrade(&figures));
        figures
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_call_is_in_flight_once_and_ends_once() {
        let figures = Arc::new(Figures::default());
        let now = Instant::now();
        let mut well = Tally::begin(&figures, now);
        let mut badly = Tally::begin(&figures, now - Duration::from_millis(300));
        let dropped = Tally::begin(&figures, now - Duration::from_secs(60));
        assert_eq!(figures.read().in_flight, 3);
        well.end(None);
        well.end(Some(ErrorClass::Trap));
        drop(well);
        badly.end(Some(ErrorClass::Overloaded));
        drop((badly, dropped));
        let read = figures.read();
        assert_eq!((read.ok, read.in_flight), (1, 0));
        for (class, count) in read.failed {
            let is_counted = [ErrorClass::Overloaded, ErrorClass::Cancelled].contains(&class);
            assert_eq!(count, u64::from(is_counted), "{class}");
        }
        // 300 ms is within half a second, and a minute longer than all groups.
        assert_eq!((read.durations[8], read.durations[12]), (1, 1));
        assert_eq!(read.durations.iter().sum::<u64>(), 3);
        assert!(read.duration >= Duration::from_secs(60));
    }

    #[test]
    fn counters_outlive_a_generation_but_not_the_component() {
        let all = AllFigures::default();
        let id = ComponentId::new("cart").unwrap();
        let first = all.of(&id);
        drop(InstanceCount::new(&first));
        let next = all.of(&id);
        assert_eq!((next.read().instances, next.read().instances_made), (0, 1));
        drop((first, next));
        assert_eq!(all.of(&id).read().instances_made, 0);
    }
}
