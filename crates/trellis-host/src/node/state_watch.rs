//! What the lattice's store tells, as the machine reads it.

use std::time::Instant;

use trellis_lattice::store::{Change, Entry, Incarnation, RewindCause, Rewound};
use trellis_node::{Millis, StoreChange, Stored};

/// Translates one change. `started` is when the machine's clock stood at zero.
pub(super) fn change(change: Change, started: Instant) -> StoreChange {
    match change {
        Change::Reset {
            entries,
            incarnation,
        } => StoreChange::Reset {
            entries: entries.into_iter().map(stored).collect(),
            incarnation: named(incarnation),
        },
        Change::Put(entry) => StoreChange::Put(stored(entry)),
        Change::Delete { key, revision } => StoreChange::Delete {
            key: key.to_string(),
            revision,
        },
        Change::Stale { since } => StoreChange::Stale {
            since: millis(since.saturating_duration_since(started)),
        },
        Change::Fresh => StoreChange::Fresh,
        Change::Rewound(rewound) => StoreChange::Rewound { why: why(&rewound) },
    }
}

pub(super) fn millis(duration: std::time::Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn stored(entry: Entry) -> Stored {
    Stored {
        key: entry.key.to_string(),
        value: entry.value,
        revision: entry.revision,
    }
}

fn named(incarnation: Incarnation) -> trellis_node::Incarnation {
    trellis_node::Incarnation {
        created: incarnation.created,
        revision: incarnation.revision,
    }
}

fn why(rewound: &Rewound) -> String {
    match &rewound.cause {
        RewindCause::Missing => "its bucket does not exist any more".to_owned(),
        RewindCause::Recreated => "its bucket was deleted and made again".to_owned(),
        RewindCause::RevisionFell => format!(
            "its bucket went back from revision {} to {}",
            rewound.before.revision,
            rewound.now.as_ref().map_or(0, |now| now.revision)
        ),
        RewindCause::Contradicted { key } => format!("{key} has an older value than before"),
        RewindCause::Vanished { key, keys } => {
            format!("{keys} keys vanished that nobody deleted, the first is {key}")
        }
    }
}
