//! Judges how fast a peer moves, and timers that cost nothing while they are pushed back.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::MinimumRate;

/// A timer whose deadline may move without touching the runtime's timer wheel: it fires at the old
/// deadline, looks, and sleeps on.
#[derive(Default)]
pub(crate) struct LazyTimer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl LazyTimer {
    /// Is ready once `deadline` has passed; otherwise wakes the task then.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// Measures the bytes that move while we wait for a peer. Time in which nobody waits does not count.
pub(crate) struct StallMeter {
    rate: MinimumRate,
    waiting_since: Option<Instant>,
    waited: std::time::Duration,
    bytes: u64,
    timer: LazyTimer,
}

impl StallMeter {
    pub(crate) fn new(rate: MinimumRate) -> Self {
        let waited = std::time::Duration::ZERO;
        Self {
            rate,
            waiting_since: None,
            waited,
            bytes: 0,
            timer: LazyTimer::default(),
        }
    }

    /// Notes that `bytes` moved.
    pub(crate) fn moved(&mut self, bytes: usize) {
        let Some(since) = self.waiting_since.take() else {
            if !self.waited.is_zero() {
                self.bytes = self.bytes.saturating_add(bytes as u64);
            }
            return;
        };
        self.waited += since.elapsed();
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes >= self.rate.bytes_per_window() {
            // Fast enough for a whole window already: the next wait begins a new one.
            self.waited = std::time::Duration::ZERO;
            self.bytes = 0;
        }
    }

    /// Notes that the peer is waited for; is ready when it is too slow.
    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let left = self.rate.window.saturating_sub(self.waited);
        self.timer.poll_until(cx, since + left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    const RATE: MinimumRate = MinimumRate {
        bytes_per_second: 1_000,
        window: Duration::from_secs(10),
    };

    /// Waits `wait` for each piece of `bytes`, `pieces` times; tells whether that was judged too slow.
    async fn stalls(bytes: usize, wait: Duration, pieces: usize) -> bool {
        let mut meter = StallMeter::new(RATE);
        for _ in 0..pieces {
            let stalled = poll_fn(|cx| meter.poll_stalled(cx));
            if tokio::time::timeout(wait, stalled).await.is_ok() {
                return true;
            }
            meter.moved(bytes);
        }
        false
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_too_slow_and_a_steady_flow_is_not() {
        assert!(stalls(1, Duration::from_secs(1), 60).await);
        assert!(stalls(900, Duration::from_secs(1), 60).await);
        assert!(!stalls(1_200, Duration::from_secs(1), 60).await);
        assert!(!stalls(20_000, Duration::from_secs(9), 60).await);
        assert!(stalls(20_000, Duration::from_secs(11), 2).await);
    }
}
