//! Following a bucket of the file: notices of the writer, and a reading where some were lost.

use std::sync::Weak;
use std::time::Duration;

use tokio::sync::broadcast;

use super::super::view::{Record, View};
use super::super::watch::{Change, Changes, ReaderGone, Rewound};
use super::super::{BucketName, Incarnation};
use super::changes::Notice;
use super::{Reading, Shared, read_blocking};

/// How long after a failed reading a watch tries again.
const WATCH_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The task behind one watch.
pub(super) struct Follower {
    pub(super) shared: Weak<Shared>,
    pub(super) bucket: BucketName,
    pub(super) prefix: String,
    pub(super) view: View,
    pub(super) known: Option<Incarnation>,
}

impl Follower {
    /// Ends when the reader is gone or the store was closed.
    pub(super) async fn run(
        mut self,
        notices: Option<broadcast::Receiver<Notice>>,
        changes: Changes,
    ) {
        let Some(mut notices) = notices else { return };
        let Some(reading) = self.read().await else {
            return;
        };
        if self.tell_reset(reading, &changes).await.is_err() {
            return;
        }
        loop {
            let notice = tokio::select! {
                notice = notices.recv() => notice,
                () = changes.gone() => return,
            };
            let told = match notice {
                Ok(notice) => self.tell(notice, &changes).await,
                Err(broadcast::error::RecvError::Lagged(_)) => self.read_again(&changes).await,
                Err(broadcast::error::RecvError::Closed) => return,
            };
            if told.is_err() {
                return;
            }
        }
    }

    /// Reads until that succeeds; `None` once the store was closed.
    async fn read(&self) -> Option<Reading> {
        loop {
            let shared = self.shared.upgrade()?;
            match read_blocking(&shared, &self.bucket, &self.prefix).await {
                Ok(reading) => return Some(reading),
                Err(error) => {
                    let reason = trellis_core::with_causes(&error);
                    tracing::warn!(bucket = %self.bucket, %reason, "a bucket cannot be watched");
                }
            }
            drop(shared);
            tokio::time::sleep(WATCH_RETRY_INTERVAL).await;
        }
    }

    async fn tell_reset(&mut self, reading: Reading, changes: &Changes) -> Result<(), ReaderGone> {
        let Reading {
            incarnation,
            records,
        } = reading;
        if let Some(before) = self.known.take()
            && let Some(cause) = incarnation.rewound_since(&before)
        {
            let rewound = Rewound {
                cause,
                before,
                now: Some(incarnation.clone()),
            };
            changes.tell(Change::Rewound(rewound)).await?;
        }
        let entries = self.view.reset(records, incarnation.revision);
        let reset = Change::Reset {
            entries,
            incarnation,
        };
        changes.tell(reset).await
    }

    async fn tell(&mut self, notice: Notice, changes: &Changes) -> Result<(), ReaderGone> {
        if notice.bucket != self.bucket {
            return Ok(());
        }
        match self.view.apply(notice.record) {
            Some(change) => changes.tell(change).await,
            None => Ok(()),
        }
    }

    /// Notices were lost because the reader was slow: what they said is found by comparing.
    async fn read_again(&mut self, changes: &Changes) -> Result<(), ReaderGone> {
        let Some(mut reading) = self.read().await else {
            return Err(ReaderGone);
        };
        let revision = reading.incarnation.revision;
        // No trace of a deleted key is kept; the reading's revision is not before its deletion.
        for key in self.view.vanished(&reading.records) {
            reading.records.push(Record {
                key,
                revision,
                value: None,
            });
        }
        for change in self.view.reconcile(reading.records, revision) {
            changes.tell(change).await?;
        }
        Ok(())
    }
}
