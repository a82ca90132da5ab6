//! What a watch has told so far, and what a reading of the bucket adds to that. Pure.
//!
//! Notices and readings overlap in any order; a revision tells which of two is the later, so each
//! change is told once and none is told after a later one of its key.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

use super::watch::{Change, RewindCause};
use super::{Entry, Key};

/// The last change of one key, as a store has it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) key: Key,
    pub(super) revision: u64,
    /// `None` where it was deleted.
    pub(super) value: Option<Bytes>,
}

impl Record {
    fn into_entry(self) -> Option<Entry> {
        Some(Entry {
            value: self.value?,
            key: self.key,
            revision: self.revision,
        })
    }
}

/// Returns the entries of `records` whose keys begin with `prefix`, in the order of keys.
pub(super) fn entries(records: Vec<Record>, prefix: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = records
        .into_iter()
        .filter(|record| record.key.as_str().starts_with(prefix))
        .filter_map(Record::into_entry)
        .collect();
    entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    entries
}

/// What is known of one key.
struct Known {
    revision: u64,
    /// `None` where it was deleted.
    digest: Option<u64>,
}

/// What a watch has told.
pub(super) struct View {
    prefix: String,
    keys: HashMap<Key, Known>,
    /// Everything up to this revision is in `keys`.
    floor: u64,
}

impl View {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            keys: HashMap::new(),
            floor: 0,
        }
    }

    /// Forgets everything and takes `records` for what is there, complete up to `floor`. Returns the
    /// entries.
    pub(super) fn reset(&mut self, records: Vec<Record>, floor: u64) -> Vec<Entry> {
        self.keys.clear();
        self.floor = floor;
        for record in &records {
            if self.covers(record) {
                self.keys.insert(record.key.clone(), known(record));
            }
        }
        entries(records, &self.prefix)
    }

    /// Takes in one record; returns what is to be told of it.
    pub(super) fn apply(&mut self, record: Record) -> Option<Change> {
        if record.revision <= self.floor {
            return None;
        }
        self.apply_later(record)
    }

    /// Takes in a complete reading, which has everything up to `floor`, and returns what is to be
    /// told. It must not contradict what is known; see [`View::contradiction`].
    pub(super) fn reconcile(&mut self, records: Vec<Record>, floor: u64) -> Vec<Change> {
        let mut records = records;
        records.sort_unstable_by_key(|record| record.revision);
        let changes = records
            .into_iter()
            .filter_map(|record| self.apply_later(record))
            .collect();
        self.floor = self.floor.max(floor);
        let floor = self.floor;
        // A deletion is remembered only while an older notice of its key can still come.
        self.keys
            .retain(|_, known| known.digest.is_some() || known.revision > floor);
        changes
    }

    fn apply_later(&mut self, record: Record) -> Option<Change> {
        if !self.covers(&record) {
            return None;
        }
        let before = self.keys.get(&record.key);
        if before.is_some_and(|before| before.revision >= record.revision) {
            return None;
        }
        let was_there = before.is_some_and(|before| before.digest.is_some());
        self.keys.insert(record.key.clone(), known(&record));
        match record.value {
            Some(value) => Some(Change::Put(Entry {
                key: record.key,
                value,
                revision: record.revision,
            })),
            None => was_there.then_some(Change::Delete {
                key: record.key,
                revision: record.revision,
            }),
        }
    }

    /// Says whether a complete reading has an older state of a key than what is known.
    pub(super) fn contradiction(&self, records: &[Record]) -> Option<RewindCause> {
        let contradicted = records.iter().find(|record| {
            self.keys.get(&record.key).is_some_and(|before| {
                record.revision < before.revision
                    || (record.revision == before.revision && known(record).digest != before.digest)
            })
        })?;
        Some(RewindCause::Contradicted {
            key: contradicted.key.clone(),
        })
    }

    /// Returns the keys that are known to be there and are not in a complete reading at all, in
    /// order.
    pub(super) fn vanished(&self, records: &[Record]) -> Vec<Key> {
        let read: std::collections::HashSet<&Key> =
            records.iter().map(|record| &record.key).collect();
        let mut vanished: Vec<Key> = self
            .keys
            .iter()
            .filter(|(key, known)| known.digest.is_some() && !read.contains(key))
            .map(|(key, _)| key.clone())
            .collect();
        vanished.sort_unstable();
        vanished
    }

    fn covers(&self, record: &Record) -> bool {
        record.key.as_str().starts_with(&self.prefix)
    }
}

fn known(record: &Record) -> Known {
    let digest = record.value.as_ref().map(|value| {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    });
    Known {
        revision: record.revision,
        digest,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn record(key: &str, revision: u64, value: Option<&str>) -> Record {
        Record {
            key: Key::new(key).unwrap(),
            revision,
            value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        }
    }

    #[test]
    fn a_late_notice_is_not_told_after_a_reading() {
        let mut view = View::new("");
        view.reset(vec![record("a", 1, Some("x"))], 1);
        let told = view.reconcile(vec![record("a", 3, None)], 1);
        assert!(matches!(&told[..], [Change::Delete { revision: 3, .. }]));
        assert_eq!(view.apply(record("a", 2, Some("y"))), None);
        assert_eq!(view.apply(record("a", 3, None)), None);
        assert!(view.apply(record("a", 4, Some("z"))).is_some());
    }

    #[test]
    fn an_older_state_contradicts() {
        let mut view = View::new("a");
        view.reset(vec![record("a", 5, Some("x")), record("b", 6, None)], 6);
        let same = [record("a", 5, Some("x")), record("b", 2, Some("not ours"))];
        assert_eq!(view.contradiction(&same), None);
        assert!(view.contradiction(&[record("a", 4, Some("x"))]).is_some());
        assert!(view.contradiction(&[record("a", 5, Some("y"))]).is_some());
        assert_eq!(view.vanished(&[]), [Key::new("a").unwrap()]);
        assert!(view.vanished(&[record("a", 9, None)]).is_empty());
    }

    proptest! {
        /// However notices and readings interleave, and whichever notices are lost, the reader
        /// ends with what is there, and never sees a key go back.
        #[test]
        fn the_reader_converges(
            writes in prop::collection::vec((0_u8..4, any::<bool>()), 1..40),
            lost in prop::collection::vec(any::<bool>(), 40),
            readings in prop::collection::vec(0_usize..40, 0..5),
        ) {
            let mut view = View::new("");
            let mut reader: BTreeMap<Key, (u64, Option<Bytes>)> = BTreeMap::new();
            let mut truth: BTreeMap<Key, Record> = BTreeMap::new();
            let mut queue = Vec::new();
            let mut tell = |change: Change| {
                let (key, revision, value) = match change {
                    Change::Put(entry) => (entry.key, entry.revision, Some(entry.value)),
                    Change::Delete { key, revision } => (key, revision, None),
                    other => panic!("{other:?}"),
                };
                let before = reader.insert(key, (revision, value));
                assert!(before.is_none_or(|(before, _)| before < revision));
            };
            for (index, (key, put)) in writes.iter().enumerate() {
                let revision = index as u64 + 1;
                let value = revision.to_string();
                let one = record(&format!("k{key}"), revision, put.then_some(value.as_str()));
                truth.insert(one.key.clone(), one.clone());
                if !lost[index] {
                    queue.push(one); // delivered after the next reading
                }
                if readings.contains(&index) {
                    let floor = revision.saturating_sub(2);
                    let read: Vec<Record> = truth.values().cloned().collect();
                    assert!(view.contradiction(&read).is_none() && view.vanished(&read).is_empty());
                    view.reconcile(read, floor).into_iter().for_each(&mut tell);
                    queue.drain(..).filter_map(|one| view.apply(one)).for_each(&mut tell);
                }
            }
            queue.drain(..).filter_map(|one| view.apply(one)).for_each(&mut tell);
            let read: Vec<Record> = truth.values().cloned().collect();
            view.reconcile(read, writes.len() as u64).into_iter().for_each(&mut tell);
            for (key, truth) in &truth {
                let seen = reader.get(key).and_then(|(_, value)| value.clone());
                prop_assert_eq!(&seen, &truth.value);
            }
        }
    }
}
