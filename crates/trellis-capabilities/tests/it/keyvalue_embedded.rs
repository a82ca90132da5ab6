//! The embedded backend against what happens to files: crashes, full disks, locks, damage.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use trellis_capabilities::keyvalue::{
    Bucket, BucketName, EmbeddedBackend, KeyValueBackend, KeyValueError, OpenError, OpenOptions,
};
use trellis_core::ComponentId;

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

/// Names the store file to a test that was started again as a process of its own.
const CHILD_FILE: &str = "TRELLIS_TEST_CHILD_FILE";

/// Returns the store file when this process is the child of a test.
fn child_file() -> Option<PathBuf> {
    std::env::var_os(CHILD_FILE).map(PathBuf::from)
}

/// Starts `test` again in its own process, through `shell` (which ends in `exec "$0" "$@"`).
fn child(test: &str, file: &Path, shell: &str) -> Child {
    Command::new("sh")
        .args(["-c", shell])
        .arg(std::env::current_exe().unwrap())
        .args([
            &format!("keyvalue_embedded::{test}"),
            "--exact",
            "--nocapture",
        ])
        .env(CHILD_FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Says one line to the parent.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "say {line}").unwrap();
    out.flush().unwrap();
}

/// Waits for a child that must end well; returns what it said.
fn finish(mut child: Child) -> Vec<String> {
    let lines = said(&mut child).collect();
    assert!(child.wait().unwrap().success());
    lines
}

/// Returns the lines that a child says.
fn said(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines
        .map_while(Result::ok)
        .filter_map(|line| Some(line.split_once("say ")?.1.to_owned()))
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Some(file) = child_file() {
        return block_on(write_until_killed(&file));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kv.redb");
    let mut acknowledged = Vec::new();
    for round in 1..=3 {
        let this = "what_was_acknowledged_survives_kill_9";
        let mut child = child(this, &file, r#"exec "$0" "$@""#);
        let mut lines = said(&mut child);
        acknowledged.extend(lines.by_ref().take(150));
        child.kill().unwrap();
        acknowledged.extend(lines); // what it said before the signal came counts too
        child.wait().unwrap();
        assert!(
            acknowledged.len() >= 150 * round,
            "the child writes until it is killed"
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
                    say(&format!("counter{task} {sum}"));
                    let key = format!("key{task}-{sum}");
                    bucket
                        .set(key.clone(), Bytes::from(key.clone()))
                        .await
                        .unwrap();
                    say(&key);
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
    if let Some(file) = child_file() {
        return block_on(write_until_full(&file));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kv.redb");
    drop(open(&file).unwrap()); // room for the beginning
    // A limit on the size of files is a full disk for one process: 512-byte blocks.
    let shell = r#"trap "" XFSZ; ulimit -f 8192; exec "$0" "$@""#;
    let kept = finish(child(
        "a_full_disk_is_named_and_loses_nothing",
        &file,
        shell,
    ));
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
    kept.iter().for_each(|key| say(key));
}

#[test]
fn a_disk_without_room_for_a_new_store_is_named() {
    if let Some(file) = child_file() {
        return say(&open(&file).err().unwrap().to_string());
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kv.redb");
    let shell = r#"trap "" XFSZ; ulimit -f 0; exec "$0" "$@""#;
    let said = finish(child(
        "a_disk_without_room_for_a_new_store_is_named",
        &file,
        shell,
    ));
    assert_eq!(
        said,
        [format!(
            "the disk is full: cannot make or extend the store {file:?}"
        )]
    );
}

#[test]
fn a_store_open_in_another_process_is_in_use() {
    if let Some(file) = child_file() {
        return say(&open(&file).err().unwrap().to_string());
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kv.redb");
    let backend = open(&file).unwrap();
    let this = "a_store_open_in_another_process_is_in_use";
    let said = finish(child(this, &file, r#"exec "$0" "$@""#));
    let error = "is in use by another process; stop it or choose another file";
    assert_eq!(said, [format!("the store {file:?} {error}")]);
    assert!(
        matches!(open(&file), Err(OpenError::InUse { .. })),
        "and twice in one process"
    );
    drop(backend);
    open(&file).expect("closed when dropped");
}

#[test]
fn a_file_without_permission_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
    fs::set_permissions(folder.path(), mode).unwrap();
    let file = folder.path().join("kv.redb");
    // Root may write everywhere; a thread of its own becomes somebody else.
    let error = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            become_nobody();
        }
        open(&file).err()
    });
    let error = error.join().unwrap();
    assert!(
        matches!(error, Some(OpenError::Permission { .. })),
        "{error:?}"
    );
}

#[cfg(target_os = "linux")]
fn become_nobody() {
    rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
}

#[cfg(not(target_os = "linux"))]
fn become_nobody() {
    panic!("run the tests as an ordinary user");
}

#[test]
fn a_file_that_is_no_store_is_named_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    for content in ["notes\n".to_owned(), "x".repeat(100_000)] {
        fs::write(&file, &content).unwrap();
        let error = open(&file).err();
        assert!(
            matches!(error, Some(OpenError::Damaged { .. })),
            "{error:?}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
    let error = open(folder.path()).err();
    assert!(
        matches!(error, Some(OpenError::Io { .. })),
        "a folder is no store: {error:?}"
    );
}

#[test]
fn missing_folders_are_made_and_the_file_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a/b/kv.redb");
    drop(open(&file).unwrap());
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// A small generator with a fixed seed, so that a failure can be repeated.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
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
    let used = sound.iter().rposition(|byte| *byte != 0).unwrap();
    let mut random = Lcg(1);
    let mut refused = 0;
    for round in 0..60 {
        let mut damaged = sound.clone();
        match round % 4 {
            0 => damaged.truncate(random.below(sound.len())),
            1 => damaged[random.below(320)] ^= 1 << random.below(8), // the header
            2 => damaged[random.below(used)] ^= 1 << random.below(8),
            _ => {
                let page = random.below(used) / 4096 * 4096;
                damaged[page..][..4096].fill(random.below(256) as u8);
            }
        }
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
