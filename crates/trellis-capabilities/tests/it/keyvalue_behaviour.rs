//! What every key-value backend does: the same cases over each.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tempfile::TempDir;
use trellis_capabilities::keyvalue::{
    BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, Bucket, BucketName, EmbeddedBackend, KEY_BYTES_MAX,
    KeyValueBackend, KeyValueError, LIST_KEYS_PAGE_MAX, MemoryBackend, OpenOptions,
    VALUE_BYTES_MAX,
};
use trellis_core::ComponentId;

/// A backend, and the folder it lives in as long as it does.
struct Fixture {
    backend: Arc<dyn KeyValueBackend>,
    _folder: Option<TempDir>,
}

impl Fixture {
    fn memory() -> Self {
        Self {
            backend: Arc::new(MemoryBackend::new(256 << 20)),
            _folder: None,
        }
    }

    fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(folder.path().join("keyvalue.redb"));
        let backend = Arc::new(EmbeddedBackend::open(options).unwrap());
        Self {
            backend,
            _folder: Some(folder),
        }
    }

    fn bucket(&self, target: &str, name: &str) -> Arc<dyn Bucket> {
        let name = BucketName::new(&ComponentId::new(target).unwrap(), name).unwrap();
        self.backend.bucket(&name).unwrap()
    }
}

macro_rules! for_every_backend {
    ($($case:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::Fixture::memory()).await;
            })*
        }
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::Fixture::embedded()).await;
            })*
        }
    };
}

for_every_backend! {
    a_value_can_be_set_read_replaced_and_deleted
    keys_and_values_may_be_empty_and_of_any_content
    bounds_are_exact_and_nothing_is_written_beyond_them
    buckets_see_only_their_own_keys
    listing_goes_through_all_pages
    a_listing_returns_each_lasting_key_once_while_others_are_written
    increments_count_in_decimal_text
    concurrent_increments_are_counted_exactly
    batches_keep_order_and_the_last_of_two_pairs_counts
    a_batch_is_seen_whole_or_not_at_all
}

async fn a_value_can_be_set_read_replaced_and_deleted(fixture: Fixture) {
    let bucket = fixture.bucket("kv", "b");
    assert_eq!(bucket.get("k").await, Ok(None));
    assert_eq!(bucket.exists("k").await, Ok(false));
    bucket
        .set("k".into(), Bytes::from_static(b"one"))
        .await
        .unwrap();
    bucket
        .set("k".into(), Bytes::from_static(b"two"))
        .await
        .unwrap();
    assert_eq!(bucket.get("k").await, Ok(Some(Bytes::from_static(b"two"))));
    assert_eq!(bucket.exists("k").await, Ok(true));
    bucket.delete("k".into()).await.unwrap();
    bucket
        .delete("k".into())
        .await
        .expect("deleting what is not there is no error");
    assert_eq!(bucket.get("k").await, Ok(None));
    assert_eq!(
        bucket.list_keys(None).await.unwrap().keys,
        Vec::<String>::new()
    );
}

async fn keys_and_values_may_be_empty_and_of_any_content(fixture: Fixture) {
    let bucket = fixture.bucket("kv", "b");
    let all: Vec<u8> = (0..=u8::MAX).collect();
    for key in ["", "\0", "a/b", "a\0b", "ü☂", "../x"] {
        assert_eq!(bucket.get(key).await, Ok(None), "{key:?}");
        bucket.set(key.into(), Bytes::new()).await.unwrap();
        assert_eq!(bucket.get(key).await, Ok(Some(Bytes::new())), "{key:?}");
        bucket.set(key.into(), all.clone().into()).await.unwrap();
        assert_eq!(bucket.get(key).await.unwrap().unwrap(), all, "{key:?}");
    }
    assert_eq!(bucket.list_keys(None).await.unwrap().keys.len(), 6);
}

async fn bounds_are_exact_and_nothing_is_written_beyond_them(fixture: Fixture) {
    let bucket = fixture.bucket("kv", "b");
    let longest = "k".repeat(KEY_BYTES_MAX);
    bucket
        .set(longest.clone(), Bytes::from(vec![7; VALUE_BYTES_MAX]))
        .await
        .unwrap();
    assert_eq!(
        bucket.get(&longest).await.unwrap().unwrap().len(),
        VALUE_BYTES_MAX
    );
    bucket.delete(longest.clone()).await.unwrap();

    let long = longest + "k";
    let too_long = KeyValueError::KeyTooLong {
        bytes: KEY_BYTES_MAX + 1,
    };
    assert_eq!(bucket.get(&long).await, Err(too_long.clone()));
    assert_eq!(bucket.exists(&long).await, Err(too_long.clone()));
    assert_eq!(bucket.delete(long.clone()).await, Err(too_long.clone()));
    assert_eq!(
        bucket.increment(long.clone(), 1).await,
        Err(too_long.clone())
    );
    assert_eq!(
        bucket.get_many(std::slice::from_ref(&long)).await,
        Err(too_long.clone())
    );
    let pairs = vec![("a".to_owned(), Bytes::new()), (long, Bytes::new())];
    assert_eq!(bucket.set_many(pairs).await, Err(too_long));

    let large = Bytes::from(vec![0; VALUE_BYTES_MAX + 1]);
    let too_large = KeyValueError::ValueTooLong {
        bytes: VALUE_BYTES_MAX + 1,
    };
    assert_eq!(
        bucket.set("a".into(), large.clone()).await,
        Err(too_large.clone())
    );
    assert_eq!(
        bucket.set_many(vec![("a".into(), large)]).await,
        Err(too_large)
    );

    let entries = BATCH_ENTRIES_MAX + 1;
    let too_many = KeyValueError::TooManyEntries { entries };
    assert_eq!(
        bucket.get_many(&vec![String::new(); entries]).await,
        Err(too_many.clone())
    );
    assert_eq!(
        bucket.delete_many(vec![String::new(); entries]).await,
        Err(too_many)
    );
    let value = Bytes::from(vec![0; VALUE_BYTES_MAX]);
    let fifth = (0..=BATCH_BYTES_MAX / VALUE_BYTES_MAX).map(|n| (n.to_string(), value.clone()));
    assert_eq!(
        bucket.set_many(fifth.collect()).await,
        Err(KeyValueError::BatchTooLarge)
    );
    assert_eq!(
        bucket.list_keys(None).await.unwrap().keys,
        Vec::<String>::new()
    );

    bucket.set("a".into(), value).await.unwrap();
    let repeated = vec!["a".to_owned(); BATCH_BYTES_MAX / VALUE_BYTES_MAX];
    assert_eq!(
        bucket.get_many(&repeated).await,
        Err(KeyValueError::BatchTooLarge)
    );
}

async fn buckets_see_only_their_own_keys(fixture: Fixture) {
    let names = [
        ("kv", "a"),
        ("kv", "aa"),
        ("kv2", "a"),
        ("kv", "a/b"),
        ("kv", "b"),
    ];
    for (target, name) in names {
        let bucket = fixture.bucket(target, name);
        bucket
            .set("k".into(), Bytes::from(format!("{target} {name}")))
            .await
            .unwrap();
        bucket
            .set(format!("only {target} {name}"), Bytes::new())
            .await
            .unwrap();
    }
    for (target, name) in names {
        let bucket = fixture.bucket(target, name);
        assert_eq!(
            bucket.get("k").await.unwrap().unwrap(),
            format!("{target} {name}")
        );
        let mut keys = bucket.list_keys(None).await.unwrap().keys;
        keys.sort();
        assert_eq!(keys, ["k".to_owned(), format!("only {target} {name}")]);
    }
}

/// Sets `count` keys that begin with `start`, in batches.
async fn fill(bucket: &dyn Bucket, start: &str, count: usize) -> HashSet<String> {
    let keys: Vec<String> = (0..count)
        .map(|number| format!("{start}{number}"))
        .collect();
    for batch in keys.chunks(BATCH_ENTRIES_MAX) {
        let pairs = batch
            .iter()
            .map(|key| (key.clone(), Bytes::from(key.clone())));
        bucket.set_many(pairs.collect()).await.unwrap();
    }
    keys.into_iter().collect()
}

async fn list_all(bucket: &dyn Bucket) -> Vec<String> {
    let mut page = bucket.list_keys(None).await.unwrap();
    let mut keys = std::mem::take(&mut page.keys);
    while let Some(cursor) = page.cursor {
        page = bucket.list_keys(Some(cursor)).await.unwrap();
        assert!((1..=LIST_KEYS_PAGE_MAX).contains(&page.keys.len()));
        keys.append(&mut page.keys);
    }
    keys
}

async fn listing_goes_through_all_pages(fixture: Fixture) {
    let bucket = fixture.bucket("kv", "b");
    for count in [0, 1, LIST_KEYS_PAGE_MAX, LIST_KEYS_PAGE_MAX + 1, 2_500] {
        let expected = fill(&*bucket, "k", count).await;
        let listed = list_all(&*bucket).await;
        assert_eq!(listed.len(), count);
        assert_eq!(listed.into_iter().collect::<HashSet<_>>(), expected);
    }
    let end = bucket.list_keys(Some(u64::MAX)).await.unwrap();
    assert_eq!(
        (end.keys.len(), end.cursor),
        (0, None),
        "a cursor past the end ends the listing"
    );
}

async fn a_listing_returns_each_lasting_key_once_while_others_are_written(fixture: Fixture) {
    let bucket = fixture.bucket("kv", "b");
    let lasting = fill(&*bucket, "lasting", 2_200).await;
    let stop = Arc::new(AtomicBool::new(false));
    let churn = tokio::spawn({
        let (bucket, stop) = (Arc::clone(&bucket), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::Relaxed) {
                let passing = fill(&*bucket, "passing", 500).await;
                bucket
                    .delete_many(passing.into_iter().collect())
                    .await
                    .unwrap();
            }
        }
    });
    for _ in 0..5 {
        let listed = list_all(&*bucket).await;
        let seen: Vec<_> = listed
            .into_iter()
            .filter(|key| lasting.contains(key))
            .collect();
        assert_eq!(seen.len(), lasting.len());
        assert_eq!(seen.into_iter().collect::<HashSet<_>>(), lasting);
    }
    stop.store(true, Ordering::Relaxed);
    churn.await.unwrap();
}

async fn increments_count_in_decimal_text(fixture: Fixture) {
    let bucket = fixture.bucket("kv", "b");
    assert_eq!(bucket.increment("n".into(), 5).await, Ok(5));
    assert_eq!(bucket.get("n").await.unwrap().unwrap(), "5");
    assert_eq!(bucket.increment("n".into(), 0).await, Ok(5));
    bucket
        .set("n".into(), Bytes::from_static(b"0041"))
        .await
        .unwrap();
    assert_eq!(bucket.increment("n".into(), 1).await, Ok(42));
    assert_eq!(bucket.get("n").await.unwrap().unwrap(), "42");
    bucket
        .set("n".into(), Bytes::from_static(b"many"))
        .await
        .unwrap();
    assert_eq!(
        bucket.increment("n".into(), 1).await,
        Err(KeyValueError::NotANumber)
    );
    assert_eq!(bucket.get("n").await.unwrap().unwrap(), "many");
    assert_eq!(bucket.increment("top".into(), u64::MAX).await, Ok(u64::MAX));
    assert_eq!(
        bucket.increment("top".into(), 1).await,
        Err(KeyValueError::Overflow)
    );
    assert_eq!(
        bucket.get("top").await.unwrap().unwrap(),
        u64::MAX.to_string()
    );
}

async fn concurrent_increments_are_counted_exactly(fixture: Fixture) {
    const TASKS: u64 = 16;
    const INCREMENTS: u64 = 64;
    let bucket = fixture.bucket("kv", "b");
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let bucket = Arc::clone(&bucket);
            tokio::spawn(async move {
                let mut sums = Vec::new();
                for _ in 0..INCREMENTS {
                    sums.push(bucket.increment("n".into(), 1).await.unwrap());
                }
                assert!(sums.is_sorted(), "one task never sees the number go back");
                sums
            })
        })
        .collect();
    let mut sums = HashSet::new();
    for task in tasks {
        sums.extend(task.await.unwrap());
    }
    assert_eq!(
        sums,
        (1..=TASKS * INCREMENTS).collect::<HashSet<_>>(),
        "each sum is given once"
    );
    assert_eq!(
        bucket.get("n").await.unwrap().unwrap(),
        (TASKS * INCREMENTS).to_string()
    );
}

async fn batches_keep_order_and_the_last_of_two_pairs_counts(fixture: Fixture) {
    let bucket = fixture.bucket("kv", "b");
    let pairs = [("a", "1"), ("b", "2"), ("a", "3")];
    let pairs = pairs.map(|(key, value)| (key.to_owned(), Bytes::from(value)));
    bucket.set_many(pairs.into()).await.unwrap();
    let keys = ["b", "missing", "a", "b"].map(str::to_owned);
    let values = bucket.get_many(&keys).await.unwrap();
    let values: Vec<_> = values.iter().map(|value| value.as_deref()).collect();
    assert_eq!(values, [Some(&b"2"[..]), None, Some(b"3"), Some(b"2")]);
    bucket.delete_many(keys.into()).await.unwrap();
    assert_eq!(
        bucket.list_keys(None).await.unwrap().keys,
        Vec::<String>::new()
    );
    bucket.set_many(vec![]).await.unwrap();
    bucket.delete_many(vec![]).await.unwrap();
    assert_eq!(bucket.get_many(&[]).await, Ok(vec![]));
}

async fn a_batch_is_seen_whole_or_not_at_all(fixture: Fixture) {
    let bucket = fixture.bucket("kv", "b");
    let keys: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
    let writer = tokio::spawn({
        let (bucket, keys) = (Arc::clone(&bucket), keys.clone());
        async move {
            for round in 0..100 {
                let value = Bytes::from(round.to_string());
                let pairs = keys.iter().map(|key| (key.clone(), value.clone()));
                bucket.set_many(pairs.collect()).await.unwrap();
                if round % 10 == 9 {
                    bucket.delete_many(keys.clone()).await.unwrap();
                }
            }
        }
    });
    while !writer.is_finished() {
        let values = bucket.get_many(&keys).await.unwrap();
        assert!(
            values.windows(2).all(|pair| pair[0] == pair[1]),
            "{values:?}"
        );
    }
    writer.await.unwrap();
}
