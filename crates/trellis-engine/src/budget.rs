//! Bounds on guest memory: one budget for the host, one limiter per instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wasmtime::ResourceLimiter;

/// The share of the machine's (or its control group's) memory that guests may use together. The
/// rest is for compiled code, connections, caches and the host itself.
const GUEST_SHARE_PERCENT: u64 = 50;

/// The share of the budget that instances may grow into. The rest is kept for starting instances, so
/// that components which grow without end leave others able to answer.
const GROWTH_SHARE_PERCENT: u64 = 75;

/// What all guests of a host may use together, in bytes of linear memory.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    used_bytes: AtomicU64,
    bytes_max: u64,
}

impl MemoryBudget {
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            used_bytes: AtomicU64::new(0),
            bytes_max,
        })
    }

    /// Returns the default budget of this machine: half of what it, or its control group, has.
    pub(crate) fn of_machine() -> u64 {
        memory_of_machine().saturating_mul(GUEST_SHARE_PERCENT) / 100
    }

    fn take(&self, bytes: u64, purpose: Purpose) -> bool {
        let bytes_max = match purpose {
            Purpose::Start => self.bytes_max,
            Purpose::Growth => self.bytes_max / 100 * GROWTH_SHARE_PERCENT,
        };
        let used = self
            .used_bytes
            .fetch_add(bytes, Relaxed)
            .saturating_add(bytes);
        if used > bytes_max {
            self.used_bytes.fetch_sub(bytes, Relaxed);
            return false;
        }
        true
    }

    fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Relaxed)
    }
}

/// What an instance wants memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Start,
    Growth,
}

/// Reads the smallest of the machine's memory and its control group's limit (v2, then v1).
fn memory_of_machine() -> u64 {
    const FALLBACK_BYTES: u64 = 1 << 30; // where nothing can be read, assume a small machine
    let total = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
            line.split_ascii_whitespace()
                .nth(1)?
                .parse::<u64>()
                .ok()
                .map(|kib| kib << 10)
        });
    control_group_limits()
        .chain(total)
        .min()
        .unwrap_or(FALLBACK_BYTES)
}

/// Yields the memory limits of the control groups that this process is in, outermost included.
fn control_group_limits() -> impl Iterator<Item = u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            files.push(format!("/sys/fs/cgroup/{path}/memory.max"));
        } else if controllers.split(',').any(|name| name == "memory") {
            files.push(format!(
                "/sys/fs/cgroup/memory/{path}/memory.limit_in_bytes"
            ));
        }
    }
    files.push("/sys/fs/cgroup/memory.max".to_owned());
    files.push("/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned());
    files.into_iter().filter_map(|file| {
        std::fs::read_to_string(file)
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    })
}

/// Which bound refused memory last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryRefusal {
    /// The component's own limit.
    Component,
    /// The budget of the host.
    Host,
    /// The component's limit on table elements.
    Table,
}

/// The limiter of one instance: all its memories together, and each of its tables.
#[derive(Debug)]
pub(crate) struct InstanceLimiter {
    budget: Arc<MemoryBudget>,
    memory_bytes_max: u64,
    table_elements_max: u32,
    memory_bytes: u64,
    pub(crate) refused: Option<MemoryRefusal>,
}

impl InstanceLimiter {
    pub(crate) fn new(budget: Arc<MemoryBudget>, limits: &trellis_core::Limits) -> Self {
        Self {
            budget,
            memory_bytes_max: limits.memory_bytes_max,
            table_elements_max: limits.table_elements_max,
            memory_bytes: 0,
            refused: None,
        }
    }
}

impl Drop for InstanceLimiter {
    fn drop(&mut self) {
        self.budget.give_back(self.memory_bytes);
    }
}

impl ResourceLimiter for InstanceLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        if self.memory_bytes.saturating_add(more) > self.memory_bytes_max {
            self.refused = Some(MemoryRefusal::Component);
            return Ok(false);
        }
        let purpose = if current == 0 {
            Purpose::Start
        } else {
            Purpose::Growth
        };
        if !self.budget.take(more, purpose) {
            self.refused = Some(MemoryRefusal::Host);
            return Ok(false);
        }
        self.memory_bytes += more;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= self.table_elements_max as usize;
        if !fits {
            self.refused = Some(MemoryRefusal::Table);
        }
        Ok(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_leaves_room_for_starts() {
        let budget = MemoryBudget::new(1_000);
        let mut greedy = InstanceLimiter::new(budget.clone(), &trellis_core::Limits::default());
        assert!(greedy.memory_growing(0, 100, None).expect("no error"));
        assert!(greedy.memory_growing(100, 750, None).expect("no error"));
        assert!(!greedy.memory_growing(750, 751, None).expect("no error"));
        let mut other = InstanceLimiter::new(budget, &trellis_core::Limits::default());
        assert!(other.memory_growing(0, 250, None).expect("no error"));
    }

    #[test]
    fn a_limiter_gives_back_what_it_took() {
        let budget = MemoryBudget::new(1 << 20);
        let limits = trellis_core::Limits {
            memory_bytes_max: 600_000,
            ..Default::default()
        };
        let mut first = InstanceLimiter::new(budget.clone(), &limits);
        let mut second = InstanceLimiter::new(budget.clone(), &limits);
        assert!(first.memory_growing(0, 600_000, None).expect("no error"));
        assert!(
            !first
                .memory_growing(600_000, 600_001, None)
                .expect("no error")
        );
        assert_eq!(first.refused, Some(MemoryRefusal::Component));
        assert!(!second.memory_growing(0, 600_000, None).expect("no error"));
        assert_eq!(second.refused, Some(MemoryRefusal::Host));
        drop(first);
        assert!(second.memory_growing(0, 600_000, None).expect("no error"));
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }
}
