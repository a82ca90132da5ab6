//! The one thread that writes: group commit.
//!
//! The queue is bounded in changes and bytes; a full one refuses. While the thread waits for the
//! disk, changes gather; the next transaction takes them all.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use redb::{Database, Durability, ReadableTable};
use tokio::sync::oneshot;

use super::super::{BATCH_BYTES_MAX, KeyValueError, incremented};
use super::file::{ENTRIES, StorageFile, storage_failed};

/// Changes that wait for the disk. At one sync in 5 ms (a common SSD) and 1,024 changes a sync, the
/// last of them waits 20 ms.
const CHANGES_QUEUED_MAX: usize = 4_096;
/// Bytes that wait for the disk: two batches of the greatest size, or many small changes.
const BYTES_QUEUED_MAX: usize = 2 * BATCH_BYTES_MAX;
/// Changes of one transaction: past this the sync is a small part of the cost.
const CHANGES_COMMITTED_MAX: usize = 1_024;
/// Bytes after which a transaction takes no further change, so that small changes do not wait for
/// many large ones.
const BYTES_COMMITTED_MAX: usize = 16 << 20;
/// How long after a failed attempt to open the file again the next one is made.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);
/// What a change costs in the queue beyond its keys and values.
const CHANGE_OVERHEAD_BYTES: usize = 128;

/// One change of the table, done as a whole or not at all.
pub(super) enum Change {
    /// Sets every key to its value.
    Set(Vec<(Box<[u8]>, Bytes)>),
    /// Removes the keys.
    Delete(Vec<Box<[u8]>>),
    /// Adds to the number at a key.
    Increment { key: Box<[u8]>, delta: u64 },
}

impl Change {
    fn bytes(&self) -> usize {
        CHANGE_OVERHEAD_BYTES
            + match self {
                Self::Set(pairs) => pairs
                    .iter()
                    .map(|(key, value)| key.len() + value.len())
                    .sum(),
                Self::Delete(keys) => keys.iter().map(|key| key.len()).sum(),
                Self::Increment { key, .. } => key.len(),
            }
    }
}

/// What a change came to.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// It was made.
    Done,
    /// The number now at the key.
    Sum(u64),
}

type Answer = Result<Outcome, KeyValueError>;

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
}

impl Writer {
    pub(super) fn start(file: Arc<StorageFile>) -> io::Result<Self> {
        let (queue, requests) = sync_channel(CHANGES_QUEUED_MAX);
        let bytes_queued = Arc::new(AtomicUsize::new(0));
        let worker = Worker {
            file,
            requests,
            bytes_queued: Arc::clone(&bytes_queued),
        };
        let thread = thread::Builder::new()
            .name("keyvalue-writer".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            queue: Some(queue),
            bytes_queued,
            thread: Some(thread),
        })
    }

    /// Queues `change` and waits until it is on the disk.
    pub(super) async fn submit(&self, change: Change) -> Answer {
        let (answer, answered) = oneshot::channel();
        let bytes = change.bytes();
        let reserved =
            self.bytes_queued
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| {
                    sum.checked_add(bytes)
                        .filter(|sum| *sum <= BYTES_QUEUED_MAX)
                });
        if reserved.is_err() {
            return Err(KeyValueError::Overloaded);
        }
        let queue = self.queue.as_ref().ok_or(KeyValueError::Unavailable)?;
        if let Err(refused) = queue.try_send(Request {
            change,
            bytes,
            answer,
        }) {
            self.bytes_queued.fetch_sub(bytes, Ordering::Relaxed);
            return Err(match refused {
                TrySendError::Full(_) => KeyValueError::Overloaded,
                TrySendError::Disconnected(_) => KeyValueError::Unavailable,
            });
        }
        answered.await.unwrap_or(Err(KeyValueError::Unavailable))
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

    /// Takes what waits behind `first`, up to the bounds of a transaction.
    fn gather(&self, first: Request) -> Vec<Request> {
        let mut bytes = first.bytes;
        let mut requests = vec![first];
        while requests.len() < CHANGES_COMMITTED_MAX && bytes < BYTES_COMMITTED_MAX {
            let Ok(request) = self.requests.try_recv() else {
                break;
            };
            bytes += request.bytes;
            requests.push(request);
        }
        requests
    }

    /// Makes the changes in one durable transaction, then answers them.
    fn commit(&self, requests: Vec<Request>) {
        let changes: Vec<&Change> = requests.iter().map(|request| &request.change).collect();
        let result = self
            .file
            .with_database(|database| apply(database, &changes));
        if let Err(error) = &result {
            tracing::error!(path = ?self.file.path(), %error, "key-value changes were not written");
            self.reopen();
        }
        for (index, request) in requests.into_iter().enumerate() {
            self.bytes_queued
                .fetch_sub(request.bytes, Ordering::Relaxed);
            let answer = match &result {
                Ok(answers) => answers[index].clone(),
                Err(error) => Err(error.clone()),
            };
            // A caller that went away does not want it.
            drop(request.answer.send(answer));
        }
    }

    fn reopen(&self) {
        match self.file.reopen() {
            Ok(()) => tracing::info!(path = ?self.file.path(), "key-value store opened again"),
            Err(error) => {
                tracing::error!(path = ?self.file.path(), %error, "key-value store stays closed");
            }
        }
    }
}

/// Applies `changes` in order and syncs. A change that cannot be made has its own error among the
/// answers; an error of the whole means that none was made.
fn apply(database: &Database, changes: &[&Change]) -> Result<Vec<Answer>, KeyValueError> {
    let mut transaction = database.begin_write().map_err(storage_failed)?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(|error| KeyValueError::Storage {
            reason: error.to_string(),
        })?;
    let mut answers = Vec::with_capacity(changes.len());
    {
        let mut table = transaction.open_table(ENTRIES).map_err(storage_failed)?;
        for change in changes {
            answers.push(apply_one(&mut table, change).map_err(storage_failed)?);
        }
    }
    transaction.commit().map_err(storage_failed)?;
    Ok(answers)
}

fn apply_one(
    table: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    change: &Change,
) -> Result<Answer, redb::StorageError> {
    match change {
        Change::Set(pairs) => {
            for (key, value) in pairs {
                table.insert(&key[..], &value[..])?;
            }
        }
        Change::Delete(keys) => {
            for key in keys {
                table.remove(&key[..])?;
            }
        }
        Change::Increment { key, delta } => {
            let sum = {
                let current = table.get(&key[..])?;
                incremented(current.as_ref().map(|value| value.value()), *delta)
            };
            return match sum {
                Ok(sum) => {
                    table.insert(&key[..], sum.to_string().as_bytes())?;
                    Ok(Ok(Outcome::Sum(sum)))
                }
                Err(error) => Ok(Err(error)),
            };
        }
    }
    Ok(Ok(Outcome::Done))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// A writer whose thread never takes anything.
    fn stuck() -> (Writer, Receiver<Request>) {
        let (queue, requests) = sync_channel(CHANGES_QUEUED_MAX);
        let bytes_queued = Arc::new(AtomicUsize::new(0));
        (
            Writer {
                queue: Some(queue),
                bytes_queued,
                thread: None,
            },
            requests,
        )
    }

    fn set(bytes: usize) -> Change {
        Change::Set(vec![(Box::default(), vec![0; bytes].into())])
    }

    fn submit(writer: &Writer, change: Change) -> Poll<Result<(), KeyValueError>> {
        let mut context = Context::from_waker(Waker::noop());
        pin!(writer.submit(change)).poll(&mut context).map_ok(drop)
    }

    #[test]
    fn a_full_queue_refuses_at_once() {
        let (writer, requests) = stuck();
        for _ in 0..CHANGES_QUEUED_MAX {
            assert!(submit(&writer, set(1)).is_pending());
        }
        assert_eq!(
            submit(&writer, set(1)),
            Poll::Ready(Err(KeyValueError::Overloaded))
        );
        let counted = CHANGES_QUEUED_MAX * (CHANGE_OVERHEAD_BYTES + 1);
        assert_eq!(writer.bytes_queued.load(Ordering::Relaxed), counted);
        drop(requests);
        assert_eq!(
            submit(&writer, set(1)),
            Poll::Ready(Err(KeyValueError::Unavailable))
        );
    }

    #[test]
    fn large_changes_fill_the_queue_by_their_bytes() {
        let (writer, _requests) = stuck();
        let half = BYTES_QUEUED_MAX / 2 - CHANGE_OVERHEAD_BYTES;
        assert!(submit(&writer, set(half)).is_pending());
        assert!(submit(&writer, set(half)).is_pending());
        assert_eq!(
            submit(&writer, set(0)),
            Poll::Ready(Err(KeyValueError::Overloaded))
        );
    }
}
