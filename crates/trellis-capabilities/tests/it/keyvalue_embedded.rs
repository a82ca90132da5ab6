//! The embedded backend against what happens to files: crashes, full disks, locks, damage.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use trellis_capabilities::keyvalue::{
    Bucket, BucketName, EmbeddedBackend, KeyValueBackend, KeyValueError, OpenError, OpenOptions,
};
use trellis_core::ComponentId;
use trellis_tests::{TestProcess, damaged_copies};

fn open(path: &Path) -> Result<EmbeddedBackend, OpenError> {
    EmbeddedBackend::open(OpenOptions::new(path))
}

fn bucket(backend: &EmbeddedBackend) -> Arc<dyn Bucket> {
    let name = BucketName::new(&ComponentId::new("kv").unwrap(), "b").unwrap();
    backend.bucket(&name).unwrap()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
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
    let file = folder.path().join("kv.redb");
    let mut acknowledged = Vec::new();
    for round in 1..=3 {
        let this = "keyvalue_embedded::what_was_acknowledged_survives_kill_9";
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
    let backend = open(file).unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let bucket = bucket(&backend);
            tokio::spawn(async move {
                for _ in 0..u32::MAX {
                    let sum = bucket.increment(format!("counter{task}"), 1).await.unwrap();
                    TestProcess::say(&format!("counter{task} {sum}"));
                    let key = format!("key{task}-{sum}");
                    bucket
                        .set(key.clone(), Bytes::from(key.clone()))
                        .await
                        .unwrap();
                    TestProcess::say(&key);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn check_acknowledged(file: &Path, acknowledged: &[String]) {
    let backend = open(file).unwrap();
    let bucket = bucket(&backend);
    for line in acknowledged {
        match line.split_once(' ') {
            Some((counter, sum)) => {
                let now = bucket.get(counter).await.unwrap().unwrap();
                let now: u64 = std::str::from_utf8(&now).unwrap().parse().unwrap();
                assert!(
                    now >= sum.parse().unwrap(),
                    "{counter} fell from {sum} to {now}"
                );
            }
            None => assert_eq!(bucket.get(line).await.unwrap().unwrap(), *line),
        }
    }
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    if let Some(file) = TestProcess::file() {
        return block_on(write_until_full(&file));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kv.redb");
    drop(open(&file).unwrap()); // room for the beginning
    let this = "keyvalue_embedded::a_full_disk_is_named_and_loses_nothing";
    let kept = TestProcess::start_on_full_disk(this, &file, 4 << 20).finish();
    assert!(kept.len() > 5, "some fitted: {kept:?}");

    let backend = open(&file).unwrap();
    let bucket = bucket(&backend);
    block_on(async {
        for key in &kept {
            assert_eq!(bucket.get(key).await.unwrap().unwrap().len(), 64 << 10);
        }
        bucket
            .set("after".into(), Bytes::new())
            .await
            .expect("there is room again");
    });
}

async fn write_until_full(file: &Path) {
    let backend = open(file).unwrap();
    let bucket = bucket(&backend);
    let value = Bytes::from(vec![1; 64 << 10]);
    let mut kept = Vec::new();
    let error = loop {
        let key = kept.len().to_string();
        match bucket.set(key.clone(), value.clone()).await {
            Ok(()) => kept.push(key),
            Err(error) => break error,
        }
        assert!(kept.len() < 1_000, "the limit was never met");
    };
    assert_eq!(error, KeyValueError::DiskFull);
    for key in &kept {
        let value = bucket
            .get(key)
            .await
            .expect("reads go on while the disk is full");
        assert_eq!(value.unwrap().len(), 64 << 10);
    }
    for _ in 0..3 {
        let again = bucket
            .set("more".into(), Bytes::from(vec![1; 1 << 20]))
            .await;
        assert_eq!(
            again,
            Err(KeyValueError::DiskFull),
            "the store is open and still full"
        );
    }
    kept.iter().for_each(|key| TestProcess::say(key));
}

#[test]
fn damage_anywhere_is_an_error_or_unseen_but_never_a_panic_or_a_hang() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kv.redb");
    let keys: Vec<String> = (0..200).map(|number| format!("key{number}")).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let backend = open(&file).unwrap();
        let pairs = keys
            .iter()
            .map(|key| (key.clone(), Bytes::from(key.repeat(20))));
        bucket(&backend).set_many(pairs.collect()).await.unwrap();
    });
    let sound = fs::read(&file).unwrap();
    let mut refused = 0;
    for (round, damaged) in damaged_copies(&sound, 60).enumerate() {
        fs::write(&file, &damaged).unwrap();
        let Ok(backend) = open(&file) else {
            refused += 1;
            continue;
        };
        let bucket = bucket(&backend);
        runtime.block_on(async {
            // Each may fail; none may take the process down.
            drop(bucket.get_many(&keys).await);
            drop(bucket.list_keys(None).await);
            drop(bucket.get(&keys[round]).await);
            drop(bucket.increment("n".into(), 1).await);
            drop(bucket.delete_many(keys.clone()).await);
        });
    }
    assert!(refused > 0, "most damage is found while opening");
}
