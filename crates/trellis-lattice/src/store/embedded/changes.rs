//! Changes of buckets: what they are, how each is made, and notices of those that were committed.

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};
use tokio::sync::broadcast;
use trellis_core::ChangeId;
use trellis_storage::{Bounds, Changes, Failure};

use super::super::view::Record;
use super::super::{BucketName, Entry, Expected, Incarnation, Key, VALUE_BYTES_MAX};
use super::layout;
use super::made::{self, Made};
use super::tables::{BUCKETS, ENTRIES, MADE};

/// Changes that wait for the disk. At one sync in 5 ms (a common SSD) and 256 changes a sync, the
/// last of them waits 20 ms.
const CHANGES_QUEUED_MAX: usize = 1_024;
/// Bytes that wait for the disk: a few of the largest values, or many small ones.
const BYTES_QUEUED_MAX: usize = 16 * VALUE_BYTES_MAX;
/// Changes of one transaction: past this the sync is a small part of the cost.
const CHANGES_COMMITTED_MAX: usize = 256;
/// Committed changes that a watch may lag behind before it reads everything again.
const NOTICES_QUEUED_MAX: usize = 1_024;

/// The bounds of the thread that makes these changes.
pub(super) const BOUNDS: Bounds = Bounds {
    changes_queued_max: CHANGES_QUEUED_MAX,
    bytes_queued_max: BYTES_QUEUED_MAX,
    changes_committed_max: CHANGES_COMMITTED_MAX,
    bytes_committed_max: BYTES_QUEUED_MAX, // all that may wait is little enough for one sync
};

/// One change of one bucket.
pub(super) struct Change {
    pub(super) bucket: BucketName,
    pub(super) action: Action,
}

/// What is to be done.
pub(super) enum Action {
    /// Makes the bucket, if it is missing, with this text to tell its incarnation.
    Make { created: String },
    /// Writes an entry.
    Write(Write),
}

/// A value to write, or to remove where there is none.
pub(super) struct Write {
    pub(super) key: Key,
    pub(super) value: Option<Bytes>,
    pub(super) expected: Expected,
    /// By what a copy of it is known; whatever has one is written, a removal of nothing too.
    pub(super) id: Option<ChangeId>,
}

/// What a change came to.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It was made, with this revision.
    Done(u64),
    /// There was nothing to do.
    Nothing,
    /// A change with its id was made before.
    Before,
    /// What is there is not what was expected.
    Conflict(Option<Entry>),
}

/// The bucket of a change does not exist.
#[derive(Clone, Debug)]
pub(super) struct NoBucket;

/// A change that is on the disk.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) bucket: BucketName,
    pub(super) record: Record,
}

/// The changes of the file, as its writing thread makes them.
pub(super) struct BucketChanges {
    notices: broadcast::Sender<Notice>,
}

impl BucketChanges {
    pub(super) fn new() -> Self {
        Self {
            notices: broadcast::Sender::new(NOTICES_QUEUED_MAX),
        }
    }

    /// Returns where notices can be had until the writing thread ends.
    pub(super) fn notices(&self) -> broadcast::WeakSender<Notice> {
        self.notices.downgrade()
    }
}

/// The tables of one transaction.
pub(super) struct Tables<'t> {
    buckets: Table<'t, &'static str, &'static [u8]>,
    entries: Table<'t, &'static [u8], &'static [u8]>,
    made: Made<'t>,
}

impl Changes for BucketChanges {
    type Change = Change;
    type Outcome = Result<Outcome, NoBucket>;
    type Tables<'t> = Tables<'t>;

    fn bytes(change: &Change) -> usize {
        match &change.action {
            Action::Make { created } => created.len(),
            Action::Write(write) => {
                write.key.as_str().len() + write.value.as_ref().map_or(0, Bytes::len)
            }
        }
    }

    fn open(transaction: &WriteTransaction) -> Result<Tables<'_>, Failure> {
        Ok(Tables {
            buckets: transaction.open_table(BUCKETS)?,
            entries: transaction.open_table(ENTRIES)?,
            made: transaction.open_table(MADE)?,
        })
    }

    fn apply(tables: &mut Tables<'_>, change: &Change) -> Result<Self::Outcome, Failure> {
        match &change.action {
            Action::Make { created } => make(tables, &change.bucket, created).map(Ok),
            Action::Write(write) => write.apply(tables, &change.bucket),
        }
    }

    fn committed(&self, change: &Change, outcome: &Self::Outcome) {
        if let (Ok(Outcome::Done(revision)), Action::Write(write)) = (outcome, &change.action) {
            // Nobody may be watching.
            drop(self.notices.send(Notice {
                bucket: change.bucket.clone(),
                record: Record {
                    key: write.key.clone(),
                    revision: *revision,
                    value: write.value.clone(),
                },
            }));
        }
    }
}

fn make(tables: &mut Tables<'_>, bucket: &BucketName, created: &str) -> Result<Outcome, Failure> {
    if tables.buckets.get(bucket.as_str())?.is_some() {
        return Ok(Outcome::Nothing);
    }
    let incarnation = Incarnation {
        created: created.to_owned(),
        revision: 0,
    };
    let stored = layout::bucket_value(&incarnation);
    tables.buckets.insert(bucket.as_str(), &stored[..])?;
    Ok(Outcome::Done(0))
}

impl Write {
    fn apply(
        &self,
        tables: &mut Tables<'_>,
        bucket: &BucketName,
    ) -> Result<Result<Outcome, NoBucket>, Failure> {
        let Some(mut incarnation) = read_incarnation(&tables.buckets, bucket)? else {
            return Ok(Err(NoBucket));
        };
        if let Some(id) = &self.id
            && made::contains(&tables.made, bucket, id)?
        {
            return Ok(Ok(Outcome::Before));
        }
        let stored_key = layout::entry_key(bucket, self.key.as_str());
        let current = read_current(&tables.entries, &stored_key, &self.key)?;
        let fits = match (self.expected, &current) {
            (Expected::Any, _) | (Expected::Absent, None) => true,
            (Expected::Revision(revision), Some(entry)) => entry.revision == revision,
            (Expected::Absent, Some(_)) | (Expected::Revision(_), None) => false,
        };
        if !fits {
            return Ok(Ok(Outcome::Conflict(current)));
        }
        if self.value.is_none() && current.is_none() && self.id.is_none() {
            return Ok(Ok(Outcome::Nothing));
        }
        incarnation.revision += 1;
        let revision = incarnation.revision;
        match &self.value {
            Some(value) => {
                let stored = layout::entry_value(revision, value);
                tables.entries.insert(&stored_key[..], &stored[..])?;
            }
            None => {
                tables.entries.remove(&stored_key[..])?;
            }
        }
        let stored = layout::bucket_value(&incarnation);
        tables.buckets.insert(bucket.as_str(), &stored[..])?;
        if let Some(id) = &self.id {
            made::insert(&mut tables.made, bucket, id)?;
        }
        Ok(Ok(Outcome::Done(revision)))
    }
}

/// Reads which bucket this is from a table of buckets.
pub(super) fn read_incarnation(
    buckets: &impl ReadableTable<&'static str, &'static [u8]>,
    bucket: &BucketName,
) -> Result<Option<Incarnation>, Failure> {
    let stored = buckets.get(bucket.as_str())?;
    stored
        .map(|stored| {
            layout::read_bucket(stored.value())
                .ok_or_else(|| Failure::Damaged(format!("the bucket {bucket} cannot be read")))
        })
        .transpose()
}

/// Reads the entry at `stored_key` from a table of entries.
pub(super) fn read_current(
    entries: &impl ReadableTable<&'static [u8], &'static [u8]>,
    stored_key: &[u8],
    key: &Key,
) -> Result<Option<Entry>, Failure> {
    let stored = entries.get(stored_key)?;
    stored
        .map(|stored| {
            let (revision, value) = layout::read_value(stored.value())
                .ok_or_else(|| Failure::Damaged(format!("the entry {key} cannot be read")))?;
            Ok(Entry {
                key: key.clone(),
                value: Bytes::copy_from_slice(value),
                revision,
            })
        })
        .transpose()
}
