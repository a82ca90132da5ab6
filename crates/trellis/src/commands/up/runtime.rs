//! The threads that a host runs on, and what they do before they sleep.
//!
//! To sleep and to be woken costs about as much as a short request. Who waits for the core of a worker
//! that has nothing left to do is often who gives it its next work: a client, a proxy, a broker on the
//! same machine. When they run first, what they send is found together and nobody has to sleep for it.
//! Figures are in docs/design/0015-offered-cores.md.

use std::cell::Cell;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

/// Threads for work that blocks: files, compilation, names. Each keeps the memory that it once needed.
const BLOCKING_THREADS_MAX: usize = 32;

/// Who keeps an offered core for longer computes, and does not wait for us: about the slice that Linux
/// gives to programs that never sleep.
const TURN_MAX: Duration = Duration::from_millis(3);

/// A core that was kept is not offered again for so many times as long, so that beside programs that
/// compute at most an eleventh of the time is lost.
const PAUSE_TURNS: u32 = 10;

/// Starts the threads of a host.
pub(super) fn build() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .on_thread_park(offer_core)
        .build()
}

thread_local! {
    static OFFERS: Cell<Offers> = const { Cell::new(Offers { paused_until: None }) };
}

/// Lets those run who wait for the core of this worker, unless it would wait long for them.
fn offer_core() {
    let mut offers = OFFERS.get();
    let begun = Instant::now();
    if offers.may_offer(begun) {
        thread::yield_now();
        offers.was_back(begun, Instant::now());
        OFFERS.set(offers);
    }
}

/// What became of the offers of one worker.
#[derive(Clone, Copy)]
struct Offers {
    paused_until: Option<Instant>,
}

impl Offers {
    fn may_offer(self, now: Instant) -> bool {
        self.paused_until.is_none_or(|until| now >= until)
    }

    /// Notes how long the core was away.
    fn was_back(&mut self, begun: Instant, back: Instant) {
        let turn = back.duration_since(begun);
        let is_kept = turn > TURN_MAX;
        self.paused_until = is_kept.then(|| back + turn * PAUSE_TURNS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_offered_again_at_once_unless_it_was_kept() {
        let begun = Instant::now();
        let mut offers = Offers { paused_until: None };
        assert!(offers.may_offer(begun));
        let back = begun + TURN_MAX;
        offers.was_back(begun, back);
        assert!(offers.may_offer(back));
    }

    #[test]
    fn who_keeps_a_core_does_not_get_it_for_a_while() {
        let begun = Instant::now();
        let mut offers = Offers { paused_until: None };
        let turn = TURN_MAX + Duration::from_micros(1);
        let back = begun + turn;
        offers.was_back(begun, back);
        let resumes = back + turn * PAUSE_TURNS;
        assert!(!offers.may_offer(back));
        assert!(!offers.may_offer(resumes - Duration::from_micros(1)));
        assert!(offers.may_offer(resumes));
    }
}
