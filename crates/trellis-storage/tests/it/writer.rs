//! Changes: together, durable, refused, failed.

use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};

use trellis_storage::{Failure, WriteError};
use trellis_tests::TestProcess;

use crate::notes::{Change, Notebook, Taken};

fn open(folder: &tempfile::TempDir) -> Notebook {
    Notebook::open(&folder.path().join("notes.redb")).unwrap()
}

/// Has the thread of `notebook` wait in a transaction of its own until what is returned is dropped.
fn keep_busy(notebook: &Notebook) -> mpsc::Sender<()> {
    let ((here, is_here), (go, goes)) = (mpsc::channel(), mpsc::channel());
    let waiting = pin!(notebook.write(Change::Wait(here, goes)));
    let polled = waiting.poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    is_here.recv().unwrap();
    go
}

#[tokio::test]
async fn changes_see_those_before_them_and_each_has_its_own_answer() {
    let folder = tempfile::tempdir().unwrap();
    let notebook = open(&folder);
    let busy = keep_busy(&notebook);
    let all = async {
        tokio::join!(
            notebook.note(1, "one"),
            notebook.note(1, "another one"),
            notebook.note(2, "two"),
            async { drop(busy) },
        )
    };
    let (one, another, two, ()) = all.await;
    assert_eq!(one, Ok(Ok(1)));
    assert_eq!(
        another,
        Ok(Err(Taken)),
        "one cannot be made, the others are"
    );
    assert_eq!(two, Ok(Ok(2)));
    assert_eq!(notebook.get(1), Ok(Some("one".to_owned())));
    assert_eq!(
        notebook.told(),
        [Ok(0), Ok(1), Err(Taken), Ok(2)],
        "each is told of, in their order"
    );
}

#[tokio::test]
async fn a_failure_fails_its_transaction_as_a_whole_and_the_file_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let notebook = open(&folder);
    notebook.note(0, "kept").await.unwrap().unwrap();
    let full = (Change::Fail(Failure::Full), Failure::Full);
    let damaged = Failure::Damaged("a wrong page".to_owned());
    let damaged = (Change::Panic("a wrong page"), damaged);
    for (count, (change, failure)) in (2..).zip([full, damaged]) {
        let busy = keep_busy(&notebook);
        let all = async {
            tokio::join!(
                notebook.note(1, "not made"),
                notebook.write(change),
                async { drop(busy) },
            )
        };
        let (with_it, itself, ()) = all.await;
        assert_eq!(with_it, Err(WriteError::Failed(failure.clone())));
        assert_eq!(itself, Err(WriteError::Failed(failure)));
        assert_eq!(notebook.get(1), Ok(None));
        let after = notebook.note(count, "after it").await;
        assert_eq!(after, Ok(Ok(count)), "the file is open again");
    }
    assert_eq!(notebook.get(0), Ok(Some("kept".to_owned())));
    let told = notebook.told().into_iter().filter_map(Result::ok);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [1, 1, 2, 2, 3],
        "only of what was made"
    );
}

#[test]
fn what_waits_is_written_when_the_writer_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let notebook = open(&folder);
    let busy = keep_busy(&notebook);
    for at in 0..40 {
        let mut noting = pin!(notebook.note(at, "late"));
        let polled = noting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Pending);
    }
    drop(busy);
    drop(notebook);
    let notebook = open(&folder);
    for at in 0..40 {
        assert_eq!(notebook.get(at), Ok(Some("late".to_owned())));
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Some(file) = TestProcess::file() {
        return write_until_killed(&file);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.redb");
    let this = "writer::what_was_acknowledged_survives_kill_9";
    let mut process = TestProcess::start(this, &file);
    let mut acknowledged: Vec<_> = process.said().take(150).collect();
    acknowledged.extend(process.kill()); // what it said before the signal came counts too
    assert!(acknowledged.len() >= 150, "it writes until it is killed");
    let notebook = Notebook::open(&file).unwrap();
    for text in acknowledged {
        let at = text.parse().unwrap();
        assert_eq!(notebook.get(at), Ok(Some(text)));
    }
}

#[tokio::main]
async fn write_until_killed(file: &Path) {
    let notebook = Arc::new(Notebook::open(file).unwrap());
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let notebook = Arc::clone(&notebook);
            tokio::spawn(async move {
                for at in (task..u64::MAX).step_by(8) {
                    notebook.note(at, &at.to_string()).await.unwrap().unwrap();
                    TestProcess::say(&at.to_string());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_fails_changes_and_the_file_goes_on() {
    if let Some(file) = TestProcess::file() {
        return write_until_full(&file).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.redb");
    drop(Notebook::open(&file).unwrap()); // room for the beginning
    let this = "writer::a_full_disk_fails_changes_and_the_file_goes_on";
    let kept = TestProcess::start_on_full_disk(this, &file, 4 << 20).finish();
    assert!(kept.len() > 5, "some fitted: {kept:?}");
    let notebook = Notebook::open(&file).unwrap();
    for at in &kept {
        let note = notebook.get(at.parse().unwrap()).unwrap();
        assert_eq!(note.map(|note| note.len()), Some(64 << 10));
    }
    let after = notebook.note(u64::MAX, "there is room again").await;
    assert_eq!(after, Ok(Ok(kept.len() as u64 + 1)));
}

async fn write_until_full(file: &Path) {
    let notebook = Notebook::open(file).unwrap();
    let mut kept = 0;
    let error = loop {
        match notebook.note(kept, &"x".repeat(64 << 10)).await {
            Ok(put) => put.unwrap(),
            Err(error) => break error,
        };
        kept += 1;
        assert!(kept < 1_000, "the limit was never met");
    };
    assert_eq!(error, WriteError::Failed(Failure::Full));
    for _ in 0..3 {
        let more = notebook.note(kept, &"x".repeat(1 << 19)).await;
        assert_eq!(more, Err(error.clone()), "it is open and still full");
    }
    assert_eq!(notebook.get(kept), Ok(None), "reads go on");
    (0..kept).for_each(|at| TestProcess::say(&at.to_string()));
}
