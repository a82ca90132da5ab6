//! Two ways to the messages of a bucket: everything that is there, and everything new.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::super::view::Record;
use super::super::{BYTES_LISTED_MAX, BucketName, ENTRIES_LISTED_MAX, Key, StoreError};
use super::api::{Api, Batch, delivered};
use super::api_error::ApiError;
use crate::lattice::{RequestError, Subscription, refused};
use crate::message::Message;

/// Messages of one batch of a reading.
const BATCH_MESSAGES: usize = 256;
/// Bytes of one batch of a reading, or twice the largest message where that is more.
const BATCH_BYTES_MIN: usize = 4 << 20;
/// Batches in a row that may end before their first message: each is a round trip, and a server that
/// ends one because its leader moves has another within a few.
const BATCHES_EMPTY_MAX: u32 = 16;
/// How long a reading waits for its next message.
const MESSAGE_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a reading may take as a whole.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Heartbeats that may be missing before a feed counts as dead.
const HEARTBEATS_MISSED_MAX: u32 = 3;
/// The shortest heartbeat that servers admit.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

const STATUS_INFORMATION: u16 = 100;
const STATUS_NO_MESSAGES: u16 = 404;
const STATUS_WAIT_OVER: u16 = 408;
const STATUS_TERMINATED: u16 = 409;

/// Reads the last change of every key of `bucket`, deletions too.
pub(super) async fn read_all(
    api: &Api,
    bucket: &BucketName,
) -> Result<HashMap<Key, Record>, StoreError> {
    let failed = |error: ApiError| error.into_store_error(bucket);
    let lattice = api.lattice();
    let inbox = lattice.new_inbox();
    let subscribed = lattice.subscribe(&format!("{inbox}.*")).await;
    let messages = subscribed.map_err(|error| failed(ApiError::from(RequestError::from(error))))?;
    let consumer = api.create_reader(bucket).await.map_err(failed)?;
    let reading = Reading {
        api,
        bucket,
        subject: api.next_subject(bucket, &consumer),
        inbox,
        batches: 0,
        messages,
        refusals: lattice.refusals(),
        records: HashMap::new(),
        bytes: 0,
    };
    let records = match tokio::time::timeout(READ_TIMEOUT, reading.run()).await {
        Ok(records) => records,
        Err(_) => Err(silent(bucket, READ_TIMEOUT)),
    };
    api.forget_consumer(bucket, &consumer).await;
    records
}

fn silent(bucket: &BucketName, after: Duration) -> StoreError {
    let error = RequestError::Timeout {
        subject: format!("$KV.{bucket}.>"),
        after,
    };
    StoreError::Unavailable {
        bucket: bucket.clone(),
        source: error.into(),
    }
}

struct Reading<'a> {
    api: &'a Api,
    bucket: &'a BucketName,
    subject: String,
    /// Where the messages come to; each batch has a token of its own below it.
    inbox: String,
    /// Batches asked for so far; the number of the last one is its token.
    batches: u64,
    messages: Subscription,
    refusals: broadcast::Receiver<Arc<str>>,
    records: HashMap<Key, Record>,
    bytes: usize,
}

/// What ended a batch.
enum BatchEnd {
    /// So many messages came, or the server ended it with this status; more may be there.
    More {
        taken: usize,
        status: u16,
    },
    NothingLeft,
}

impl Reading<'_> {
    async fn run(mut self) -> Result<HashMap<Key, Record>, StoreError> {
        let mut empty = 0;
        loop {
            self.ask().await?;
            match self.batch().await? {
                BatchEnd::NothingLeft => return Ok(self.records),
                BatchEnd::More { taken: 0, status } => {
                    empty += 1;
                    if empty > BATCHES_EMPTY_MAX {
                        return Err(self.refused(status));
                    }
                }
                BatchEnd::More { .. } => empty = 0,
            }
        }
    }

    /// Asks for the next batch.
    async fn ask(&mut self) -> Result<(), StoreError> {
        let batch = Batch {
            messages: BATCH_MESSAGES,
            bytes: BATCH_BYTES_MIN.max(2 * self.api.lattice().max_payload()),
        };
        self.batches += 1;
        let reply = format!("{}.{}", self.inbox, self.batches);
        let asked = self.api.next_batch(&self.subject, &reply, batch).await;
        asked.map_err(|error| error.into_store_error(self.bucket))
    }

    /// Takes what comes until the batch that was asked for last has ended. Two batches at a time would
    /// make the server refuse the second, so the end of one must not pass for that of another.
    async fn batch(&mut self) -> Result<BatchEnd, StoreError> {
        let mut taken = 0;
        while taken < BATCH_MESSAGES {
            let message = self.next().await?;
            match message.status {
                None => {
                    self.take(message)?;
                    taken += 1;
                }
                // A server of today says behind a full batch that it is complete. By then we know.
                Some(_) if self.is_of_earlier_batch(&message.subject) => {}
                // The only status that says that everything has come.
                Some(STATUS_NO_MESSAGES) => return Ok(BatchEnd::NothingLeft),
                // The bytes of the batch are used up; or the consumer is gone, which the next
                // request tells; or the server still works on another batch, which ends by itself.
                Some(status @ (STATUS_WAIT_OVER | STATUS_TERMINATED)) => {
                    return Ok(BatchEnd::More { taken, status });
                }
                Some(_) => return Err(self.failed(RequestError::ConnectionLost)),
            }
        }
        let status = STATUS_TERMINATED;
        Ok(BatchEnd::More { taken, status })
    }

    /// Says whether a status is about a batch that was over when the last one was asked for: it comes on
    /// the subject that its batch was asked for with.
    fn is_of_earlier_batch(&self, subject: &str) -> bool {
        let token = subject
            .strip_prefix(self.inbox.as_str())
            .and_then(|rest| rest.strip_prefix('.'));
        let batch = token.and_then(|token| token.parse::<u64>().ok());
        batch.is_some_and(|batch| batch < self.batches)
    }

    fn refused(&self, status: u16) -> StoreError {
        StoreError::Refused {
            bucket: self.bucket.clone(),
            reason: "it ends every batch of a reading before the first message".to_owned(),
            code: status.into(),
        }
    }

    async fn next(&mut self) -> Result<Message, StoreError> {
        let message = tokio::select! {
            biased;
            message = self.messages.next() => message.ok_or(RequestError::ConnectionLost),
            () = refused(&mut self.refusals, &self.subject) => Err(RequestError::Denied {
                subject: self.subject.clone(),
            }),
            () = tokio::time::sleep(MESSAGE_WAIT_MAX) => Err(RequestError::Timeout {
                subject: self.subject.clone(),
                after: MESSAGE_WAIT_MAX,
            }),
        };
        message.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: RequestError) -> StoreError {
        ApiError::Request(error).into_store_error(self.bucket)
    }

    fn take(&mut self, message: Message) -> Result<(), StoreError> {
        let Some(record) = delivered(self.bucket, message).and_then(|it| it.record) else {
            return Ok(());
        };
        self.bytes += record.key.as_str().len() + record.value.as_ref().map_or(0, Bytes::len);
        let too_much = |what| StoreError::TooMuch {
            bucket: self.bucket.clone(),
            what,
        };
        if self.bytes > BYTES_LISTED_MAX {
            return Err(too_much("BYTES_LISTED_MAX"));
        }
        if self.records.len() >= ENTRIES_LISTED_MAX {
            return Err(too_much("ENTRIES_LISTED_MAX"));
        }
        // A key that changes while it is read comes again.
        self.records.insert(record.key.clone(), record);
        Ok(())
    }
}

/// Every new message of a bucket, as the server pushes them.
pub(super) struct Feed {
    messages: Subscription,
    api: Api,
    bucket: BucketName,
    consumer: String,
    taken: u64,
    heartbeat: Duration,
    dead_at: Instant,
}

/// What a feed says.
pub(super) enum Fed {
    /// A key changed.
    Record(Record),
    /// Something was lost on the way.
    Gap,
    /// Nothing comes any more.
    Dead,
}

impl Feed {
    pub(super) async fn open(
        api: &Api,
        bucket: &BucketName,
        heartbeat: Duration,
    ) -> Result<Self, StoreError> {
        let heartbeat = heartbeat.max(HEARTBEAT_MIN);
        let failed = |error: ApiError| error.into_store_error(bucket);
        let lattice = api.lattice();
        let inbox = lattice.new_inbox();
        let subscribed = lattice.subscribe(&inbox).await;
        let messages =
            subscribed.map_err(|error| failed(ApiError::from(RequestError::from(error))))?;
        let consumer = api.create_feed(bucket, &inbox, heartbeat).await;
        Ok(Self {
            messages,
            api: api.clone(),
            bucket: bucket.clone(),
            consumer: consumer.map_err(failed)?,
            taken: 0,
            heartbeat,
            dead_at: Instant::now() + heartbeat * HEARTBEATS_MISSED_MAX,
        })
    }

    /// Begins to count the server's silence anew: while others are waited for, nothing is read.
    pub(super) fn was_not_read(&mut self) {
        self.dead_at = Instant::now() + self.heartbeat * HEARTBEATS_MISSED_MAX;
    }

    /// Returns what comes next.
    ///
    /// # Cancel safety
    /// Cancelling loses nothing but a place in the count, which shows as a gap.
    pub(super) async fn next(&mut self) -> Fed {
        loop {
            let message = tokio::select! {
                biased;
                message = self.messages.next() => message,
                () = tokio::time::sleep_until(self.dead_at) => None,
            };
            let Some(message) = message else {
                return Fed::Dead;
            };
            self.was_not_read();
            match message.status {
                None => {
                    if let Some(fed) = self.take(message) {
                        return fed;
                    }
                }
                Some(STATUS_INFORMATION) => {
                    if self.is_behind(&message) {
                        return Fed::Gap;
                    }
                    self.answer_flow_control(message).await;
                }
                Some(_) => return Fed::Dead,
            }
        }
    }

    fn take(&mut self, message: Message) -> Option<Fed> {
        let delivered = delivered(&self.bucket, message)?;
        let in_place = delivered.place == self.taken + 1;
        self.taken = delivered.place;
        if in_place {
            delivered.record.map(Fed::Record)
        } else {
            Some(Fed::Gap) // and reading the bucket finds this change too
        }
    }

    /// A heartbeat tells how many messages the server has sent.
    fn is_behind(&mut self, heartbeat: &Message) -> bool {
        let sent = heartbeat.headers.get("Nats-Last-Consumer");
        match sent.and_then(|sent| sent.parse::<u64>().ok()) {
            Some(sent) if sent > self.taken => {
                self.taken = sent;
                true
            }
            _ => false,
        }
    }

    /// The server stops sending until it knows that what it sent has arrived.
    async fn answer_flow_control(&self, message: Message) {
        let stalled = message.headers.get("Nats-Consumer-Stalled");
        if let Some(subject) = message.reply.as_deref().or(stalled) {
            // Where it is lost, the feed stalls and counts as dead.
            drop(
                self.api
                    .lattice()
                    .publish(subject, None, Bytes::new())
                    .await,
            );
        }
    }

    pub(super) async fn close(self) {
        self.api.forget_consumer(&self.bucket, &self.consumer).await;
    }
}
