//! The part of the JetStream API that buckets need, as requests over the handle, so that each of
//! them has the handle's deadlines and typed failures.
//!
//! Subjects, fields and codes are those of the NATS documentation (ADR-8 for buckets); they have been
//! the same since server 2.9.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use trellis_core::ChangeId;

use super::super::view::Record;
use super::super::{BucketName, CHANGES_REMEMBERED_FOR, Key, Once};
use super::BucketDefaults;
use super::api_error::ApiError;
use crate::lattice::Lattice;
use crate::message::{Headers, Message};

/// How long one request to JetStream may take. A cluster elects a new leader in less.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server keeps a consumer that nobody reads: longer than a short interruption, short
/// enough that a fleet that comes back leaves no pile of them.
const CONSUMER_IDLE_MAX: Duration = Duration::from_secs(10);

const HEADER_OPERATION: &str = "KV-Operation";
const OPERATION_PURGE: &str = "PURGE";
const HEADER_MARKER_REASON: &str = "Nats-Marker-Reason";

/// The state of a stream, as far as it tells one content from another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct StreamState {
    messages: u64,
    first_seq: u64,
    pub(super) last_seq: u64,
    first_ts: String,
    last_ts: String,
}

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct StreamInfo {
    pub(super) created: String,
    pub(super) state: StreamState,
}

#[derive(Deserialize)]
struct Failure {
    error: Option<FailureDetail>,
}

#[derive(Deserialize)]
struct FailureDetail {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Acknowledged {
    seq: u64,
    /// A message with the same id is in the stream already, and this one is not.
    #[serde(default)]
    duplicate: bool,
}

#[derive(Deserialize)]
struct ConsumerCreated {
    name: String,
}

#[derive(Deserialize)]
struct MessageFound {
    message: StoredMessage,
}

#[derive(Deserialize)]
struct StoredMessage {
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

/// Which change of a value is published.
pub(super) enum Write {
    /// A value.
    Put(Bytes),
    /// The marker of a deletion.
    Delete,
    /// The marker of a purge, which takes the key's history with it.
    Purge,
}

/// Under what conditions a change is made.
#[derive(Clone, Copy, Default)]
pub(super) struct Conditions<'a> {
    /// The last change of the key has this revision; 0 says that there is none.
    pub(super) revision: Option<u64>,
    /// No change with this id was made before.
    pub(super) id: Option<&'a ChangeId>,
}

/// Requests to the JetStream of one domain.
#[derive(Clone)]
pub(super) struct Api {
    lattice: Lattice,
    /// `$JS.API`, or that of the domain.
    prefix: String,
    /// What stands before the subject of a key when it is written: a domain is reached through its
    /// API, other buckets by their own subjects.
    put_prefix: String,
}

impl Api {
    pub(super) fn new(lattice: Lattice) -> Self {
        let (prefix, put_prefix) = match lattice.jetstream_domain() {
            Some(domain) => (format!("$JS.{domain}.API"), format!("$JS.{domain}.API.")),
            None => ("$JS.API".to_owned(), String::new()),
        };
        Self {
            lattice,
            prefix,
            put_prefix,
        }
    }

    pub(super) fn lattice(&self) -> &Lattice {
        &self.lattice
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        body: Option<Value>,
    ) -> Result<T, ApiError> {
        let subject = format!("{}.{operation}", self.prefix);
        let body = body.map(|body| Bytes::from(body.to_string()));
        let answer =
            self.lattice
                .request(&subject, None, body.unwrap_or_default(), REQUEST_TIMEOUT);
        decode(&answer.await?.payload)
    }

    pub(super) async fn stream_info(&self, bucket: &BucketName) -> Result<StreamInfo, ApiError> {
        self.call(&format!("STREAM.INFO.KV_{bucket}"), None).await
    }

    /// Makes the stream of a bucket as clients of NATS 1.x hosts make theirs.
    pub(super) async fn create_stream(
        &self,
        bucket: &BucketName,
        defaults: &BucketDefaults,
    ) -> Result<(), ApiError> {
        let bytes_max = defaults
            .bytes_max
            .and_then(|bytes| i64::try_from(bytes).ok());
        let config = json!({
            "name": format!("KV_{bucket}"),
            "subjects": [format!("$KV.{bucket}.>")],
            "retention": "limits",
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": bytes_max.unwrap_or(-1),
            "max_age": 0,
            "max_msgs_per_subject": 1,
            "max_msg_size": -1,
            "discard": "new",
            "storage": "file",
            "num_replicas": defaults.replicas,
            "duplicate_window": nanoseconds(CHANGES_REMEMBERED_FOR),
            "allow_direct": true,
            "allow_rollup_hdrs": true,
            "deny_delete": true,
            "deny_purge": false,
        });
        let operation = format!("STREAM.CREATE.KV_{bucket}");
        self.call::<StreamInfo>(&operation, Some(config))
            .await
            .map(drop)
    }

    /// Returns the last message of a key: of the leader, so that a writer reads what it wrote.
    pub(super) async fn last(
        &self,
        bucket: &BucketName,
        key: &Key,
    ) -> Result<Option<Record>, ApiError> {
        let operation = format!("STREAM.MSG.GET.KV_{bucket}");
        let body = json!({ "last_by_subj": format!("$KV.{bucket}.{key}") });
        let found: MessageFound = match self.call(&operation, Some(body)).await {
            Ok(found) => found,
            Err(error) if error.is_message_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let headers = from_base64(&found.message.hdrs)?;
        let headers = String::from_utf8_lossy(&headers).to_ascii_lowercase();
        let value = from_base64(&found.message.data)?;
        Ok(Some(Record {
            key: key.clone(),
            revision: found.message.seq,
            value: (!is_marker_text(&headers)).then(|| value.into()),
        }))
    }

    /// Publishes a change; returns its revision. Of a repeated one the answer is a success, too.
    pub(super) async fn write(
        &self,
        bucket: &BucketName,
        key: &Key,
        write: &Write,
        conditions: Conditions<'_>,
    ) -> Result<Once<u64>, ApiError> {
        let subject = format!("{}$KV.{bucket}.{key}", self.put_prefix);
        let mut fields = Vec::with_capacity(4);
        let (payload, operation) = match write {
            Write::Put(value) => (value.clone(), None),
            Write::Delete => (Bytes::new(), Some("DEL")),
            Write::Purge => (Bytes::new(), Some(OPERATION_PURGE)),
        };
        if let Some(operation) = operation {
            fields.push((HEADER_OPERATION, operation.to_owned()));
            if operation == OPERATION_PURGE {
                fields.push(("Nats-Rollup", "sub".to_owned()));
            }
        }
        if let Some(id) = conditions.id {
            fields.push(("Nats-Msg-Id", id.to_string()));
        }
        if let Some(revision) = conditions.revision {
            fields.push(("Nats-Expected-Last-Subject-Sequence", revision.to_string()));
        }
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers
                .insert(name, &value)
                .map_err(|error| ApiError::Malformed {
                    reason: error.to_string(),
                })?;
        }
        let answer = self
            .lattice
            .request(&subject, Some(headers), payload, REQUEST_TIMEOUT)
            .await?;
        let acknowledged: Acknowledged = decode(&answer.payload)?;
        Ok(match acknowledged.duplicate {
            true => Once::Before,
            false => Once::Now(acknowledged.seq),
        })
    }

    /// Makes a consumer that hands out the last message of every key; returns its name.
    pub(super) async fn create_reader(&self, bucket: &BucketName) -> Result<String, ApiError> {
        let mut config = consumer_config("last_per_subject");
        config["filter_subject"] = format!("$KV.{bucket}.>").into();
        config["description"] = "trellis reading a bucket".into();
        self.create_consumer(bucket, config).await
    }

    /// Makes a consumer that sends every new message to `inbox`; returns its name.
    pub(super) async fn create_feed(
        &self,
        bucket: &BucketName,
        inbox: &str,
        heartbeat: Duration,
    ) -> Result<String, ApiError> {
        let mut config = consumer_config("new");
        config["deliver_subject"] = inbox.into();
        config["idle_heartbeat"] = nanoseconds(heartbeat).into();
        config["flow_control"] = true.into();
        config["description"] = "trellis watching a bucket".into();
        self.create_consumer(bucket, config).await
    }

    async fn create_consumer(
        &self,
        bucket: &BucketName,
        config: Value,
    ) -> Result<String, ApiError> {
        let body = json!({ "stream_name": format!("KV_{bucket}"), "config": config });
        let operation = format!("CONSUMER.CREATE.KV_{bucket}");
        let created: ConsumerCreated = self.call(&operation, Some(body)).await?;
        Ok(created.name)
    }

    /// Returns the subject on which the messages of a reader are asked for.
    pub(super) fn next_subject(&self, bucket: &BucketName, consumer: &str) -> String {
        format!("{}.CONSUMER.MSG.NEXT.KV_{bucket}.{consumer}", self.prefix)
    }

    /// Asks on `subject` for the next messages of a reader, to `inbox`: as many as are there now.
    pub(super) async fn next_batch(
        &self,
        subject: &str,
        inbox: &str,
        batch: Batch,
    ) -> Result<(), ApiError> {
        let body = json!({
            "batch": batch.messages,
            "max_bytes": batch.bytes,
            "no_wait": true,
        });
        self.lattice
            .publish_with_reply(subject, inbox, None, body.to_string().into())
            .await
            .map_err(|error| ApiError::Request(error.into()))
    }

    /// Tells the server that a consumer is not needed any more. Nobody waits for it: where it is lost,
    /// the consumer ends by itself.
    pub(super) async fn forget_consumer(&self, bucket: &BucketName, consumer: &str) {
        let subject = format!("{}.CONSUMER.DELETE.KV_{bucket}.{consumer}", self.prefix);
        drop(self.lattice.publish(&subject, None, Bytes::new()).await);
    }
}

/// How much one batch of a reader has at most.
pub(super) struct Batch {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// What both kinds of consumers have in common: nothing is acknowledged, nothing is kept.
fn consumer_config(deliver_policy: &str) -> Value {
    json!({
        "deliver_policy": deliver_policy,
        "ack_policy": "none",
        "replay_policy": "instant",
        "max_deliver": 1,
        "mem_storage": true,
        "num_replicas": 1,
        "inactive_threshold": nanoseconds(CONSUMER_IDLE_MAX),
    })
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn from_base64(text: &str) -> Result<Vec<u8>, ApiError> {
    STANDARD.decode(text).map_err(|error| ApiError::Malformed {
        reason: error.to_string(),
    })
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ApiError> {
    let malformed = |error: serde_json::Error| ApiError::Malformed {
        reason: error.to_string(),
    };
    let failure: Failure = serde_json::from_slice(payload).map_err(malformed)?;
    match failure.error {
        None => serde_json::from_slice(payload).map_err(malformed),
        Some(error) => Err(ApiError::Failed {
            status: error.code,
            code: error.err_code,
            description: error.description,
        }),
    }
}

/// Says whether the lower-cased raw headers of a message mark a deletion.
fn is_marker_text(headers: &str) -> bool {
    headers.lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            let (name, value) = (name.trim(), value.trim());
            (name.eq_ignore_ascii_case(HEADER_OPERATION) && value != "put")
                || name.eq_ignore_ascii_case(HEADER_MARKER_REASON)
        })
    })
}

/// A message of a consumer: what it says, and its place.
pub(super) struct Delivered {
    /// `None` where its subject is no key; others may write what they like under a bucket.
    pub(super) record: Option<Record>,
    /// Its number among the messages of its consumer.
    pub(super) place: u64,
}

/// Reads a message of a consumer of `bucket`.
pub(super) fn delivered(bucket: &BucketName, message: Message) -> Option<Delivered> {
    let (revision, place) = numbers(message.reply.as_deref()?)?;
    let key = message
        .subject
        .strip_prefix("$KV.")
        .and_then(|rest| rest.strip_prefix(bucket.as_str()))
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(|key| Key::new(key).ok());
    let removed = message.headers.get(HEADER_MARKER_REASON).is_some()
        || message
            .headers
            .get(HEADER_OPERATION)
            .is_some_and(|operation| operation != "PUT");
    let value = message.payload;
    let record = key.map(|key| Record {
        key,
        revision,
        value: (!removed).then_some(value),
    });
    Some(Delivered { record, place })
}

/// Reads the stream's and the consumer's number of a message from the subject of its
/// acknowledgement: `$JS.ACK.stream.consumer.tries.stream number.consumer number.time.pending`, or
/// the form with domain and account before the stream.
fn numbers(reply: &str) -> Option<(u64, u64)> {
    let mut tokens = reply.strip_prefix("$JS.ACK.")?.split('.');
    let count = tokens.clone().count();
    let before = if count >= 9 { 5 } else { 3 };
    let revision = tokens.nth(before)?.parse().ok()?;
    let place = tokens.next()?.parse().ok()?;
    Some((revision, place))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_found_in_both_forms() {
        let short = "$JS.ACK.KV_B.cons.1.1047.12.1795242188472697941.9";
        assert_eq!(numbers(short), Some((1_047, 12)));
        let long = "$JS.ACK.hub.ACCHASH.KV_B.cons.1.1047.12.1795242188472697941.9.token";
        assert_eq!(numbers(long), Some((1_047, 12)));
        for bad in [
            "",
            "$JS.ACK.",
            "$JS.ACK.a.b.c.d",
            "_INBOX.a",
            "$JS.ACK.s.c.1.x.2.3.4",
        ] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
    }

    #[test]
    fn errors_in_answers_are_told_apart() {
        let failed = |text: &str| decode::<Acknowledged>(text.as_bytes()).err().unwrap();
        let revision = r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 2"},"stream":"KV_B","seq":0}"#;
        assert!(failed(revision).is_wrong_revision());
        let full =
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#;
        assert!(failed(full).is_full());
        assert!(matches!(failed("<html>"), ApiError::Malformed { .. }));
        assert!(matches!(failed("{}"), ApiError::Malformed { .. }));
    }

    #[test]
    fn a_marker_is_told_from_a_value() {
        assert!(is_marker_text("nats/1.0\r\nkv-operation: del\r\n\r\n"));
        assert!(is_marker_text(
            "nats/1.0\r\nnats-marker-reason: MaxAge\r\n\r\n"
        ));
        assert!(!is_marker_text("nats/1.0\r\nkv-operation: put\r\n\r\n"));
        assert!(!is_marker_text(""));
    }
}
