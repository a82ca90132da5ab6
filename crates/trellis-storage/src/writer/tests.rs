//! Tests of the bounds: of the queue, and of what goes into one transaction.

#![allow(clippy::unwrap_used)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::Schema;

const BOUNDS: Bounds = Bounds {
    changes_queued_max: 100,
    bytes_queued_max: 100_000,
    changes_committed_max: 10,
    bytes_committed_max: 20_000,
};

/// Changes that are only as large as they say.
struct Sized;

impl Changes for Sized {
    type Change = usize;
    type Outcome = ();
    type Tables<'t> = ();

    fn bytes(change: &usize) -> usize {
        *change
    }

    fn open(_transaction: &WriteTransaction) -> Result<(), Failure> {
        Ok(())
    }

    fn apply((): &mut (), _change: &usize) -> Result<(), Failure> {
        Ok(())
    }
}

fn write(writer: &Writer<Sized>, bytes: usize) -> Poll<Result<(), WriteError>> {
    pin!(writer.write(bytes)).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_full_queue_refuses_at_once() {
    let (writer, requests) = Writer::<Sized>::unattended(BOUNDS);
    for _ in 0..BOUNDS.changes_queued_max {
        assert!(write(&writer, 1).is_pending());
    }
    assert_eq!(write(&writer, 1), Poll::Ready(Err(WriteError::Overloaded)));
    let counted = BOUNDS.changes_queued_max * (CHANGE_OVERHEAD_BYTES + 1);
    assert_eq!(writer.bytes_queued.load(Ordering::Relaxed), counted);
    drop(requests);
    assert_eq!(
        write(&writer, 1),
        Poll::Ready(Err(WriteError::Failed(Failure::Closed)))
    );
}

#[test]
fn large_changes_fill_the_queue_by_their_bytes() {
    let (writer, _requests) = Writer::<Sized>::unattended(BOUNDS);
    let half = BOUNDS.bytes_queued_max / 2 - CHANGE_OVERHEAD_BYTES;
    assert!(write(&writer, half).is_pending());
    assert!(write(&writer, half).is_pending());
    assert_eq!(write(&writer, 0), Poll::Ready(Err(WriteError::Overloaded)));
}

#[test]
fn a_transaction_takes_what_waits_up_to_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Schema {
        name: "sizes",
        ensure: |_| Ok(()),
    };
    let file = StorageFile::open(folder.path().join("sizes.redb"), 1 << 20, schema);
    let (writer, requests) = Writer::<Sized>::unattended(BOUNDS);
    let worker = Worker {
        file: Arc::new(file.unwrap()),
        changes: Sized,
        bounds: BOUNDS,
        requests,
        bytes_queued: Arc::clone(&writer.bytes_queued),
    };
    let sizes = [[1; 11].as_slice(), &[12_000, 12_000, 12_000, 1]].concat();
    for bytes in sizes {
        assert!(write(&writer, bytes).is_pending());
    }
    let mut groups = Vec::new();
    while let Ok(first) = worker.requests.try_recv() {
        let group = worker.gather(first);
        groups.push(group.iter().map(|it| it.change).collect::<Vec<_>>());
        worker.commit(group);
    }
    // By number, then by bytes: the change that passes the bound is still taken.
    assert_eq!(
        groups,
        [vec![1; 10], vec![1, 12_000, 12_000], vec![12_000, 1]]
    );
    assert_eq!(
        writer.bytes_queued.load(Ordering::Relaxed),
        0,
        "there is room again"
    );
}
