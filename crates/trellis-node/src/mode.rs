//! In which mode a host is, what each mode allows, and how it says so.
//!
//! The mode is no state of its own: it is judged anew from facts after every input, so that no order
//! of events leaves it wrong.

use std::sync::Arc;

use trellis_control::HostMode;

use crate::time::{Millis, for_people};

/// What the mode follows from. `Some` holds why, for people.
pub(crate) struct Facts<'a> {
    pub(crate) leaving: Option<&'a str>,
    pub(crate) detached: Option<&'a str>,
    pub(crate) fenced: Option<&'a str>,
    pub(crate) rewound: Option<String>,
    pub(crate) degraded: Option<String>,
}

impl Facts<'_> {
    /// Returns the mode, the one that allows least first.
    pub(crate) fn judge(self) -> (HostMode, String) {
        let known = |mode, why: &str| Some((mode, why.to_owned()));
        None.or_else(|| known(HostMode::Draining, self.leaving?))
            .or_else(|| known(HostMode::Detached, self.detached?))
            .or_else(|| known(HostMode::Fenced, self.fenced?))
            .or_else(|| Some((HostMode::StoreRewound, self.rewound?)))
            .or_else(|| Some((HostMode::Degraded, self.degraded?)))
            .unwrap_or_else(|| {
                let why = "it is connected and knows the lattice state";
                (HostMode::Joined, why.to_owned())
            })
    }
}

/// What is allowed at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permits {
    /// To start and change components and providers, and to bid for them.
    pub(crate) start: bool,
    /// To stop them when told to.
    pub(crate) stop: bool,
    /// To change links and config of the lattice.
    pub(crate) store: bool,
    /// To call what runs, on behalf of a person.
    pub(crate) call: bool,
    /// To run what may run only once.
    pub(crate) singletons: bool,
    /// To start again what may run only once.
    pub(crate) restart: bool,
}

impl Permits {
    /// Returns what `mode` allows. A write to the store is acknowledged only when it is durable, so
    /// that a degraded host, which is connected, may try; one whose store was rewound may not, since
    /// two histories would mix.
    pub(crate) fn of(mode: HostMode, lease_covers_singletons: bool) -> Self {
        let (joined, degraded) = (mode == HostMode::Joined, mode == HostMode::Degraded);
        let serving = joined || degraded || mode == HostMode::StoreRewound;
        Self {
            start: joined,
            stop: joined || mode == HostMode::Draining,
            store: joined || degraded,
            call: serving,
            singletons: lease_covers_singletons,
            restart: lease_covers_singletons && serving,
        }
    }
}

/// The mode of a host.
#[derive(Clone, Debug)]
pub(crate) struct Mode {
    pub(crate) mode: HostMode,
    pub(crate) since: Millis,
    pub(crate) why: Arc<str>,
}

impl Mode {
    /// Says to a person why something is refused, and what to do. `place` names host and lattice.
    pub(crate) fn refusal(&self, place: &str, now: Millis) -> String {
        let Self { mode, since, why } = self;
        let age = for_people(now.since(*since));
        let (does, next) = match mode {
            HostMode::Joined => ("takes work", "try again"),
            HostMode::Degraded => (
                "serves what it runs, and starts and stops nothing",
                "run `trellis doctor` to see what it cannot reach",
            ),
            HostMode::Detached => (
                "serves what it runs, and changes nothing",
                "run `trellis doctor` to see what it cannot reach",
            ),
            HostMode::StoreRewound => (
                "serves what it runs with the links it knew, and changes nothing",
                "run `trellis doctor`, then restore the lattice state, or take it as it is now with \
                 `trellis resume HOST`",
            ),
            HostMode::Fenced => (
                "serves what it runs, and takes no work before it has a new lease",
                "try again in a few seconds, or run `trellis doctor`",
            ),
            HostMode::Draining => (
                "finishes what is in flight, and takes no new work",
                "use another host (`trellis get hosts`), or `trellis resume HOST`",
            ),
        };
        format!("{place} is {mode} for {age}, because {why}; it {does}; {next}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_fact_wins() {
        let facts = |leaving, detached, fenced| Facts {
            leaving,
            detached,
            fenced,
            rewound: Some("r".to_owned()),
            degraded: Some("d".to_owned()),
        };
        let judged = |facts: Facts| facts.judge().0;
        assert_eq!(
            judged(facts(Some("l"), Some("d"), Some("f"))),
            HostMode::Draining
        );
        assert_eq!(
            judged(facts(None, Some("d"), Some("f"))),
            HostMode::Detached
        );
        assert_eq!(judged(facts(None, None, Some("f"))), HostMode::Fenced);
        assert_eq!(judged(facts(None, None, None)), HostMode::StoreRewound);
    }

    #[test]
    fn the_table_of_modes() {
        let allows = |mode| {
            let it = Permits::of(mode, true);
            [it.start, it.stop, it.store, it.call, it.restart].map(u8::from)
        };
        assert_eq!(allows(HostMode::Joined), [1, 1, 1, 1, 1]);
        assert_eq!(allows(HostMode::Degraded), [0, 0, 1, 1, 1]);
        assert_eq!(allows(HostMode::Detached), [0, 0, 0, 0, 0]);
        assert_eq!(allows(HostMode::StoreRewound), [0, 0, 0, 1, 1]);
        assert_eq!(allows(HostMode::Fenced), [0, 0, 0, 0, 0]);
        assert_eq!(allows(HostMode::Draining), [0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_refusal_says_where_since_when_why_and_what_next() {
        let mode = Mode {
            mode: HostMode::Detached,
            since: Millis(1_000),
            why: "the connection was reset".into(),
        };
        assert_eq!(
            mode.refusal("host N1 (quiet-lake) of lattice \"shop\"", Millis(43_000)),
            "host N1 (quiet-lake) of lattice \"shop\" is detached for 42s, because the connection was \
             reset; it serves what it runs, and changes nothing; run `trellis doctor` to see what it \
             cannot reach"
        );
    }
}
