//! Following a bucket so that no change stays unseen: a feed for speed, readings for truth.
//!
//! A feed can die without a word, skip, or go on from a number that a lost store has never reached.
//! So everything is read again at intervals and after every doubt, and before anything is told it is
//! made sure that the bucket is a later state of the one that was told of before.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::super::view::{Record, View};
use super::super::watch::{Change, Changes, ReaderGone, RewindCause, Rewound, WatchOptions};
use super::super::{Incarnation, Key, StoreError};
use super::api::{StreamInfo, StreamState};
use super::api_error::ApiError;
use super::bucket::JetStreamBucket;
use super::feed::{Fed, Feed};
use crate::connection::{ConnectionPhase, ConnectionState};

/// The first wait after a failed attempt to follow.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
/// The wait that later ones grow to, before jitter.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);
/// Keys missing from a reading that are looked for one by one: enough to tell a loss from a short
/// reading, few enough for a pause of some milliseconds.
const VANISHED_CONFIRMED_MAX: usize = 16;
/// Short readings in a row before the attempt counts as failed, and the next one waits.
const READINGS_SHORT_MAX: u32 = 3;

/// Why a bucket is not followed for now.
enum Pause {
    ReaderGone,
    Store(StoreError),
}

impl From<ReaderGone> for Pause {
    fn from(_: ReaderGone) -> Self {
        Self::ReaderGone
    }
}

impl From<StoreError> for Pause {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What is to be thought of a reading.
enum Reading {
    /// It has every key that is there.
    Whole,
    /// Keys are missing from it that are not there any more.
    Lost(RewindCause),
    /// Keys are missing from it that are there: it was cut.
    Short,
}

/// What a follower does next.
enum Next {
    Fed(Fed),
    RereadDue,
    Reconnected,
}

/// The task behind one watch.
pub(super) struct Follower {
    bucket: JetStreamBucket,
    options: WatchOptions,
    changes: Changes,
    connection: watch::Receiver<ConnectionState>,
    view: View,
    /// The bucket as told of last; `None` before the first.
    known: Option<Incarnation>,
    /// Whether the next complete reading is told as a whole.
    reset_due: bool,
    /// Whether it was told that the bucket is missing.
    missing_told: bool,
    /// The state of the stream before the last complete reading.
    read_state: Option<StreamState>,
    fresh_at: Instant,
    stale_told: bool,
    failures: u32,
}

impl Follower {
    pub(super) fn new(
        bucket: JetStreamBucket,
        prefix: &str,
        options: WatchOptions,
        changes: Changes,
    ) -> Self {
        Self {
            connection: bucket.api.lattice().state(),
            view: View::new(prefix),
            known: options.known.clone(),
            reset_due: true,
            missing_told: false,
            read_state: None,
            fresh_at: Instant::now(),
            stale_told: false,
            failures: 0,
            bucket,
            options,
            changes,
        }
    }

    /// Ends when the reader is gone or the connection was closed for good.
    pub(super) async fn run(mut self) {
        while self.connection.borrow().phase != ConnectionPhase::Closed {
            let told = match self.follow().await {
                Err(Pause::ReaderGone) => return,
                Err(Pause::Store(error)) => self.failed(&error).await,
                // At once, but not in a tight circle with a server that ends every feed.
                Ok(()) => {
                    self.failures = self.failures.max(1);
                    Ok(())
                }
            };
            if told.is_err() || self.wait().await.is_err() {
                return;
            }
        }
    }

    /// Opens a feed, reads everything, and tells what comes until the feed ends.
    async fn follow(&mut self) -> Result<(), Pause> {
        let connects = self.connection.borrow_and_update().connects;
        let heartbeat = self.options.heartbeat_interval;
        let mut feed = Feed::open(&self.bucket.api, &self.bucket.name, heartbeat).await?;
        self.read_state = None;
        let mut followed = self.verify().await;
        if followed.is_ok() {
            feed.was_not_read();
            followed = self.tell_feed(&mut feed, connects).await;
        }
        feed.close().await;
        followed
    }

    async fn tell_feed(&mut self, feed: &mut Feed, connects: u64) -> Result<(), Pause> {
        let interval = self.options.reread_interval;
        let phase = self.options.reread_phase.clamp(0.0, 1.0);
        let mut reread_at = TokioInstant::now() + interval.mul_f32(phase);
        loop {
            match self.next(feed, reread_at, connects).await? {
                Next::Fed(Fed::Record(record)) => {
                    self.tell_record(record).await?;
                    continue;
                }
                Next::Fed(Fed::Gap) => self.read_state = None,
                Next::RereadDue => reread_at = TokioInstant::now() + interval,
                Next::Fed(Fed::Dead) | Next::Reconnected => return Ok(()),
            }
            self.verify().await?;
            feed.was_not_read();
        }
    }

    async fn next(
        &mut self,
        feed: &mut Feed,
        reread_at: TokioInstant,
        connects: u64,
    ) -> Result<Next, Pause> {
        let interrupted = |now: &ConnectionState| now.connects != connects || !now.is_connected();
        tokio::select! {
            fed = feed.next() => Ok(Next::Fed(fed)),
            () = sleep_until(reread_at) => Ok(Next::RereadDue),
            _ = self.connection.wait_for(interrupted) => Ok(Next::Reconnected),
            () = self.changes.gone() => Err(Pause::ReaderGone),
        }
    }

    async fn tell_record(&mut self, record: Record) -> Result<(), Pause> {
        let revision = record.revision;
        if let Some(change) = self.view.apply(record) {
            self.changes.tell(change).await?;
        }
        if let Some(known) = &mut self.known {
            known.revision = known.revision.max(revision);
        }
        Ok(())
    }

    /// Makes sure that everything that is there was told, and that nothing went backwards.
    async fn verify(&mut self) -> Result<(), Pause> {
        let info = self.stream_info().await?;
        let now = Incarnation {
            created: info.created,
            revision: info.state.last_seq,
        };
        let rewound = self
            .known
            .as_ref()
            .and_then(|known| now.rewound_since(known));
        if let Some(cause) = rewound {
            self.tell_rewound(cause, Some(now.clone())).await?;
        }
        self.missing_told = false;
        if self.reset_due || self.read_state.as_ref() != Some(&info.state) {
            self.read(&now).await?;
            self.read_state = Some(info.state);
        }
        self.fresh_at = Instant::now();
        self.failures = 0;
        if std::mem::take(&mut self.stale_told) {
            self.changes.tell(Change::Fresh).await?;
        }
        Ok(())
    }

    async fn stream_info(&mut self) -> Result<StreamInfo, Pause> {
        let info = self.bucket.api.stream_info(&self.bucket.name).await;
        Ok(info.map_err(|error: ApiError| error.into_store_error(&self.bucket.name))?)
    }

    async fn read(&mut self, now: &Incarnation) -> Result<(), Pause> {
        let (records, lost) = self.read_whole().await?;
        if !self.reset_due {
            let read: Vec<Record> = records.values().cloned().collect();
            let cause = self.view.contradiction(&read).or(lost);
            if let Some(cause) = cause {
                self.tell_rewound(cause, Some(now.clone())).await?;
            }
        }
        let records: Vec<Record> = records.into_values().collect();
        let last = records.iter().map(|record| record.revision).max();
        let known = Incarnation {
            created: now.created.clone(),
            revision: now.revision.max(last.unwrap_or(0)),
        };
        self.known = Some(known.clone());
        if std::mem::take(&mut self.reset_due) {
            let entries = self.view.reset(records, now.revision);
            let reset = Change::Reset {
                entries,
                incarnation: known,
            };
            self.changes.tell(reset).await?;
        } else {
            for change in self.view.reconcile(records, now.revision) {
                self.changes.tell(change).await?;
            }
        }
        Ok(())
    }

    /// Reads everything; says what was lost since it was told. A reading that lacks keys which are there
    /// after all says nothing, and is made again.
    async fn read_whole(&self) -> Result<(HashMap<Key, Record>, Option<RewindCause>), Pause> {
        for _ in 0..READINGS_SHORT_MAX {
            let mut records = self.bucket.read_all().await?;
            if self.reset_due {
                return Ok((records, None));
            }
            match self.judge(&mut records).await? {
                Reading::Whole => return Ok((records, None)),
                Reading::Lost(cause) => return Ok((records, Some(cause))),
                Reading::Short => {
                    let (bucket, keys) = (&self.bucket.name, records.len());
                    tracing::debug!(%bucket, keys, "a reading of a bucket was cut short");
                }
            }
        }
        Err(Pause::Store(StoreError::Unavailable {
            bucket: self.bucket.name.clone(),
            source: "the server cuts every reading short".into(),
        }))
    }

    /// Looks one by one for keys that a reading should have and has not. Those that are there after
    /// all are added to it; the first that is not says that the store lost something. Of many, the first
    /// few stand for all.
    async fn judge(&self, records: &mut HashMap<Key, Record>) -> Result<Reading, Pause> {
        let read: Vec<Record> = records.values().cloned().collect();
        let vanished = self.view.vanished(&read);
        for key in vanished.iter().take(VANISHED_CONFIRMED_MAX) {
            match self.bucket.last(key).await? {
                Some(record) => drop(records.insert(key.clone(), record)),
                None => return Ok(lost(&vanished)),
            }
        }
        if vanished.len() > VANISHED_CONFIRMED_MAX {
            return Ok(Reading::Short);
        }
        Ok(Reading::Whole)
    }

    /// Tells that the bucket went backwards; what is there now is told as a whole afterwards.
    async fn tell_rewound(
        &mut self,
        cause: RewindCause,
        now: Option<Incarnation>,
    ) -> Result<(), Pause> {
        let Some(before) = self.known.take() else {
            return Ok(());
        };
        tracing::warn!(bucket = %self.bucket.name, ?cause, "a bucket went backwards");
        self.reset_due = true;
        self.read_state = None;
        let rewound = Rewound { cause, before, now };
        Ok(self.changes.tell(Change::Rewound(rewound)).await?)
    }

    async fn failed(&mut self, error: &StoreError) -> Result<(), Pause> {
        self.failures = self.failures.saturating_add(1);
        let reason = trellis_core::with_causes(error);
        tracing::debug!(bucket = %self.bucket.name, %reason, "a bucket cannot be followed");
        if matches!(error, StoreError::Missing { .. }) && !self.missing_told {
            self.missing_told = true;
            self.tell_rewound(RewindCause::Missing, None).await?;
        }
        if self.fresh_at.elapsed() >= self.options.stale_after {
            self.tell_stale().await?;
        }
        Ok(())
    }

    async fn tell_stale(&mut self) -> Result<(), Pause> {
        if !std::mem::replace(&mut self.stale_told, true) {
            let since = self.fresh_at;
            self.changes.tell(Change::Stale { since }).await?;
        }
        Ok(())
    }

    /// Waits before the next attempt: less when the connection comes back, and saying so when what is
    /// known becomes stale meanwhile.
    async fn wait(&mut self) -> Result<(), Pause> {
        let doublings = self.failures.saturating_sub(1).min(8);
        let wait = (RETRY_WAIT_MIN * 2_u32.pow(doublings)).min(RETRY_WAIT_MAX);
        let end = TokioInstant::now() + wait.mul_f32(0.5 + fastrand::f32());
        let stale_at = TokioInstant::from_std(self.fresh_at + self.options.stale_after);
        if !self.stale_told && stale_at <= end && self.still_there(sleep_until(stale_at)).await? {
            return self.tell_stale().await;
        }
        self.still_there(sleep_until(end)).await.map(drop)
    }

    /// Waits for `end`, which `true` says, or for the connection.
    async fn still_there(&mut self, end: impl Future<Output = ()>) -> Result<bool, Pause> {
        let was_connected = self.connection.borrow_and_update().is_connected();
        let back = |now: &ConnectionState| now.is_connected();
        tokio::select! {
            () = end => Ok(true),
            _ = self.connection.wait_for(back), if !was_connected => Ok(false),
            () = self.changes.gone() => Err(Pause::ReaderGone),
        }
    }
}

fn lost(vanished: &[Key]) -> Reading {
    match vanished.first() {
        Some(key) => Reading::Lost(RewindCause::Vanished {
            key: key.clone(),
            keys: vanished.len(),
        }),
        None => Reading::Whole,
    }
}
