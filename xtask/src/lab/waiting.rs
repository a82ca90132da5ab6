//! Waiting for the processes under test, which tell nobody when they are ready.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

/// How often what is waited for is looked at: far below every bar.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Set by Ctrl-C: the scenario ends with an error, which ends its processes.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends the run at its next wait.
pub(crate) fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Fails once the run was interrupted.
///
/// # Errors
/// As said.
pub(super) fn go_on() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

/// Lets time pass for the fault or the load to last.
///
/// # Errors
/// When the run is interrupted.
pub(super) fn pause(duration: Duration) -> Result<()> {
    let end = Instant::now() + duration;
    loop {
        go_on()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(LOOK_INTERVAL));
    }
}

/// Looks until there is something to see, and returns it with the time it took.
///
/// # Errors
/// When looking fails, nothing is seen within `limit`, or the run is interrupted.
pub(super) fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<(T, Duration)> {
    let start = Instant::now();
    loop {
        go_on()?;
        if let Some(seen) = look()? {
            return Ok((seen, start.elapsed()));
        }
        if start.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs_f32());
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// The same where nothing seen in time is an outcome, not an error.
///
/// # Errors
/// When looking fails or the run is interrupted.
pub(super) fn within<T>(
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<(T, Duration)>> {
    let start = Instant::now();
    while start.elapsed() <= limit {
        go_on()?;
        if let Some(seen) = look()? {
            return Ok(Some((seen, start.elapsed())));
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_seen_is_named() {
        let error = until::<()>("a port", Duration::ZERO, || Ok(None)).expect_err("never");
        assert_eq!(error.to_string(), "a port: not within 0 s");
        let seen = within::<()>(Duration::ZERO, || Ok(None)).expect("looking works");
        assert!(seen.is_none());
        let mut looks = 0;
        let (seen, _) = until("a third look", Duration::from_secs(60), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        })
        .expect("seen");
        assert_eq!(seen, 3);
    }
}
