//! When something that failed is tried again. Pure: it is told the time.

use std::time::{Duration, Instant};

/// How soon what failed is tried again for the first time.
pub(super) const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest pause between two tries. What an attempt costs (an instance of a component, a look at every
/// process of the machine for who has a port) is then little, and whoever mends the cause hardly waits.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(15);

/// The next try of something that failed. Each pause is twice the one before, up to [`RETRY_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    pause: Duration,
    at: Instant,
}

impl Retry {
    /// Plans the try after a failure `now` that followed the one of `before`; none where it is the first.
    pub(super) fn after(before: Option<Self>, now: Instant) -> Self {
        let pause = before.map_or(RETRY_FIRST, |it| (it.pause * 2).min(RETRY_MAX));
        Self {
            pause,
            at: now + pause,
        }
    }

    /// Returns how long after the failure it is.
    pub(super) fn pause(self) -> Duration {
        self.pause
    }

    /// Tells whether it is time.
    pub(super) fn is_due(self, now: Instant) -> bool {
        now >= self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let now = Instant::now();
        let mut retry = None;
        let pauses = [(); 6].map(|()| {
            let next = Retry::after(retry, now);
            retry = Some(next);
            next.pause().as_secs()
        });
        assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
        let first = Retry::after(None, now);
        assert!(!first.is_due(now) && first.is_due(now + RETRY_FIRST));
    }
}
