//! Readings of a bucket are whole, whatever happens meanwhile; and where a server cuts one, nobody
//! takes that for a loss.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use trellis_core::LatticeName;
use trellis_lattice::store::{
    Bucket, BucketDefaults, Change, Expected, JetStreamStore, Store, StoreError, WatchOptions,
};
use trellis_lattice::{Lattice, Settings, connect};

use crate::nats_server::{connected, with_jetstream};
use crate::scripted_server::{Answer, Published, Script, ScriptedServer};
use crate::store_behaviour::{key, name, told_put, told_reset};

/// More than one batch of a reading has, and more than are looked for one by one.
const KEYS: usize = 1_100;

async fn bucket(lattice: &Lattice) -> Arc<dyn Bucket> {
    let store = JetStreamStore::new(lattice.clone(), BucketDefaults::default());
    store.bucket(&name()).await.unwrap()
}

async fn put(bucket: &Arc<dyn Bucket>, number: usize, value: &'static [u8]) {
    let at = key(&format!("k{number}"));
    let put = bucket.put(&at, Bytes::from_static(value), Expected::Any);
    put.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_are_whole_while_others_write() {
    let server = with_jetstream();
    let lattice = connected(&server).await;
    let ours = bucket(&lattice).await;
    let filled = stream::iter(0..KEYS).map(|number| put(&ours, number, b"x"));
    filled.buffer_unordered(64).collect::<()>().await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let theirs = bucket(&connected(&server).await).await;
        writers.spawn(async move {
            for number in (0..).step_by(7) {
                put(&theirs, (number + writer * 131) % KEYS, b"y").await;
            }
        });
    }
    let options = WatchOptions {
        reread_interval: Duration::from_millis(50),
        ..WatchOptions::default()
    };
    let mut changes = ours.watch("", options);
    let rewound = tokio::spawn(async move {
        let is_rewound = |change: &Change| matches!(change, Change::Rewound(_));
        while let Some(change) = changes.next().await {
            if is_rewound(&change) {
                return change;
            }
        }
        panic!("the watch ended");
    });
    for reading in 0..100 {
        let read = ours.list("").await.unwrap().len();
        assert_eq!(read, KEYS, "reading {reading}");
    }
    assert!(!rewound.is_finished(), "{:?}", rewound.await);
    assert!(writers.try_join_next().is_none(), "the writers went on");
    rewound.abort();
}

/// A bucket of which some readings miss keys.
#[derive(Default)]
struct Cut(Mutex<CutState>);

#[derive(Default)]
struct CutState {
    /// How many keys the next readings have; when it is empty, all of them and `new`.
    readings: VecDeque<usize>,
    /// The keys that the reading under way has still to send.
    left: VecDeque<String>,
    /// Messages sent in this reading.
    sent: usize,
    states_told: u64,
    /// With what each batch ends before its first message.
    refusal: Option<&'static str>,
}

/// Where nothing is missing, the revision of each key.
const REVISION: u64 = 7;

impl Cut {
    fn keys(&self, count: usize) -> VecDeque<String> {
        (0..count).map(|number| format!("k{number:04}")).collect()
    }
}

impl CutState {
    fn message(&mut self, to: &str, key: &str) -> Answer {
        self.sent += 1;
        let place = self.sent;
        Answer {
            subject: Some(format!("$KV.LATTICEDATA_default.{key}")),
            reply: Some(format!(
                "$JS.ACK.KV_LATTICEDATA_default.reader.1.{REVISION}.{place}.0.0"
            )),
            ..Answer::new(to, "x")
        }
    }

    fn batch(&mut self, to: &str, batch: &Value) -> Vec<Answer> {
        if let Some(refusal) = self.refusal {
            return vec![Answer::status(to, refusal)];
        }
        let wanted = batch["batch"].as_u64().unwrap() as usize;
        let keys: Vec<String> = self.left.drain(..wanted.min(self.left.len())).collect();
        let mut answers: Vec<Answer> = keys.iter().map(|key| self.message(to, key)).collect();
        answers.push(if keys.len() == wanted {
            Answer::status(to, "409 Batch Completed")
        } else {
            Answer::status(to, "404 No Messages")
        });
        answers
    }

    /// Tells of a state that differs from the one before, so that everything is read.
    fn state(&mut self) -> Value {
        self.states_told += 1;
        let last = format!("2026-01-01T00:00:00.{:09}Z", self.states_told);
        json!({
            "created": "2026-01-01T00:00:00Z",
            "state": {
                "messages": KEYS, "first_seq": 1, "last_seq": REVISION,
                "first_ts": "2026-01-01T00:00:00Z", "last_ts": last,
            },
        })
    }
}

impl Script for Cut {
    fn answer(&self, published: &Published<'_>) -> Vec<Answer> {
        let mut state = self.0.lock().unwrap();
        let Some(operation) = published.subject.strip_prefix("$JS.API.") else {
            return Vec::new();
        };
        let body: Value = serde_json::from_slice(published.payload).unwrap_or_default();
        let answer = match operation.rsplit_once(".KV_").unwrap().0 {
            "STREAM.INFO" => state.state(),
            "STREAM.MSG.GET" => json!({
                "message": { "seq": REVISION, "data": STANDARD.encode("x") },
            }),
            "CONSUMER.CREATE" if body["config"]["deliver_subject"].is_string() => {
                json!({ "name": "feed" })
            }
            "CONSUMER.CREATE" => {
                let next = state.readings.pop_front();
                state.left = self.keys(next.unwrap_or(KEYS));
                if next.is_none() {
                    state.left.push_back("new".to_owned());
                }
                state.sent = 0;
                json!({ "name": "reader" })
            }
            "CONSUMER.MSG.NEXT" => return state.batch(published.reply, &body),
            _ => return Vec::new(),
        };
        vec![Answer::new(published.reply, answer.to_string())]
    }
}

async fn scripted(state: CutState) -> (ScriptedServer, Arc<dyn Bucket>) {
    let server = ScriptedServer::start(Arc::new(Cut(Mutex::new(state)))).await;
    let settings = Settings::new(LatticeName::default(), [server.url.clone()]);
    let lattice = connect(settings).await.unwrap();
    let bucket = bucket(&lattice).await;
    (server, bucket)
}

#[tokio::test]
async fn a_reading_that_a_server_cuts_short_is_no_loss() {
    // Whole, then one of which few keys are missing, many, and nearly all.
    let readings = [KEYS, KEYS - 5, KEYS - 17, 300, 3];
    let (_server, bucket) = scripted(CutState {
        readings: readings.into(),
        ..CutState::default()
    })
    .await;
    let options = WatchOptions {
        reread_interval: Duration::from_millis(20),
        ..WatchOptions::default()
    };
    let mut watch = bucket.watch("", options);
    assert_eq!(told_reset(&mut watch).await.0.len(), KEYS);
    told_put(&mut watch, "new", "x").await;
}

#[tokio::test]
async fn a_server_that_ends_every_batch_at_once_is_told_of() {
    for refusal in ["409 Leadership Change", "408 Requests Pending"] {
        let (_server, bucket) = scripted(CutState {
            refusal: Some(refusal),
            ..CutState::default()
        })
        .await;
        let error = bucket.list("").await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    }
}
