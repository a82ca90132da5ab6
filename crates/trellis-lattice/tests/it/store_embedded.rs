//! The embedded store against what happens to files: crashes, full disks, locks, damage.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use trellis_lattice::store::{
    Bucket, EmbeddedStore, Expected, OpenError, OpenOptions, PutError, Removal, Store, Update,
    WatchOptions, update,
};
use trellis_tests::{TestProcess, damaged_copies};

use crate::store_behaviour::{key, name, told_reset};

fn open(path: &Path) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open(OpenOptions::new(path))
}

async fn bucket(store: &EmbeddedStore) -> Arc<dyn Bucket> {
    store.bucket(&name()).await.unwrap()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Some(file) = TestProcess::file() {
        return block_on(write_until_killed(&file));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let mut acknowledged = Vec::new();
    for round in 1..=3 {
        let this = "store_embedded::what_was_acknowledged_survives_kill_9";
        let mut process = TestProcess::start(this, &file);
        acknowledged.extend(process.said().take(150));
        acknowledged.extend(process.kill()); // what it said before the signal came counts too
        assert!(
            acknowledged.len() >= 150 * round,
            "the process writes until it is killed"
        );
        block_on(check_acknowledged(&file, &acknowledged));
    }
}

async fn write_until_killed(file: &Path) {
    let store = open(file).unwrap();
    let mut tasks = Vec::new();
    for task in 0..8 {
        let bucket = bucket(&store).await;
        tasks.push(tokio::spawn(async move {
            let counter = key(&format!("counter{task}"));
            for _ in 0..u32::MAX {
                let add = |old: Option<&trellis_lattice::store::Entry>| {
                    let text = old.map_or("0", |it| std::str::from_utf8(&it.value).unwrap());
                    Update::Put((text.parse::<u64>().unwrap() + 1).to_string().into())
                };
                let entry = update(&*bucket, &counter, add).await.unwrap().unwrap();
                let sum = std::str::from_utf8(&entry.value).unwrap();
                TestProcess::say(&format!("{counter} {sum} {}", entry.revision));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn check_acknowledged(file: &Path, acknowledged: &[String]) {
    let store = open(file).unwrap();
    let bucket = bucket(&store).await;
    let last = bucket.incarnation().await.unwrap().revision;
    for line in acknowledged {
        let mut parts = line.split(' ');
        let counter = parts.next().unwrap();
        let mut number = || parts.next().unwrap().parse::<u64>().unwrap();
        let (sum, revision) = (number(), number());
        let now = bucket.get(&key(counter)).await.unwrap().unwrap();
        let now: u64 = std::str::from_utf8(&now.value).unwrap().parse().unwrap();
        assert!(now >= sum, "{counter} fell from {sum} to {now}");
        assert!(revision <= last, "revisions fell from {revision} to {last}");
    }
}

#[test]
fn a_full_disk_is_reported_and_not_acknowledged() {
    if let Some(file) = TestProcess::file() {
        return block_on(write_until_full(&file));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    drop(open(&file).unwrap()); // room for the beginning
    let this = "store_embedded::a_full_disk_is_reported_and_not_acknowledged";
    let kept = TestProcess::start_on_full_disk(this, &file, 4 << 20).finish();
    assert!(kept.len() > 5, "some fitted: {kept:?}");
    block_on(async {
        let store = open(&file).unwrap();
        let bucket = bucket(&store).await;
        assert_eq!(bucket.list("").await.unwrap().len(), kept.len());
        for at in &kept {
            let entry = bucket.get(&key(at)).await.unwrap().unwrap();
            assert_eq!(entry.value.len(), 64 << 10);
        }
        let after = key("after");
        let after = bucket.put(&after, Bytes::new(), Expected::Absent);
        after.await.expect("there is room again");
    });
}

async fn write_until_full(file: &Path) {
    let store = open(file).unwrap();
    let bucket = bucket(&store).await;
    let value = Bytes::from(vec![1; 64 << 10]);
    let mut kept = Vec::new();
    let error = loop {
        let at = format!("k{}", kept.len());
        match bucket.put(&key(&at), value.clone(), Expected::Absent).await {
            Ok(_) => kept.push(at),
            Err(error) => break error,
        }
        assert!(kept.len() < 1_000, "the limit was never met");
    };
    assert!(matches!(error, PutError::Full { .. }), "{error:?}");
    assert_eq!(
        bucket.list("").await.unwrap().len(),
        kept.len(),
        "reads go on"
    );
    let (more, value) = (key("more"), vec![1; 900 << 10].into());
    let more = bucket.put(&more, value, Expected::Any);
    let error = more.await.unwrap_err();
    assert!(matches!(error, PutError::Full { .. }), "{error:?}");
    kept.iter().for_each(|at| TestProcess::say(at));
}

#[tokio::test]
async fn a_file_in_use_foreign_or_from_the_future_is_named_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a/b/state.redb");
    let store = open(&file).unwrap();
    let error = open(&file).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    drop(store);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "configs may hold secrets");

    let layout: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("trellis-state");
    let database = redb::Database::create(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(layout)
        .unwrap()
        .insert("layout", 2)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(&file).err().unwrap();
    assert!(
        matches!(error, OpenError::Newer { found: 2, .. }),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("a later version of Trellis (layout 2, this one knows 1)")
    );

    let other = folder.path().join("other.redb");
    let table: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("somebody's");
    let database = redb::Database::create(&other).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(&other).err().unwrap();
    assert!(
        error.to_string().contains("the file of something else"),
        "{error}"
    );

    let notes = folder.path().join("notes.txt");
    for content in ["notes\n".to_owned(), "x".repeat(100_000)] {
        fs::write(&notes, &content).unwrap();
        let error = open(&notes).err().unwrap();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        assert_eq!(fs::read_to_string(&notes).unwrap(), content);
    }
}

#[tokio::test]
async fn a_watch_ends_with_the_store_and_revisions_go_on_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let store = open(&file).unwrap();
    let first = bucket(&store).await;
    first
        .put(&key("a"), "1".into(), Expected::Absent)
        .await
        .unwrap();
    let removed = first
        .remove(&key("a"), Removal::Delete, Expected::Any)
        .await;
    let removed = removed.unwrap().unwrap();
    let mut watch = first.watch("", WatchOptions::default());
    let (entries, incarnation) = told_reset(&mut watch).await;
    assert!(entries.is_empty());
    drop((first, store));
    assert_eq!(watch.next().await, None);

    let store = open(&file).unwrap();
    let second = bucket(&store).await;
    assert_eq!(second.incarnation().await.unwrap(), incarnation);
    let revision = second
        .put(&key("a"), "2".into(), Expected::Absent)
        .await
        .unwrap();
    assert!(revision > removed);
    let options = WatchOptions {
        known: Some(incarnation),
        ..WatchOptions::default()
    };
    assert_eq!(told_reset(&mut second.watch("", options)).await.0.len(), 1);
}

#[test]
fn damage_anywhere_is_an_error_or_unseen_but_never_a_panic_or_a_hang() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = open(&file).unwrap();
        let bucket = bucket(&store).await;
        for number in 0..100 {
            let at = key(&format!("key{number}"));
            bucket
                .put(&at, "value".repeat(20).into(), Expected::Any)
                .await
                .unwrap();
        }
    });
    let sound = fs::read(&file).unwrap();
    let mut refused = 0;
    for (round, damaged) in damaged_copies(&sound, 60).enumerate() {
        fs::write(&file, &damaged).unwrap();
        let Ok(store) = open(&file) else {
            refused += 1;
            continue;
        };
        runtime.block_on(async {
            // Each may fail; none may take the process down.
            let Ok(bucket) = store.bucket(&name()).await else {
                return;
            };
            drop(bucket.list("").await);
            drop(bucket.get(&key(&format!("key{round}"))).await);
            drop(bucket.put(&key("n"), "1".into(), Expected::Any).await);
            drop(
                bucket
                    .remove(&key("n"), Removal::Delete, Expected::Any)
                    .await,
            );
        });
    }
    assert!(refused > 0, "most damage is found while opening");
}
