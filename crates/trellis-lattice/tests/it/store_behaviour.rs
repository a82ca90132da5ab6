//! What every store does, run over each of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trellis_core::ChangeId;
use trellis_lattice::store::{
    BucketDefaults, BucketName, Change, EmbeddedStore, Expected, Incarnation, JetStreamStore, Key,
    Once, OpenOptions, PutError, Removal, RewindCause, Store, Update, VALUE_BYTES_MAX, Watch,
    WatchOptions, update, update_once,
};
use trellis_tests::NatsServer;

use crate::nats_server::{connected, with_jetstream};

const SOON: Duration = Duration::from_secs(30);

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

pub(crate) fn name() -> BucketName {
    BucketName::new("LATTICEDATA_default").unwrap()
}

/// Returns what a watch tells next.
pub(crate) async fn told(watch: &mut Watch) -> Change {
    let change = tokio::time::timeout(SOON, watch.next()).await;
    change
        .expect("the watch tells something")
        .expect("the watch goes on")
}

/// Asserts that a watch tells of `value` at `at` next.
pub(crate) async fn told_put(watch: &mut Watch, at: &str, value: &str) {
    match told(watch).await {
        Change::Put(entry) => {
            assert_eq!(
                (entry.key.as_str(), &entry.value[..]),
                (at, value.as_bytes())
            );
        }
        other => panic!("{other:?}"),
    }
}

/// Returns the keys and values of the snapshot that a watch tells next, and which bucket it is.
pub(crate) async fn told_reset(watch: &mut Watch) -> (Vec<(String, Bytes)>, Incarnation) {
    match told(watch).await {
        Change::Reset {
            entries,
            incarnation,
        } => {
            let pairs = entries.into_iter();
            let pairs = pairs.map(|entry| (entry.key.to_string(), entry.value));
            (pairs.collect(), incarnation)
        }
        other => panic!("{other:?}"),
    }
}

fn current(error: PutError) -> Option<(Bytes, u64)> {
    match error {
        PutError::Conflict { current, .. } => current.map(|it| (it.value, it.revision)),
        other => panic!("{other:?}"),
    }
}

async fn writes_are_checked(store: Arc<dyn Store>) {
    let bucket = store.bucket(&name()).await.unwrap();
    let at = key("COMPONENT_shop-cart");
    let put = |value: &'static str, expected| {
        let (bucket, at) = (Arc::clone(&bucket), at.clone());
        async move { bucket.put(&at, value.into(), expected).await }
    };
    assert_eq!(bucket.get(&at).await.unwrap(), None);
    assert_eq!(
        current(put("x", Expected::Revision(7)).await.unwrap_err()),
        None
    );
    let first = put("1", Expected::Absent).await.unwrap();
    let entry = bucket.get(&at).await.unwrap().unwrap();
    assert_eq!((&entry.value[..], entry.revision), (&b"1"[..], first));
    let error = put("x", Expected::Absent).await.unwrap_err();
    assert_eq!(current(error), Some(("1".into(), first)));
    let second = put("2", Expected::Revision(first)).await.unwrap();
    assert!(second > first);
    let error = put("x", Expected::Revision(first)).await.unwrap_err();
    assert_eq!(current(error), Some(("2".into(), second)));
    let third = put("3", Expected::Any).await.unwrap();

    let remove = |expected| bucket.remove(&at, Removal::Delete, expected);
    let error = remove(Expected::Revision(second)).await.unwrap_err();
    assert_eq!(current(error), Some(("3".into(), third)));
    let error = remove(Expected::Absent).await.unwrap_err();
    assert_eq!(current(error), Some(("3".into(), third)));
    let removed = remove(Expected::Revision(third)).await.unwrap().unwrap();
    assert!(removed > third);
    assert_eq!(bucket.get(&at).await.unwrap(), None);
    assert_eq!(remove(Expected::Any).await.unwrap(), None);
    assert_eq!(remove(Expected::Absent).await.unwrap(), None);
    assert_eq!(
        current(remove(Expected::Revision(third)).await.unwrap_err()),
        None
    );
    assert_eq!(
        current(put("x", Expected::Revision(third)).await.unwrap_err()),
        None
    );
    let again = put("4", Expected::Absent).await.unwrap();
    assert!(again > removed);
    assert!(
        bucket
            .remove(&at, Removal::Purge, Expected::Any)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(bucket.get(&at).await.unwrap(), None);
    put("", Expected::Absent).await.unwrap();
    assert_eq!(
        bucket.get(&at).await.unwrap().unwrap().value,
        "",
        "an empty value is one"
    );

    let large = Bytes::from(vec![7; VALUE_BYTES_MAX]);
    bucket.put(&at, large.clone(), Expected::Any).await.unwrap();
    assert_eq!(bucket.get(&at).await.unwrap().unwrap().value, large);
    let larger = Bytes::from(vec![7; VALUE_BYTES_MAX + 1]);
    let error = bucket.put(&at, larger, Expected::Any).await.unwrap_err();
    assert!(matches!(error, PutError::TooLarge { .. }), "{error}");
}

async fn listings_are_complete_and_ordered(store: Arc<dyn Store>) {
    let bucket = store.bucket(&name()).await.unwrap();
    let other = BucketName::new("LATTICEDATA_default2").unwrap();
    let other = store.bucket(&other).await.unwrap();
    other
        .put(&key("COMPONENT_x"), "x".into(), Expected::Any)
        .await
        .unwrap();
    assert!(bucket.list("").await.unwrap().is_empty());
    let mut expected = Vec::new();
    for number in 0..600 {
        let text = format!("COMPONENT_a-{number:03}");
        bucket
            .put(&key(&text), text.clone().into(), Expected::Absent)
            .await
            .unwrap();
        expected.push((text.clone(), Bytes::from(text)));
    }
    bucket
        .put(&key("CLAIMS_a"), "c".into(), Expected::Absent)
        .await
        .unwrap();
    bucket
        .put(&key("COMPONENT_a-5"), "d".into(), Expected::Absent)
        .await
        .unwrap();
    bucket
        .remove(&key("COMPONENT_a-5"), Removal::Delete, Expected::Any)
        .await
        .unwrap();
    let listed = bucket.list("COMPONENT_").await.unwrap();
    let listed: Vec<_> = listed
        .into_iter()
        .map(|it| (it.key.to_string(), it.value))
        .collect();
    assert!(listed == expected, "{} entries", listed.len());
    assert_eq!(bucket.list("").await.unwrap().len(), 601);
    assert_eq!(other.list("").await.unwrap().len(), 1);
    assert!(bucket.incarnation().await.unwrap().revision >= 601);
}

async fn concurrent_updates_lose_nothing(store: Arc<dyn Store>) {
    let bucket = store.bucket(&name()).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let bucket = Arc::clone(&bucket);
            tokio::spawn(async move {
                for _ in 0..10 {
                    let add = |old: Option<&trellis_lattice::store::Entry>| {
                        let text = old.map_or("0", |it| std::str::from_utf8(&it.value).unwrap());
                        Update::Put((text.parse::<u64>().unwrap() + 1).to_string().into())
                    };
                    update(&*bucket, &key("sum"), add).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let sum = bucket.get(&key("sum")).await.unwrap().unwrap();
    assert_eq!(sum.value, "40");
    let kept = update(&*bucket, &key("sum"), |_| Update::Keep)
        .await
        .unwrap();
    assert_eq!(kept, Some(sum));
    let gone = update(&*bucket, &key("sum"), |_| Update::Delete)
        .await
        .unwrap();
    assert_eq!(gone, None);
    assert_eq!(bucket.get(&key("sum")).await.unwrap(), None);
}

fn change(text: &str) -> ChangeId {
    ChangeId::new(text).unwrap()
}

async fn a_late_copy_of_a_change_overwrites_nothing(store: Arc<dyn Store>) {
    let bucket = store.bucket(&name()).await.unwrap();
    let at = key("a");
    let value = async || bucket.get(&at).await.unwrap().map(|entry| entry.value);
    let put = async |id: &str, value: &'static str, expected| {
        let id = change(id);
        bucket.put_once(&id, &at, value.into(), expected).await
    };
    let made = |once: Result<Once<u64>, PutError>| matches!(once.unwrap(), Once::Now(_));
    assert!(made(put("first", "1", Expected::Any).await));
    assert!(made(put("second", "2", Expected::Any).await));
    assert!(!made(put("first", "1", Expected::Any).await));
    assert_eq!(value().await.unwrap(), "2");

    // What was not made can be tried again under its id.
    let error = put("third", "3", Expected::Absent).await.unwrap_err();
    let revision = current(error).unwrap().1;
    let third = put("third", "3", Expected::Revision(revision)).await;
    assert!(made(third));

    let remove = async |id: &str, expected| {
        let id = change(id);
        bucket.remove_once(&id, &at, Removal::Purge, expected).await
    };
    assert!(made(remove("fourth", Expected::Any).await));
    assert!(made(remove("nothing", Expected::Any).await));
    assert!(made(remove("nothing-again", Expected::Absent).await));
    assert!(made(put("fifth", "5", Expected::Absent).await));
    for late in ["third", "fourth", "nothing", "nothing-again"] {
        assert!(!made(remove(late, Expected::Any).await), "{late}");
    }
    assert_eq!(value().await.unwrap(), "5");
    // Without an id it is as it was.
    bucket.put(&at, "6".into(), Expected::Any).await.unwrap();
    bucket.put(&at, "6".into(), Expected::Any).await.unwrap();
    assert_eq!(value().await.unwrap(), "6");
}

async fn a_late_copy_of_an_update_changes_nothing(store: Arc<dyn Store>) {
    let bucket = store.bucket(&name()).await.unwrap();
    let at = key("words");
    let with = |word: &'static str| {
        move |old: Option<&trellis_lattice::store::Entry>| {
            let text = old.map_or("", |it| std::str::from_utf8(&it.value).unwrap());
            match text.contains(word) {
                true => Update::Keep,
                false => Update::Put(format!("{text}{word}").into()),
            }
        }
    };
    let add = async |id: &str, word| {
        let once = update_once(&*bucket, &change(id), &at, with(word)).await;
        matches!(once.unwrap(), Once::Now(_))
    };
    let value = async || bucket.get(&at).await.unwrap().map(|entry| entry.value);
    assert!(add("a", "A").await);
    assert!(add("b", "B").await);
    assert!(!add("a", "A").await);
    assert_eq!(value().await.unwrap(), "AB");
    // It was there already, which is made too: a copy does not bring it back.
    assert!(add("a-again", "A").await);
    bucket.put(&at, "B".into(), Expected::Any).await.unwrap();
    for late in ["a", "a-again"] {
        assert!(!add(late, "A").await, "{late}");
    }
    assert_eq!(value().await.unwrap(), "B");
    // So is what was not there when it should go, and not what could not be done.
    let other = key("other");
    let gone = async |id: &str, what: Update| {
        let once = update_once(&*bucket, &change(id), &other, |_| what.clone()).await;
        matches!(once.unwrap(), Once::Now(_))
    };
    assert!(gone("gone", Update::Keep).await);
    assert!(!gone("gone", Update::Put("x".into())).await);
    assert!(gone("declined", Update::Decline).await);
    assert!(gone("declined", Update::Put("y".into())).await);
    assert_eq!(bucket.get(&other).await.unwrap().unwrap().value, "y");
}

async fn copies_of_a_change_at_once_make_it_once(store: Arc<dyn Store>) {
    let bucket = store.bucket(&name()).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let bucket = Arc::clone(&bucket);
            tokio::spawn(async move {
                let add = |old: Option<&trellis_lattice::store::Entry>| {
                    Update::Put(format!("{}1", old.map_or(0, |it| it.value.len())).into())
                };
                let once = update_once(&*bucket, &change("same"), &key("sum"), add).await;
                matches!(once.unwrap(), Once::Now(_))
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += usize::from(task.await.unwrap());
    }
    assert_eq!(made, 1);
    let sum = bucket.get(&key("sum")).await.unwrap().unwrap();
    assert_eq!(sum.value, "01");
}

async fn a_watch_tells_each_change_once(store: Arc<dyn Store>) {
    let bucket = store.bucket(&name()).await.unwrap();
    bucket
        .put(&key("a.1"), "x".into(), Expected::Any)
        .await
        .unwrap();
    bucket
        .put(&key("b.1"), "not ours".into(), Expected::Any)
        .await
        .unwrap();
    let mut watch = bucket.watch("a.", WatchOptions::for_host("NHOST"));
    let (entries, incarnation) = told_reset(&mut watch).await;
    assert_eq!(entries, [("a.1".to_owned(), Bytes::from("x"))]);
    bucket
        .put(&key("b.2"), "not ours".into(), Expected::Any)
        .await
        .unwrap();
    bucket
        .put(&key("a.2"), "y".into(), Expected::Any)
        .await
        .unwrap();
    told_put(&mut watch, "a.2", "y").await;
    bucket
        .put(&key("a.1"), "z".into(), Expected::Any)
        .await
        .unwrap();
    told_put(&mut watch, "a.1", "z").await;
    bucket
        .remove(&key("a.2"), Removal::Delete, Expected::Any)
        .await
        .unwrap();
    assert!(matches!(told(&mut watch).await, Change::Delete { key, .. } if key.as_str() == "a.2"));
    bucket
        .put(&key("a.2"), "again".into(), Expected::Absent)
        .await
        .unwrap();
    told_put(&mut watch, "a.2", "again").await;

    let known = |known| WatchOptions {
        known: Some(known),
        ..WatchOptions::default()
    };
    let mut later = bucket.watch("a.", known(incarnation.clone()));
    assert_eq!(
        told_reset(&mut later).await.0.len(),
        2,
        "a later state is no rewind"
    );
    let other = Incarnation {
        created: "another".to_owned(),
        revision: 1,
    };
    let mut rewound = bucket.watch("a.", known(other));
    match told(&mut rewound).await {
        Change::Rewound(it) => assert_eq!(it.cause, RewindCause::Recreated),
        other => panic!("{other:?}"),
    }
    told_reset(&mut rewound).await;
    let fallen = Incarnation {
        revision: incarnation.revision + 1_000,
        ..incarnation
    };
    let mut rewound = bucket.watch("a.", known(fallen));
    match told(&mut rewound).await {
        Change::Rewound(it) => assert_eq!(it.cause, RewindCause::RevisionFell),
        other => panic!("{other:?}"),
    }
}

async fn a_slow_reader_ends_with_what_is_there(store: Arc<dyn Store>) {
    let bucket = store.bucket(&name()).await.unwrap();
    let options = WatchOptions {
        reread_interval: Duration::from_millis(200),
        ..WatchOptions::default()
    };
    let mut watch = bucket.watch("", options);
    told_reset(&mut watch).await;
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let bucket = Arc::clone(&bucket);
            tokio::spawn(async move {
                for number in 0..120 {
                    let at = key(&format!("k{task}.{}", number % 7));
                    if number % 5 == 4 {
                        bucket
                            .remove(&at, Removal::Delete, Expected::Any)
                            .await
                            .unwrap();
                    } else {
                        let value = Bytes::from(number.to_string());
                        bucket.put(&at, value, Expected::Any).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let truth: BTreeMap<Key, Bytes> = bucket
        .list("")
        .await
        .unwrap()
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .collect();
    let mut seen = BTreeMap::new();
    while seen != truth {
        match told(&mut watch).await {
            Change::Put(entry) => drop(seen.insert(entry.key, entry.value)),
            Change::Delete { key, .. } => drop(seen.remove(&key)),
            other => panic!("{other:?}"),
        }
    }
}

fn embedded() -> (Arc<dyn Store>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(folder.path().join("state.redb"));
    (Arc::new(EmbeddedStore::open(options).unwrap()), folder)
}

async fn jetstream() -> (Arc<dyn Store>, NatsServer) {
    let server = with_jetstream();
    let store = JetStreamStore::new(connected(&server).await, BucketDefaults::default());
    (Arc::new(store), server)
}

macro_rules! over_both_stores {
    ($($behaviour:ident),* $(,)?) => {
        mod embedded {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let (store, _folder) = super::embedded();
                    super::$behaviour(store).await;
                }
            )*
        }

        mod jetstream {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let (store, _server) = super::jetstream().await;
                    super::$behaviour(store).await;
                }
            )*
        }
    };
}

over_both_stores!(
    writes_are_checked,
    listings_are_complete_and_ordered,
    concurrent_updates_lose_nothing,
    a_late_copy_of_a_change_overwrites_nothing,
    a_late_copy_of_an_update_changes_nothing,
    copies_of_a_change_at_once_make_it_once,
    a_watch_tells_each_change_once,
    a_slow_reader_ends_with_what_is_there,
);
