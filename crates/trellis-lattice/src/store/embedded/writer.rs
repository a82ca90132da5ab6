//! The one thread that writes: group commit, and notices of what was committed.
//!
//! The queue is bounded in changes and bytes; a full one refuses. While the thread waits for the
//! disk, changes gather; the next transaction takes them all and syncs once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use redb::{Database, Durability, ReadableTable, Table};
use tokio::sync::{broadcast, oneshot};

use super::super::view::Record;
use super::super::{BucketName, Entry, Expected, Incarnation, Key, VALUE_BYTES_MAX};
use super::file::{BUCKETS, ENTRIES, Failure, StorageFile, storage_failed};
use super::layout;

/// Changes that wait for the disk. At one sync in 5 ms (a common SSD) and 256 changes a sync, the
/// last of them waits 20 ms.
const CHANGES_QUEUED_MAX: usize = 1_024;
/// Bytes that wait for the disk: a few of the largest values, or many small ones.
const BYTES_QUEUED_MAX: usize = 16 * VALUE_BYTES_MAX;
/// Changes of one transaction: past this the sync is a small part of the cost.
const CHANGES_COMMITTED_MAX: usize = 256;
/// How long after a failed attempt to open the file again the next one is made.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);
/// What a change costs in the queue beyond its key and value.
const CHANGE_OVERHEAD_BYTES: usize = 128;
/// Committed changes that a watch may lag behind before it reads everything again.
const NOTICES_QUEUED_MAX: usize = 1_024;

/// One change of one bucket.
pub(super) struct Change {
    pub(super) bucket: BucketName,
    pub(super) action: Action,
}

/// What is to be done.
pub(super) enum Action {
    /// Makes the bucket, if it is missing, with this text to tell its incarnation.
    Make { created: String },
    /// Writes a value, or removes it where there is none.
    Write {
        key: Key,
        value: Option<Bytes>,
        expected: Expected,
    },
}

impl Change {
    fn bytes(&self) -> usize {
        CHANGE_OVERHEAD_BYTES
            + match &self.action {
                Action::Make { created } => created.len(),
                Action::Write { key, value, .. } => {
                    key.as_str().len() + value.as_ref().map_or(0, Bytes::len)
                }
            }
    }
}

/// What a change came to.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It was made, with this revision.
    Done(u64),
    /// There was nothing to do.
    Nothing,
    /// What is there is not what was expected.
    Conflict(Option<Entry>),
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteError {
    Overloaded,
    /// The bucket does not exist.
    NoBucket,
    Failed(Failure),
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

type Answer = Result<Outcome, WriteError>;

/// A change that is on the disk.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) bucket: BucketName,
    pub(super) record: Record,
}

struct Request {
    change: Change,
    bytes: usize,
    answer: oneshot::Sender<Answer>,
}

/// The way to the writing thread. Dropping it waits until everything queued is on the disk.
pub(super) struct Writer {
    /// `None` only while dropping.
    queue: Option<SyncSender<Request>>,
    bytes_queued: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
    notices: broadcast::WeakSender<Notice>,
}

impl Writer {
    pub(super) fn start(file: Arc<StorageFile>) -> io::Result<Self> {
        let (queue, requests) = sync_channel(CHANGES_QUEUED_MAX);
        let bytes_queued = Arc::new(AtomicUsize::new(0));
        let notices = broadcast::Sender::new(NOTICES_QUEUED_MAX);
        let weak_notices = notices.downgrade();
        let worker = Worker {
            file,
            requests,
            bytes_queued: Arc::clone(&bytes_queued),
            notices,
        };
        let thread = thread::Builder::new()
            .name("state-writer".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            queue: Some(queue),
            bytes_queued,
            thread: Some(thread),
            notices: weak_notices,
        })
    }

    /// Returns what is committed from now on; `None` once the thread has ended.
    pub(super) fn notices(&self) -> Option<broadcast::Receiver<Notice>> {
        Some(self.notices.upgrade()?.subscribe())
    }

    /// Queues `change` at once; the receiver is answered when it is on the disk.
    pub(super) fn submit(&self, change: Change) -> Result<oneshot::Receiver<Answer>, WriteError> {
        let (answer, answered) = oneshot::channel();
        let bytes = change.bytes();
        let reserved =
            self.bytes_queued
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| {
                    sum.checked_add(bytes)
                        .filter(|sum| *sum <= BYTES_QUEUED_MAX)
                });
        if reserved.is_err() {
            return Err(WriteError::Overloaded);
        }
        let request = Request {
            change,
            bytes,
            answer,
        };
        let queued = match &self.queue {
            Some(queue) => queue.try_send(request),
            None => Err(TrySendError::Disconnected(request)),
        };
        match queued {
            Ok(()) => Ok(answered),
            Err(refused) => {
                self.bytes_queued.fetch_sub(bytes, Ordering::Relaxed);
                Err(match refused {
                    TrySendError::Full(_) => WriteError::Overloaded,
                    TrySendError::Disconnected(_) => WriteError::Failed(Failure::Closed),
                })
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to write.
            drop(thread.join());
        }
    }
}

struct Worker {
    file: Arc<StorageFile>,
    requests: Receiver<Request>,
    bytes_queued: Arc<AtomicUsize>,
    notices: broadcast::Sender<Notice>,
}

impl Worker {
    fn run(self) {
        loop {
            let first = if self.file.is_open() {
                self.requests
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.requests.recv_timeout(REOPEN_INTERVAL)
            };
            match first {
                Ok(first) => self.commit(self.gather(first)),
                Err(RecvTimeoutError::Timeout) => self.reopen(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes what waits behind `first`, up to the bound of a transaction.
    fn gather(&self, first: Request) -> Vec<Request> {
        let mut requests = vec![first];
        while requests.len() < CHANGES_COMMITTED_MAX {
            let Ok(request) = self.requests.try_recv() else {
                break;
            };
            requests.push(request);
        }
        requests
    }

    /// Makes the changes in one durable transaction, then tells and answers.
    fn commit(&self, requests: Vec<Request>) {
        let changes: Vec<&Change> = requests.iter().map(|request| &request.change).collect();
        let result = self
            .file
            .with_database(|database| apply(database, &changes));
        match &result {
            Ok(applied) => {
                for notice in &applied.notices {
                    // Nobody may be watching.
                    drop(self.notices.send(notice.clone()));
                }
            }
            Err(error) => {
                tracing::error!(path = ?self.file.path(), ?error, "changes of the state were not written");
                self.reopen();
            }
        }
        for (index, request) in requests.into_iter().enumerate() {
            self.bytes_queued
                .fetch_sub(request.bytes, Ordering::Relaxed);
            let answer = match &result {
                Ok(applied) => applied.answers[index].clone(),
                Err(failure) => Err(WriteError::Failed(failure.clone())),
            };
            // A caller that went away does not want it.
            drop(request.answer.send(answer));
        }
    }

    fn reopen(&self) {
        match self.file.reopen() {
            Ok(()) => tracing::info!(path = ?self.file.path(), "state store opened again"),
            Err(error) => {
                tracing::error!(path = ?self.file.path(), %error, "state store stays closed");
            }
        }
    }
}

struct Applied {
    answers: Vec<Answer>,
    notices: Vec<Notice>,
}

type Buckets<'t> = Table<'t, &'static str, &'static [u8]>;
type Entries<'t> = Table<'t, &'static [u8], &'static [u8]>;

/// Applies `changes` in order and syncs. A change that cannot be made has its own answer; an error of
/// the whole means that none was made.
fn apply(database: &Database, changes: &[&Change]) -> Result<Applied, Failure> {
    let mut transaction = database.begin_write().map_err(storage_failed)?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(|error| Failure::Storage(error.to_string()))?;
    let mut applied = Applied {
        answers: Vec::with_capacity(changes.len()),
        notices: Vec::new(),
    };
    {
        let mut buckets = transaction.open_table(BUCKETS).map_err(storage_failed)?;
        let mut entries = transaction.open_table(ENTRIES).map_err(storage_failed)?;
        for change in changes {
            let answer = match &change.action {
                Action::Make { created } => make(&mut buckets, &change.bucket, created)?,
                Action::Write {
                    key,
                    value,
                    expected,
                } => {
                    let write = Write {
                        bucket: &change.bucket,
                        key,
                        value: value.as_ref(),
                        expected: *expected,
                    };
                    write.apply(&mut buckets, &mut entries)?
                }
            };
            if let (Ok(Outcome::Done(revision)), Action::Write { key, value, .. }) =
                (&answer, &change.action)
            {
                applied.notices.push(Notice {
                    bucket: change.bucket.clone(),
                    record: Record {
                        key: key.clone(),
                        revision: *revision,
                        value: value.clone(),
                    },
                });
            }
            applied.answers.push(answer);
        }
    }
    transaction.commit().map_err(storage_failed)?;
    Ok(applied)
}

fn make(buckets: &mut Buckets<'_>, bucket: &BucketName, created: &str) -> Result<Answer, Failure> {
    let is_there = buckets
        .get(bucket.as_str())
        .map_err(storage_failed)?
        .is_some();
    if is_there {
        return Ok(Ok(Outcome::Nothing));
    }
    let incarnation = Incarnation {
        created: created.to_owned(),
        revision: 0,
    };
    let stored = layout::bucket_value(&incarnation);
    buckets
        .insert(bucket.as_str(), &stored[..])
        .map_err(storage_failed)?;
    Ok(Ok(Outcome::Done(0)))
}

struct Write<'a> {
    bucket: &'a BucketName,
    key: &'a Key,
    value: Option<&'a Bytes>,
    expected: Expected,
}

impl Write<'_> {
    fn apply(
        &self,
        buckets: &mut Buckets<'_>,
        entries: &mut Entries<'_>,
    ) -> Result<Answer, Failure> {
        let Some(mut incarnation) = read_incarnation(buckets, self.bucket)? else {
            return Ok(Err(WriteError::NoBucket));
        };
        let stored_key = layout::entry_key(self.bucket, self.key.as_str());
        let current = read_current(entries, &stored_key, self.key)?;
        let fits = match (self.expected, &current) {
            (Expected::Any, _) | (Expected::Absent, None) => true,
            (Expected::Revision(revision), Some(entry)) => entry.revision == revision,
            (Expected::Absent, Some(_)) | (Expected::Revision(_), None) => false,
        };
        if !fits {
            return Ok(Ok(Outcome::Conflict(current)));
        }
        if self.value.is_none() && current.is_none() {
            return Ok(Ok(Outcome::Nothing));
        }
        incarnation.revision += 1;
        let revision = incarnation.revision;
        match self.value {
            Some(value) => {
                let stored = layout::entry_value(revision, value);
                entries
                    .insert(&stored_key[..], &stored[..])
                    .map_err(storage_failed)?;
            }
            None => {
                entries.remove(&stored_key[..]).map_err(storage_failed)?;
            }
        }
        let stored = layout::bucket_value(&incarnation);
        buckets
            .insert(self.bucket.as_str(), &stored[..])
            .map_err(storage_failed)?;
        Ok(Ok(Outcome::Done(revision)))
    }
}

/// Reads which bucket this is from a table of buckets.
pub(super) fn read_incarnation(
    buckets: &impl ReadableTable<&'static str, &'static [u8]>,
    bucket: &BucketName,
) -> Result<Option<Incarnation>, Failure> {
    let stored = buckets.get(bucket.as_str()).map_err(storage_failed)?;
    stored
        .map(|stored| {
            layout::read_bucket(stored.value())
                .ok_or_else(|| Failure::Damaged(format!("the bucket {bucket} cannot be read")))
        })
        .transpose()
}

/// Reads the entry at `stored_key` from a table of entries.
pub(super) fn read_current(
    entries: &impl ReadableTable<&'static [u8], &'static [u8]>,
    stored_key: &[u8],
    key: &Key,
) -> Result<Option<Entry>, Failure> {
    let stored = entries.get(stored_key).map_err(storage_failed)?;
    stored
        .map(|stored| {
            let (revision, value) = layout::read_value(stored.value())
                .ok_or_else(|| Failure::Damaged(format!("the entry {key} cannot be read")))?;
            Ok(Entry {
                key: key.clone(),
                value: Bytes::copy_from_slice(value),
                revision,
            })
        })
        .transpose()
}
