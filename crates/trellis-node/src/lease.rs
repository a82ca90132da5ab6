//! The lease of a host: while it holds one, others leave its singletons alone.
//!
//! Counted on this host's own clock and from the moment of asking, so that it ends here before it
//! ends for others.

use std::time::Duration;

use crate::effect::LeaseWork;
use crate::identity::LeasePolicy;
use crate::input::LeaseOutcome;
use crate::time::Millis;

/// How often the lease is renewed: three attempts fit before singletons stop.
pub const RENEWAL_INTERVAL: Duration = Duration::from_secs(1);
/// How long a lease lasts without renewal: two lost renewals and a pause of 2 s are no loss.
pub const LEASE_LENGTH: Duration = Duration::from_secs(4);
/// After this long without renewal singletons are stopped here, a second before others may start
/// them.
pub const SINGLETONS_STOP_AFTER: Duration = Duration::from_secs(3);

#[derive(Debug)]
enum State {
    Never,
    Held { term: u64, asked: Millis },
    Lost { why: String, at: Millis },
}

/// What is known of the lease.
#[derive(Debug)]
pub(crate) struct Lease {
    policy: LeasePolicy,
    state: State,
    next_attempt: Millis,
}

impl Lease {
    pub(crate) fn new(policy: LeasePolicy, now: Millis) -> Self {
        Self {
            policy,
            state: State::Never,
            next_attempt: now,
        }
    }

    /// Takes in how an attempt came out. Answers that come too late change nothing.
    pub(crate) fn take(&mut self, now: Millis, outcome: LeaseOutcome) {
        match (outcome, &mut self.state) {
            (LeaseOutcome::Renewed { asked }, State::Held { asked: last, .. }) => {
                *last = asked.min(now).max(*last);
            }
            (LeaseOutcome::Lost { asked, why }, State::Held { asked: last, .. })
                if asked >= *last =>
            {
                self.state = State::Lost { why, at: now };
            }
            (LeaseOutcome::Rejoined { asked, term }, state) => {
                let newer = match state {
                    State::Held { term: held, .. } => term > *held,
                    State::Lost { at, .. } => asked >= *at,
                    State::Never => true,
                };
                if newer && now.since(asked) < SINGLETONS_STOP_AFTER {
                    self.state = State::Held {
                        term,
                        asked: asked.min(now),
                    };
                }
            }
            _ => {}
        }
    }

    /// Lets a lease end that was not renewed.
    pub(crate) fn expire(&mut self, now: Millis) {
        if let State::Held { asked, .. } = self.state
            && now.since(asked) >= LEASE_LENGTH
        {
            self.state = State::Lost {
                why: format!(
                    "it could not renew its lease for {} s",
                    LEASE_LENGTH.as_secs()
                ),
                at: now,
            };
        }
    }

    /// Returns the attempt that is due, where a connection stands.
    pub(crate) fn attempt(&mut self, now: Millis) -> Option<LeaseWork> {
        if self.policy == LeasePolicy::NotUsed || now < self.next_attempt {
            return None;
        }
        self.next_attempt = now.after(RENEWAL_INTERVAL);
        Some(match self.state {
            State::Held { term, .. } => LeaseWork::Renew { asked: now, term },
            State::Never | State::Lost { .. } => LeaseWork::Rejoin { asked: now },
        })
    }

    /// Makes the next attempt due at once.
    pub(crate) fn hurry(&mut self, now: Millis) {
        self.next_attempt = now;
    }

    /// Tells whether singletons may run.
    pub(crate) fn covers_singletons(&self, now: Millis) -> bool {
        match (&self.policy, &self.state) {
            (LeasePolicy::NotUsed, _) => true,
            (_, State::Held { asked, .. }) => now.since(*asked) < SINGLETONS_STOP_AFTER,
            _ => false,
        }
    }

    /// Returns why the lease is lost, if it was held before.
    pub(crate) fn lost(&self) -> Option<&str> {
        match &self.state {
            State::Lost { why, .. } => Some(why),
            _ => None,
        }
    }

    /// Tells whether there has been none yet.
    pub(crate) fn is_missing(&self) -> bool {
        self.policy == LeasePolicy::Kept && matches!(self.state, State::Never)
    }

    /// Returns the next moment at which something changes by itself.
    pub(crate) fn wake_at(&self, now: Millis, connected: bool) -> Option<Millis> {
        if self.policy == LeasePolicy::NotUsed {
            return None;
        }
        let attempt = connected.then_some(self.next_attempt);
        let ends = match self.state {
            State::Held { asked, .. } => [
                asked.after(SINGLETONS_STOP_AFTER),
                asked.after(LEASE_LENGTH),
            ]
            .into_iter()
            .find(|it| *it > now),
            _ => None,
        };
        attempt.into_iter().chain(ends).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(asked: u64) -> Lease {
        let mut lease = Lease::new(LeasePolicy::Kept, Millis(0));
        let asked = Millis(asked);
        lease.take(asked, LeaseOutcome::Rejoined { asked, term: 1 });
        lease
    }

    #[test]
    fn it_counts_from_the_asking_not_from_the_answer() {
        let mut lease = held(0);
        let asked = Millis(1_000);
        lease.take(Millis(2_900), LeaseOutcome::Renewed { asked });
        assert!(lease.covers_singletons(Millis(3_999)));
        assert!(!lease.covers_singletons(Millis(4_000)));
        lease.expire(Millis(4_999));
        assert_eq!(lease.lost(), None);
        lease.expire(Millis(5_000));
        assert_eq!(lease.lost(), Some("it could not renew its lease for 4 s"));
    }

    #[test]
    fn once_lost_only_a_new_term_brings_it_back() {
        let mut lease = held(0);
        lease.expire(Millis(4_000));
        lease.take(
            Millis(4_100),
            LeaseOutcome::Renewed {
                asked: Millis(3_900),
            },
        );
        assert!(lease.lost().is_some());
        assert_eq!(
            lease.attempt(Millis(4_200)),
            Some(LeaseWork::Rejoin {
                asked: Millis(4_200)
            })
        );
        let asked = Millis(4_200);
        lease.take(Millis(4_300), LeaseOutcome::Rejoined { asked, term: 2 });
        assert!(lease.covers_singletons(Millis(4_300)));
        // A verdict on what was asked before is late.
        let (asked, why) = (Millis(3_000), String::new());
        lease.take(Millis(4_400), LeaseOutcome::Lost { asked, why });
        assert_eq!(lease.lost(), None);
    }

    #[test]
    fn where_no_lease_is_used_nothing_is_asked_for() {
        let mut lease = Lease::new(LeasePolicy::NotUsed, Millis(0));
        assert_eq!(lease.attempt(Millis(9_000)), None);
        assert!(lease.covers_singletons(Millis(9_000)) && !lease.is_missing());
    }
}
