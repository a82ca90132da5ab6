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
    let subscribed = lattice.subscribe(&inbox).await;
    let messages = subscribed.map_err(|error| failed(ApiError::from(RequestError::from(error))))?;
    let consumer = api.create_reader(bucket).await.map_err(failed)?;
    let reading = Reading {
        api,
        bucket,
        subject: api.next_subject(bucket, &consumer),
        inbox,
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
    inbox: String,
    messages: Subscription,
    refusals: broadcast::Receiver<Arc<str>>,
    records: HashMap<Key, Record>,
    bytes: usize,
}

/// What ended a batch.
enum BatchEnd {
    More,
    NothingLeft,
}

impl Reading<'_> {
    async fn run(mut self) -> Result<HashMap<Key, Record>, StoreError> {
        let bytes = BATCH_BYTES_MIN.max(2 * self.api.lattice().max_payload());
        loop {
            let batch = Batch {
                messages: BATCH_MESSAGES,
                bytes,
            };
            let asked = self.api.next_batch(&self.subject, &self.inbox, batch).await;
            asked.map_err(|error| error.into_store_error(self.bucket))?;
            if let BatchEnd::NothingLeft = self.batch().await? {
                return Ok(self.records);
            }
        }
    }

    async fn batch(&mut self) -> Result<BatchEnd, StoreError> {
        for _ in 0..BATCH_MESSAGES {
            let message = self.next().await?;
            match message.status {
                None => self.take(message)?,
                Some(STATUS_NO_MESSAGES | STATUS_WAIT_OVER) => return Ok(BatchEnd::NothingLeft),
                // The bytes of the batch are used up; or the consumer is gone, which the next
                // request tells.
                Some(STATUS_TERMINATED) => return Ok(BatchEnd::More),
                Some(_) => return Err(self.failed(RequestError::ConnectionLost)),
            }
        }
        Ok(BatchEnd::More)
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
