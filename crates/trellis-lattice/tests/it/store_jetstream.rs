//! The store in JetStream: what 1.x hosts see of it, and watches that never go blind.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use bytes::Bytes;
use futures_util::TryStreamExt;
use serde_json::Value;
use trellis_core::LatticeName;
use trellis_identity::{Authority, Role};
use trellis_lattice::store::{
    Bucket, BucketDefaults, BucketName, Change, Expected, JetStreamStore, PutError, Removal,
    RewindCause, Rewound, Store, StoreError, Watch, WatchOptions,
};
use trellis_lattice::{ConnectionPhase, Credentials, Lattice, connect};
use trellis_tests::NatsServer;

use crate::nats_server::{connected, settings_of, with_jetstream};
use crate::store_behaviour::{key, name, told, told_put, told_reset};

const SOON: Duration = Duration::from_secs(20);

fn store(lattice: &Lattice) -> JetStreamStore {
    JetStreamStore::new(lattice.clone(), BucketDefaults::default())
}

async fn bucket(lattice: &Lattice) -> Arc<dyn Bucket> {
    store(lattice).bucket(&name()).await.unwrap()
}

/// Reads often, so that tests are short.
fn often() -> WatchOptions {
    WatchOptions {
        reread_interval: Duration::from_millis(200),
        heartbeat_interval: Duration::from_millis(200),
        ..WatchOptions::default()
    }
}

/// Sends a request to the JetStream API; returns what it answers.
async fn api(lattice: &Lattice, operation: &str) -> Value {
    let subject = format!("$JS.API.{operation}");
    let answer = lattice.request(&subject, None, Bytes::new(), SOON).await;
    serde_json::from_slice(&answer.unwrap().payload).unwrap()
}

async fn told_rewound(watch: &mut Watch) -> Rewound {
    match told(watch).await {
        Change::Rewound(rewound) => rewound,
        other => panic!("{other:?}"),
    }
}

/// Returns why the store takes no value at all.
async fn put_refused(bucket: &Arc<dyn Bucket>, at: &str) -> StoreError {
    match bucket.put(&key(at), "x".into(), Expected::Any).await {
        Err(PutError::Store(error)) => error,
        other => panic!("{other:?}"),
    }
}

async fn put(bucket: &Arc<dyn Bucket>, at: &str, value: &'static str) {
    bucket
        .put(&key(at), value.into(), Expected::Any)
        .await
        .unwrap();
}

async fn until(lattice: &Lattice, connected: bool) {
    let mut state = lattice.state();
    let reached = state.wait_for(|now| now.is_connected() == connected);
    tokio::time::timeout(SOON, reached).await.unwrap().unwrap();
}

#[tokio::test]
async fn buckets_are_those_of_the_client_of_1_x_hosts() {
    let server = with_jetstream();
    let lattice = connected(&server).await;
    let ours = bucket(&lattice).await;
    let context = jetstream::new(lattice.nats().clone());
    let config = jetstream::kv::Config {
        bucket: "theirs".to_owned(),
        ..Default::default()
    };
    context.create_key_value(config).await.unwrap();
    let mut configs = Vec::new();
    for bucket in ["LATTICEDATA_default", "theirs"] {
        let mut info = api(&lattice, &format!("STREAM.INFO.KV_{bucket}")).await;
        let config = info["config"].as_object_mut().unwrap();
        for own in ["name", "subjects", "metadata"] {
            config.remove(own);
        }
        configs.push(info["config"].take());
    }
    assert_eq!(configs[0], configs[1]);

    let theirs = context.get_key_value("LATTICEDATA_default").await.unwrap();
    let first = ours
        .put(&key("COMPONENT_a"), "{}".into(), Expected::Absent)
        .await
        .unwrap();
    assert_eq!(theirs.get("COMPONENT_a").await.unwrap().unwrap(), "{}");
    let second = theirs
        .update("COMPONENT_a", "{1}".into(), first)
        .await
        .unwrap();
    let entry = ours.get(&key("COMPONENT_a")).await.unwrap().unwrap();
    assert_eq!((&entry.value[..], entry.revision), (&b"{1}"[..], second));
    theirs.put("CLAIMS_M", "{}".into()).await.unwrap();
    theirs.delete("CLAIMS_M").await.unwrap();
    assert_eq!(ours.get(&key("CLAIMS_M")).await.unwrap(), None);
    ours.put(&key("CLAIMS_M"), "{2}".into(), Expected::Absent)
        .await
        .unwrap();
    ours.remove(&key("CLAIMS_M"), Removal::Purge, Expected::Any)
        .await
        .unwrap();
    assert_eq!(theirs.get("CLAIMS_M").await.unwrap(), None);
    let keys: Vec<String> = theirs.keys().await.unwrap().try_collect().await.unwrap();
    assert_eq!(keys, ["COMPONENT_a"]);
}

#[tokio::test]
async fn a_bucket_made_by_others_is_used_as_it_is() {
    let server = with_jetstream();
    let lattice = connected(&server).await;
    let context = jetstream::new(lattice.nats().clone());
    let config = jetstream::kv::Config {
        bucket: name().to_string(),
        history: 5,
        ..Default::default()
    };
    context.create_key_value(config).await.unwrap();
    let bucket = bucket(&lattice).await;
    for value in ["1", "2", "3"] {
        put(&bucket, "a", value).await;
    }
    assert_eq!(
        bucket.list("").await.unwrap().len(),
        1,
        "the last of its history"
    );
    let info = api(&lattice, "STREAM.INFO.KV_LATTICEDATA_default").await;
    assert_eq!(info["config"]["max_msgs_per_subject"], 5);
}

#[tokio::test]
async fn a_domain_reaches_the_streams_behind_a_leaf_node() {
    let server = NatsServer::with(
        "jetstream: { store_dir: \"STORE\", domain: hub, max_file: 1G, max_mem: 64M }",
    );
    let mut settings = settings_of(&server);
    settings.jetstream_domain = Some("hub".to_owned());
    let lattice = connect(settings.clone()).await.unwrap();
    let ours = bucket(&lattice).await;
    let mut watch = ours.watch("", often());
    told_reset(&mut watch).await;
    put(&ours, "a", "1").await;
    told_put(&mut watch, "a", "1").await;
    assert_eq!(ours.list("").await.unwrap().len(), 1);
    settings.jetstream_domain = Some("elsewhere".to_owned());
    let lattice = connect(settings).await.unwrap();
    let error = store(&lattice).bucket(&name()).await.err().unwrap();
    assert!(matches!(error, StoreError::NoJetStream { .. }), "{error:?}");
}

#[tokio::test]
async fn a_full_bucket_and_a_server_without_streams_are_named() {
    let server = with_jetstream();
    let lattice = connected(&server).await;
    let defaults = BucketDefaults {
        bytes_max: Some(4_096),
        ..BucketDefaults::default()
    };
    let small = JetStreamStore::new(lattice, defaults);
    let small = small
        .bucket(&BucketName::new("small").unwrap())
        .await
        .unwrap();
    small
        .put(&key("a"), vec![1; 3_000].into(), Expected::Any)
        .await
        .unwrap();
    let error = small
        .put(&key("b"), vec![1; 3_000].into(), Expected::Any)
        .await;
    let error = error.unwrap_err();
    assert!(matches!(error, PutError::Full { .. }), "{error:?}");
    assert_eq!(small.get(&key("b")).await.unwrap(), None);

    let server = NatsServer::with("");
    let lattice = connected(&server).await;
    let error = store(&lattice).bucket(&name()).await.err().unwrap();
    assert!(matches!(error, StoreError::NoJetStream { .. }), "{error:?}");
    let unchecked = store(&lattice).bucket_unchecked(&name());
    let error = put_refused(&unchecked, "a").await;
    assert!(matches!(error, StoreError::NoJetStream { .. }), "{error:?}");
}

#[tokio::test]
async fn a_watch_outlives_the_consumer_behind_it() {
    let server = with_jetstream();
    let lattice = connected(&server).await;
    let bucket = bucket(&lattice).await;
    // Once with the feed's own heartbeats, once with nothing but readings.
    let slow = Duration::from_secs(600);
    let heartbeats = WatchOptions {
        reread_interval: slow,
        ..often()
    };
    let readings = WatchOptions {
        heartbeat_interval: slow,
        ..often()
    };
    for (round, options) in [heartbeats, readings].into_iter().enumerate() {
        let mut watch = bucket.watch("", options);
        told_reset(&mut watch).await;
        let at = format!("round{round}");
        put(&bucket, &at, "fed").await;
        told_put(&mut watch, &at, "fed").await;
        let consumers = api(&lattice, "CONSUMER.NAMES.KV_LATTICEDATA_default").await;
        for consumer in consumers["consumers"].as_array().unwrap() {
            let consumer = consumer.as_str().unwrap();
            api(
                &lattice,
                &format!("CONSUMER.DELETE.KV_LATTICEDATA_default.{consumer}"),
            )
            .await;
        }
        put(&bucket, &at, "unfed").await;
        told_put(&mut watch, &at, "unfed").await;
    }
}

#[tokio::test]
async fn a_bucket_deleted_and_made_again_is_a_rewind() {
    let server = with_jetstream();
    let lattice = connected(&server).await;
    let first = bucket(&lattice).await;
    put(&first, "a", "1").await;
    let mut watch = first.watch("", often());
    told_reset(&mut watch).await;
    api(&lattice, "STREAM.DELETE.KV_LATTICEDATA_default").await;
    let second = bucket(&lattice).await;
    put(&second, "b", "2").await;
    let rewound = told_rewound(&mut watch).await;
    assert!(
        matches!(rewound.cause, RewindCause::Recreated | RewindCause::Missing),
        "{rewound:?}"
    );
    let (entries, _) = told_reset(&mut watch).await;
    if entries.is_empty() {
        told_put(&mut watch, "b", "2").await; // it was faster than the second bucket's first value
    } else {
        assert_eq!(entries, [("b".to_owned(), Bytes::from("2"))]);
    }
    put(&second, "c", "3").await;
    told_put(&mut watch, "c", "3").await;

    api(&lattice, "STREAM.DELETE.KV_LATTICEDATA_default").await;
    let rewound = told_rewound(&mut watch).await;
    assert_eq!((rewound.cause, rewound.now), (RewindCause::Missing, None));
    let error = second.get(&key("c")).await.unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error:?}");
    let error = put_refused(&second, "c").await;
    assert!(matches!(error, StoreError::Missing { .. }), "{error:?}");
    bucket(&lattice).await;
    assert!(told_reset(&mut watch).await.0.is_empty());
}

#[tokio::test]
async fn a_purged_stream_is_a_rewind_and_no_deletion() {
    let server = with_jetstream();
    let lattice = connected(&server).await;
    let bucket = bucket(&lattice).await;
    // So few that each is looked for, and so many that some are.
    for keys in [3, 40] {
        for number in 10..10 + keys {
            put(&bucket, &format!("k{number}"), "1").await;
        }
        let mut watch = bucket.watch("", often());
        told_reset(&mut watch).await;
        api(&lattice, "STREAM.PURGE.KV_LATTICEDATA_default").await;
        let rewound = told_rewound(&mut watch).await;
        let vanished = RewindCause::Vanished {
            key: key("k10"),
            keys,
        };
        assert_eq!(rewound.cause, vanished);
        assert!(told_reset(&mut watch).await.0.is_empty());
    }
}

#[tokio::test]
async fn a_crashed_server_that_kept_its_store_is_no_rewind() {
    let mut server = with_jetstream();
    let lattice = connected(&server).await;
    let bucket = bucket(&lattice).await;
    put(&bucket, "a", "1").await;
    let mut watch = bucket.watch("", often());
    told_reset(&mut watch).await;
    for value in ["2", "3"] {
        server.kill();
        until(&lattice, false).await;
        let start = Instant::now();
        let error = bucket.get(&key("a")).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        let error = put_refused(&bucket, "a").await;
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(1), "and at once");
        server.start_again();
        until(&lattice, true).await;
        put_when_ready(&bucket, "a", value).await;
        told_put(&mut watch, "a", value).await;
    }
}

/// Writes once the server has opened its streams again.
async fn put_when_ready(bucket: &Arc<dyn Bucket>, at: &str, value: &'static str) {
    let end = Instant::now() + SOON;
    while let Err(error) = bucket.put(&key(at), value.into(), Expected::Any).await {
        assert!(Instant::now() < end, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_lost_its_store_is_a_rewind() {
    let mut server = with_jetstream();
    let lattice = connected(&server).await;
    let first = bucket(&lattice).await;
    for _ in 0..20 {
        put(&first, "a", "1").await;
    }
    let mut watch = first.watch("", often());
    let (_, known) = told_reset(&mut watch).await;
    server.kill();
    fs::remove_dir_all(server.store()).unwrap();
    server.start_again();
    let rewound = told_rewound(&mut watch).await;
    assert_eq!(
        (rewound.cause, &rewound.before),
        (RewindCause::Missing, &known)
    );
    let second = bucket(&lattice).await;
    assert!(told_reset(&mut watch).await.0.is_empty());
    put(&second, "a", "2").await; // revision 1, far below those that were seen
    told_put(&mut watch, "a", "2").await;
    let options = WatchOptions {
        known: Some(known),
        ..often()
    };
    let mut restarted = second.watch("", options);
    assert_eq!(
        told_rewound(&mut restarted).await.cause,
        RewindCause::Recreated
    );
}

#[tokio::test]
async fn a_server_with_an_older_store_is_a_rewind() {
    let mut server = with_jetstream();
    let lattice = connected(&server).await;
    let bucket = bucket(&lattice).await;
    put(&bucket, "a", "old").await;
    server.kill();
    let backup = tempfile::tempdir().unwrap();
    copy(&server.store(), &backup.path().join("store"));
    server.start_again();
    until(&lattice, true).await;
    put_when_ready(&bucket, "a", "new").await;
    put(&bucket, "b", "new").await;
    let mut watch = bucket.watch("", often());
    assert_eq!(told_reset(&mut watch).await.0.len(), 2);
    server.kill();
    fs::remove_dir_all(server.store()).unwrap();
    copy(&backup.path().join("store"), &server.store());
    server.start_again();
    assert_eq!(
        told_rewound(&mut watch).await.cause,
        RewindCause::RevisionFell
    );
    let (entries, _) = told_reset(&mut watch).await;
    assert_eq!(entries, [("a".to_owned(), Bytes::from("old"))]);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_watch_says_when_what_it_told_becomes_stale() {
    let mut server = with_jetstream();
    let lattice = connected(&server).await;
    let bucket = bucket(&lattice).await;
    let options = WatchOptions {
        stale_after: Duration::from_millis(500),
        ..often()
    };
    let mut watch = bucket.watch("", options.clone());
    told_reset(&mut watch).await;
    server.kill();
    assert!(matches!(told(&mut watch).await, Change::Stale { .. }));
    let mut never = bucket.watch("", options);
    assert!(matches!(told(&mut never).await, Change::Stale { .. }));
    server.start_again();
    assert_eq!(told(&mut watch).await, Change::Fresh);
    told_reset(&mut never).await;
    assert_eq!(told(&mut never).await, Change::Fresh);
    lattice.drain().await;
    assert_eq!(lattice.state().borrow().phase, ConnectionPhase::Closed);
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn watches_leave_no_consumers_behind() {
    let server = with_jetstream();
    let lattice = connected(&server).await;
    let bucket = bucket(&lattice).await;
    put(&bucket, "a", "1").await;
    let options = WatchOptions {
        reread_interval: Duration::from_millis(20),
        ..often()
    };
    let mut watch = bucket.watch("", options);
    told_reset(&mut watch).await;
    for value in ["2", "3", "4", "5", "6", "7"] {
        put(&bucket, "a", value).await;
        told_put(&mut watch, "a", value).await;
        bucket.list("").await.unwrap();
    }
    // The server deletes in its own time, and after ten seconds what nobody has deleted, too.
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let consumers = api(&lattice, "CONSUMER.NAMES.KV_LATTICEDATA_default").await;
        if consumers["consumers"].as_array().unwrap().len() <= 2 {
            break; // the feed, and a reading under way
        }
        assert!(Instant::now() < end, "left behind: {consumers}");
    }
}

#[tokio::test]
async fn these_permissions_are_enough_and_less_is_named() {
    // Publish; all that is subscribed to is the inbox. A domain puts its own prefix before each.
    let needed = [
        "$KV.LATTICEDATA_default.>",
        "$JS.API.STREAM.INFO.KV_LATTICEDATA_default",
        "$JS.API.STREAM.CREATE.KV_LATTICEDATA_default",
        "$JS.API.STREAM.MSG.GET.KV_LATTICEDATA_default",
        "$JS.API.CONSUMER.CREATE.KV_LATTICEDATA_default",
        "$JS.API.CONSUMER.MSG.NEXT.KV_LATTICEDATA_default.>",
        "$JS.API.CONSUMER.DELETE.KV_LATTICEDATA_default.>",
        "$JS.FC.KV_LATTICEDATA_default.>",
    ];
    let user = |name: &str, subjects: &[&str]| {
        format!(
            "{{ user: {name}, password: p, permissions: {{ publish: {subjects:?}, subscribe: [\"_INBOX.>\"] }} }}"
        )
    };
    let less: Vec<&str> = needed
        .into_iter()
        .filter(|it| !it.contains("MSG.NEXT"))
        .collect();
    let server = NatsServer::with(&format!(
        "jetstream: {{ store_dir: \"STORE\", max_file: 1G, max_mem: 64M }}\nauthorization {{ users: [ {}, {} ] }}",
        user("all", &needed),
        user("less", &less)
    ));
    let connect_as = async |user: &str| {
        let mut settings = settings_of(&server);
        settings.credentials = Credentials::UserAndPassword {
            user: user.to_owned(),
            password: "p".into(),
        };
        connect(settings).await.unwrap()
    };
    let lattice = connect_as("all").await;
    let ours = bucket(&lattice).await;
    let mut watch = ours.watch("", often());
    told_reset(&mut watch).await;
    put(&ours, "a", "1").await;
    told_put(&mut watch, "a", "1").await;
    assert_eq!(ours.list("").await.unwrap().len(), 1);
    ours.remove(&key("a"), Removal::Purge, Expected::Any)
        .await
        .unwrap();
    assert!(matches!(told(&mut watch).await, Change::Delete { .. }));
    assert_eq!(lattice.state().borrow().refusals, 0);
    let other = BucketName::new("LATTICEDATA_other").unwrap();
    let error = store(&lattice).bucket(&other).await.err().unwrap();
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");

    let theirs = bucket(&connect_as("less").await).await;
    let start = Instant::now();
    let error = theirs.list("").await.unwrap_err();
    assert!(
        error.to_string().contains("$JS.API.CONSUMER.MSG.NEXT"),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(4), "and at once");
}

#[tokio::test]
async fn the_credentials_of_roles_open_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials"); // its lock lies beside it
    let authority = Authority::open_or_create(&credentials, &LatticeName::default()).unwrap();
    let server = NatsServer::with(&format!(
        "jetstream: {{ store_dir: \"STORE\", max_file: 1G, max_mem: 64M }}\n{}",
        authority.server_config()
    ));
    let mut settings = settings_of(&server);
    settings.inbox_prefix = Role::Host.inbox_prefix();
    settings.credentials = Credentials::CredsFile(authority.credentials_path(&Role::Host).unwrap());
    let lattice = connect(settings.clone()).await.unwrap();
    for bucket in ["LATTICEDATA", "CONFIGDATA", "TRELLISLEASES"] {
        let name = BucketName::new(format!("{bucket}_default")).unwrap();
        let ours = store(&lattice).bucket(&name).await.unwrap();
        put(&ours, "a", "1").await;
        let entry = ours.get(&key("a")).await.unwrap().unwrap();
        assert_eq!(entry.value, "1", "{bucket}");
        if bucket == "TRELLISLEASES" {
            continue; // read one by one, never watched
        }
        let mut watch = ours.watch("", often());
        assert_eq!(told_reset(&mut watch).await.0.len(), 1);
        put(&ours, "a", "2").await;
        told_put(&mut watch, "a", "2").await;
    }
    assert_eq!(lattice.state().borrow().refusals, 0);

    let viewer = authority.credentials(&Role::Viewer);
    settings.inbox_prefix = Role::Viewer.inbox_prefix();
    settings.credentials = Credentials::JwtAndSeed {
        jwt: viewer.jwt().to_owned(),
        seed: viewer.seed().clone(),
    };
    let lattice = connect(settings).await.unwrap();
    let theirs = store(&lattice).bucket_unchecked(&name());
    let error = put_refused(&theirs, "a").await;
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
}
