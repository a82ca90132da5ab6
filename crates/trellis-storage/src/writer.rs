//! The one thread that writes a file: group commit.
//!
//! The queue is bounded in changes and bytes; a full one refuses. While the thread waits for the
//! disk, changes gather; the next transaction takes them all and syncs once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use redb::{Database, Durability, WriteTransaction};
use tokio::sync::oneshot;

use crate::errors::{Failure, OpenError, WriteError};
use crate::file::StorageFile;

/// What a change costs in the queue beyond its own bytes.
pub const CHANGE_OVERHEAD_BYTES: usize = 128;
/// How long after a failed attempt to open the file again the next one is made.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// The changes of one file: what they are and how each is made. It lives on the writing thread, and
/// is dropped when that ends.
pub trait Changes: Send + 'static {
    /// One change, made as a whole or not at all.
    type Change: Send + 'static;
    /// What a change came to; also why it could not be made, where others can.
    type Outcome: Send + 'static;
    /// The tables in which changes are made.
    type Tables<'t>;

    /// Returns how many bytes of keys and values `change` keeps while it waits.
    fn bytes(change: &Self::Change) -> usize;

    /// Opens the tables for the changes of one transaction.
    ///
    /// # Errors
    /// When the storage fails.
    fn open(transaction: &WriteTransaction) -> Result<Self::Tables<'_>, Failure>;

    /// Makes `change`, after those before it in the same transaction.
    ///
    /// # Errors
    /// When the storage fails. Then no change of the transaction is made.
    fn apply(
        tables: &mut Self::Tables<'_>,
        change: &Self::Change,
    ) -> Result<Self::Outcome, Failure>;

    /// Called for each change, in their order, when it is on the disk and not yet answered.
    fn committed(&self, _change: &Self::Change, _outcome: &Self::Outcome) {}
}

/// The bounds of a [`Writer`].
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Changes that wait for the disk. One more is refused.
    pub changes_queued_max: usize,
    /// Bytes that wait for the disk, counted with [`CHANGE_OVERHEAD_BYTES`] for each change. More
    /// are refused.
    pub bytes_queued_max: usize,
    /// Changes of one transaction.
    pub changes_committed_max: usize,
    /// Bytes after which a transaction takes no further change.
    pub bytes_committed_max: usize,
}

/// The way to the thread that writes one file. Dropping it waits until everything queued is on the
/// disk.
pub struct Writer<C: Changes> {
    /// `None` only while dropping.
    queue: Option<SyncSender<Request<C>>>,
    bytes_queued: Arc<AtomicUsize>,
    bytes_queued_max: usize,
    thread: Option<JoinHandle<()>>,
}

struct Request<C: Changes> {
    change: C::Change,
    bytes: usize,
    answer: oneshot::Sender<Result<C::Outcome, WriteError>>,
}

impl<C: Changes> Writer<C> {
    /// Starts the thread that makes `changes` in `file`.
    ///
    /// # Errors
    /// [`OpenError::Thread`] when the system has none to give.
    pub fn start(file: Arc<StorageFile>, changes: C, bounds: Bounds) -> Result<Self, OpenError> {
        let path = file.path().to_owned();
        let name = format!("{}-writer", file.schema().name);
        let (mut writer, requests) = Self::unattended(bounds);
        let worker = Worker {
            file,
            changes,
            bounds,
            requests,
            bytes_queued: Arc::clone(&writer.bytes_queued),
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || worker.run());
        writer.thread = Some(thread.map_err(|source| OpenError::Thread { path, source })?);
        Ok(writer)
    }

    /// Returns a writer and the other end of its queue.
    fn unattended(bounds: Bounds) -> (Self, Receiver<Request<C>>) {
        let (queue, requests) = sync_channel(bounds.changes_queued_max);
        let writer = Self {
            queue: Some(queue),
            bytes_queued: Arc::default(),
            bytes_queued_max: bounds.bytes_queued_max,
            thread: None,
        };
        (writer, requests)
    }

    /// Queues `change` and waits until it is on the disk.
    ///
    /// # Errors
    /// At once when the queue is full; later when the file failed. In both cases nothing was changed.
    ///
    /// # Cancel safety
    /// When the future is dropped, the change is made or not, as a whole.
    pub async fn write(&self, change: C::Change) -> Result<C::Outcome, WriteError> {
        let (answer, answered) = oneshot::channel();
        let bytes = CHANGE_OVERHEAD_BYTES + C::bytes(&change);
        self.enqueue(Request {
            change,
            bytes,
            answer,
        })?;
        answered.await.unwrap_or(Err(Failure::Closed.into()))
    }

    fn enqueue(&self, request: Request<C>) -> Result<(), WriteError> {
        let bytes = request.bytes;
        let reserved =
            self.bytes_queued
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| {
                    sum.checked_add(bytes)
                        .filter(|sum| *sum <= self.bytes_queued_max)
                });
        if reserved.is_err() {
            return Err(WriteError::Overloaded);
        }
        let queued = match &self.queue {
            Some(queue) => queue.try_send(request),
            None => Err(TrySendError::Disconnected(request)),
        };
        queued.map_err(|refused| {
            self.bytes_queued.fetch_sub(bytes, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => WriteError::Overloaded,
                TrySendError::Disconnected(_) => Failure::Closed.into(),
            }
        })
    }
}

impl<C: Changes> Drop for Writer<C> {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to write.
            drop(thread.join());
        }
    }
}

struct Worker<C: Changes> {
    file: Arc<StorageFile>,
    changes: C,
    bounds: Bounds,
    requests: Receiver<Request<C>>,
    bytes_queued: Arc<AtomicUsize>,
}

impl<C: Changes> Worker<C> {
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
    fn gather(&self, first: Request<C>) -> Vec<Request<C>> {
        let mut bytes = first.bytes;
        let mut requests = vec![first];
        while requests.len() < self.bounds.changes_committed_max
            && bytes < self.bounds.bytes_committed_max
        {
            let Ok(request) = self.requests.try_recv() else {
                break;
            };
            bytes += request.bytes;
            requests.push(request);
        }
        requests
    }

    /// Makes the changes in one durable transaction, then tells and answers.
    fn commit(&self, requests: Vec<Request<C>>) {
        let made = self
            .file
            .with_database(|database| apply::<C>(database, &requests));
        match made {
            Ok(outcomes) => {
                for (request, outcome) in requests.iter().zip(&outcomes) {
                    self.changes.committed(&request.change, outcome);
                }
                for (request, outcome) in requests.into_iter().zip(outcomes) {
                    self.answer(request, Ok(outcome));
                }
            }
            Err(failure) => {
                tracing::error!(
                    store = self.file.schema().name,
                    path = ?self.file.path(),
                    error = %failure,
                    "changes were not written"
                );
                self.reopen();
                for request in requests {
                    self.answer(request, Err(failure.clone().into()));
                }
            }
        }
    }

    fn answer(&self, request: Request<C>, answer: Result<C::Outcome, WriteError>) {
        self.bytes_queued
            .fetch_sub(request.bytes, Ordering::Relaxed);
        // A caller that went away does not want it.
        drop(request.answer.send(answer));
    }

    fn reopen(&self) {
        let (store, path) = (self.file.schema().name, self.file.path());
        match self.file.reopen() {
            Ok(()) => tracing::info!(store, ?path, "store opened again"),
            Err(error) => tracing::error!(store, ?path, %error, "store stays closed"),
        }
    }
}

/// Makes the changes in their order and syncs. An error means that none was made.
fn apply<C: Changes>(
    database: &Database,
    requests: &[Request<C>],
) -> Result<Vec<C::Outcome>, Failure> {
    let mut transaction = database.begin_write()?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(|error| Failure::Storage(error.to_string()))?;
    let outcomes = {
        let mut tables = C::open(&transaction)?;
        let made = requests
            .iter()
            .map(|request| C::apply(&mut tables, &request.change));
        made.collect::<Result<Vec<_>, _>>()?
    };
    transaction.commit()?;
    Ok(outcomes)
}

#[cfg(test)]
mod tests;
