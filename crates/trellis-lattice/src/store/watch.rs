//! Following a bucket: what a watch tells, and the way it comes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Entry, Incarnation, Key};

/// Changes that wait for the reader. When they are as many, the watch waits too, and what happens
/// meanwhile is found by reading the bucket again.
const CHANGES_QUEUED_MAX: usize = 256;

/// How often everything is read again: so soon is a change noticed whose notice was lost.
const REREAD_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
/// After this long without having read anything, what is known counts as stale.
const STALE_AFTER_DEFAULT: Duration = Duration::from_secs(30);
/// How often the server says that a quiet feed is alive; three are waited for.
const HEARTBEAT_INTERVAL_DEFAULT: Duration = Duration::from_secs(2);

/// How closely a bucket is followed.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// How often everything is read again.
    pub reread_interval: Duration,
    /// The part of the first interval that is waited, from 0 to 1: spreads the hosts of a lattice.
    pub reread_phase: f32,
    /// After this long without having read anything the watch says [`Change::Stale`].
    pub stale_after: Duration,
    /// How often the server says that a quiet feed is alive, at least 100 ms.
    pub heartbeat_interval: Duration,
    /// The bucket as it was known before, so that a rewind while nobody watched is noticed.
    pub known: Option<Incarnation>,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            reread_interval: REREAD_INTERVAL_DEFAULT,
            reread_phase: 1.0,
            stale_after: STALE_AFTER_DEFAULT,
            heartbeat_interval: HEARTBEAT_INTERVAL_DEFAULT,
            known: None,
        }
    }
}

impl WatchOptions {
    /// Returns the default options with the phase of the host `id`.
    pub fn for_host(id: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let part = (hasher.finish() % 1_000) as f32 / 1_000.0;
        Self {
            reread_phase: part,
            ..Self::default()
        }
    }
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Everything that is there: the first of all changes, and the first after [`Change::Rewound`].
    Reset {
        /// The entries, in the order of keys.
        entries: Vec<Entry>,
        /// Which bucket they are of; to remember for [`WatchOptions::known`].
        incarnation: Incarnation,
    },
    /// A value was written. Of several in a row only the last may be told.
    Put(Entry),
    /// A value was deleted.
    Delete {
        /// Its key.
        key: Key,
        /// The revision of the deletion.
        revision: u64,
    },
    /// Nothing could be read for a while; what is known may be out of date.
    Stale {
        /// When everything was last known to be up to date; for the first time, when the watch began.
        since: Instant,
    },
    /// What is known is up to date again.
    Fresh,
    /// The bucket is not a later state of what it was. Nothing that was told is to be undone because
    /// of it: whoever watches decides, or waits for someone to restore the bucket.
    Rewound(Rewound),
}

/// How a bucket was seen to go backwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewound {
    /// How it showed.
    pub cause: RewindCause,
    /// The bucket as it was known.
    pub before: Incarnation,
    /// The bucket as it is; `None` while it is missing.
    pub now: Option<Incarnation>,
}

/// How it shows that a bucket went backwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewindCause {
    /// It does not exist any more.
    Missing,
    /// It was deleted and made again.
    Recreated,
    /// Its last revision is lower than one that was seen.
    RevisionFell,
    /// A key has an older revision, or another value with the same revision.
    Contradicted {
        /// The key.
        key: Key,
    },
    /// Keys are gone that nobody deleted, as after a purge of the whole stream.
    Vanished {
        /// The first of the keys.
        key: Key,
        /// How many.
        keys: usize,
    },
}

/// The changes of a bucket. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    changes: mpsc::Receiver<Change>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Starts `follow` as the task that finds the changes.
    pub(super) fn start<F>(follow: impl FnOnce(Changes) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, changes) = mpsc::channel(CHANGES_QUEUED_MAX);
        let task = tokio::spawn(follow(Changes(sender)));
        Self { changes, task }
    }

    /// Returns the next change; `None` once the store was closed.
    ///
    /// # Cancel safety
    /// Cancelling loses no change.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }
}

impl Stream for Watch {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        self.changes.poll_recv(cx)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The way to whoever reads a watch.
pub(super) struct Changes(mpsc::Sender<Change>);

/// Nobody reads the watch any more.
pub(super) struct ReaderGone;

impl Changes {
    /// Hands `change` on; waits while the reader is behind.
    pub(super) async fn tell(&self, change: Change) -> Result<(), ReaderGone> {
        self.0.send(change).await.map_err(|_| ReaderGone)
    }

    /// Waits until nobody reads the watch any more.
    pub(super) async fn gone(&self) {
        self.0.closed().await;
    }
}
