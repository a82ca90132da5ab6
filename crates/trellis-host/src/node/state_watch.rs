//! The lattice's state, and what it tells, as the machine reads it.

use std::time::Instant;

use trellis_control::HostId;
use trellis_core::LatticeName;
use trellis_lattice::store::{
    BucketName, Change, Entry, Incarnation, RewindCause, Rewound, Store, Watch, WatchOptions,
};
use trellis_node::{Millis, StoreChange, Stored};

use super::JoinError;
use super::store_work::Buckets;

/// The two buckets of a lattice, opened and watched.
pub(super) struct LatticeState {
    pub(super) buckets: Buckets,
    specs: Watch,
    configs: Watch,
}

/// Which bucket a change is of.
pub(super) enum Told {
    Specs(Change),
    Configs(Change),
}

impl LatticeState {
    /// Opens the buckets, which are made where they are missing, and watches them. `known` is what they
    /// were when the host last ran, specs first.
    ///
    /// # Errors
    /// When the store cannot be reached or does not let this host.
    pub(super) async fn open(
        store: &dyn Store,
        lattice: &LatticeName,
        host: &HostId,
        known: Option<[Incarnation; 2]>,
    ) -> Result<Self, JoinError> {
        let buckets = Buckets {
            specs: store.bucket(&BucketName::lattice_data(lattice)?).await?,
            configs: store.bucket(&BucketName::config_data(lattice)?).await?,
        };
        let [specs, configs] = known.map_or([None, None], |known| known.map(Some));
        let options = |known| WatchOptions {
            known,
            ..WatchOptions::for_host(host.as_str())
        };
        Ok(Self {
            specs: buckets.specs.watch("", options(specs)),
            configs: buckets.configs.watch("", options(configs)),
            buckets,
        })
    }

    /// Returns the next change of `state`; waits for ever where there is none yet.
    ///
    /// # Cancel safety
    /// Cancelling loses nothing.
    pub(super) async fn next(state: Option<&mut Self>) -> Option<Told> {
        let Some(state) = state else {
            return std::future::pending().await;
        };
        tokio::select! {
            change = state.specs.next() => change.map(Told::Specs),
            change = state.configs.next() => change.map(Told::Configs),
        }
    }
}

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
