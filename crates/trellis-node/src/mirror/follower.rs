//! What is known of one bucket, kept up to date by its watch.
//!
//! Invariant: while the bucket is rewound, what is known stays as it was; what the bucket has now is
//! kept beside it until somebody accepts it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ENTRIES_MIRRORED_MAX;
use crate::effect::Note;
use crate::input::{Incarnation, StoreChange, Stored};
use crate::time::Millis;

/// How long a value that only this host's own write told is believed. The watch says that it is stale
/// after 30 s without reading everything; where it does not, it has read everything since the write.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(61);

/// Reads one value; `Ok(None)` for what is not to be kept.
pub(super) type Decode<V> = fn(&str, &[u8]) -> Result<Option<V>, Note>;

/// One key whose value changed.
#[derive(Debug)]
pub(super) struct Difference<V> {
    pub(super) key: String,
    pub(super) before: Option<V>,
    pub(super) after: Option<V>,
}

#[derive(Debug)]
struct Known<V> {
    revision: u64,
    value: V,
}

/// The values of one bucket at one time.
#[derive(Debug)]
struct Replica<V> {
    entries: BTreeMap<String, Known<V>>,
    incarnation: Option<Incarnation>,
    /// The greatest revision that the watch told.
    seen: u64,
}

impl<V> Replica<V> {
    const fn empty() -> Self {
        Self {
            entries: BTreeMap::new(),
            incarnation: None,
            seen: 0,
        }
    }
}

/// What is known of one bucket.
#[derive(Debug)]
pub(super) struct Follower<V> {
    decode: Decode<V>,
    known: Replica<V>,
    /// What the bucket has while it is rewound.
    incoming: Replica<V>,
    /// Own writes of which the watch has not told: revision and time. It never tells that a key is
    /// gone which it did not tell before.
    unconfirmed: BTreeMap<String, (u64, Millis)>,
    read: bool,
    stale: bool,
    rewound: Option<String>,
}

impl<V: Clone + PartialEq> Follower<V> {
    pub(super) fn new(decode: Decode<V>) -> Self {
        Self {
            decode,
            known: Replica::empty(),
            incoming: Replica::empty(),
            unconfirmed: BTreeMap::new(),
            read: false,
            stale: false,
            rewound: None,
        }
    }

    /// Takes in what the watch told; returns what became different of what is known.
    pub(super) fn apply(
        &mut self,
        change: StoreChange,
        notes: &mut Vec<Note>,
    ) -> Vec<Difference<V>> {
        match change {
            StoreChange::Recalled {
                entries,
                incarnation,
            } if !self.read => self.reset_known(entries, incarnation, notes),
            StoreChange::Recalled { .. } => Vec::new(),
            StoreChange::Reset {
                entries,
                incarnation,
            } => self.reset(entries, incarnation, notes),
            StoreChange::Put(stored) => self.put(stored, notes),
            StoreChange::Delete { key, revision } => self.delete(&key, revision),
            StoreChange::Stale { .. } => {
                self.stale = true;
                Vec::new()
            }
            StoreChange::Fresh => {
                self.stale = false;
                Vec::new()
            }
            StoreChange::Rewound { why } => {
                self.rewound = Some(why);
                self.incoming = Replica::empty();
                Vec::new()
            }
        }
    }

    /// Takes in what this host wrote itself, unless the watch has told later changes: one of them may
    /// have undone it, and the watch tells this one too.
    pub(super) fn written(
        &mut self,
        now: Millis,
        stored: Stored,
        notes: &mut Vec<Note>,
    ) -> Vec<Difference<V>> {
        if self.rewound.is_some() || !self.read || stored.revision <= self.known.seen {
            return Vec::new();
        }
        let unconfirmed = (stored.revision, now);
        self.unconfirmed.insert(stored.key.clone(), unconfirmed);
        let written = put(&mut self.known, self.decode, stored, notes);
        written.into_iter().collect()
    }

    /// Forgets own writes that the watch should have told of long ago: they were undone meanwhile.
    pub(super) fn expire(&mut self, now: Millis) -> Vec<Difference<V>> {
        if self.stale || self.rewound.is_some() {
            return Vec::new();
        }
        let old = |it: &&(u64, Millis)| now.since(it.1) >= UNCONFIRMED_MAX;
        if !self.unconfirmed.values().any(|it| old(&it)) {
            return Vec::new();
        }
        let mut differences = Vec::new();
        for (key, (revision, at)) in std::mem::take(&mut self.unconfirmed) {
            if !old(&&(revision, at)) {
                self.unconfirmed.insert(key, (revision, at));
            } else if self.revision_of(&key) == Some(revision) {
                differences.extend(remove(&mut self.known, &key, u64::MAX));
            }
        }
        differences
    }

    fn revision_of(&self, key: &str) -> Option<u64> {
        self.known.entries.get(key).map(|it| it.revision)
    }

    /// As [`Follower::written`], for a value that this host removed itself.
    pub(super) fn removed(&mut self, key: &str, revision: u64) -> Vec<Difference<V>> {
        if self.rewound.is_some() || !self.read || revision <= self.known.seen {
            return Vec::new();
        }
        remove(&mut self.known, key, revision).into_iter().collect()
    }

    fn reset(
        &mut self,
        entries: Vec<Stored>,
        incarnation: Incarnation,
        notes: &mut Vec<Note>,
    ) -> Vec<Difference<V>> {
        self.read = true;
        self.stale = false;
        if self.rewound.is_some() && !self.is_later(&incarnation) {
            self.incoming = Replica::empty();
            let decoded = read_all(entries, self.decode, notes, &BTreeMap::new());
            self.incoming.entries = decoded;
            self.incoming.seen = incarnation.revision;
            self.incoming.incarnation = Some(incarnation);
            return Vec::new();
        }
        self.rewound = None;
        self.incoming = Replica::empty();
        self.reset_known(entries, incarnation, notes)
    }

    /// Tells whether the bucket is a later state of what is known after all, as when it could not be
    /// found for a while.
    fn is_later(&self, incarnation: &Incarnation) -> bool {
        let known = self.known.incarnation.as_ref();
        known.is_some_and(|known| known.created == incarnation.created)
            && incarnation.revision >= self.known.seen
    }

    fn reset_known(
        &mut self,
        entries: Vec<Stored>,
        incarnation: Incarnation,
        notes: &mut Vec<Note>,
    ) -> Vec<Difference<V>> {
        self.unconfirmed.clear();
        let fresh = read_all(entries, self.decode, notes, &self.known.entries);
        self.known.seen = incarnation.revision;
        self.known.incarnation = Some(incarnation);
        replace(&mut self.known.entries, fresh)
    }

    fn put(&mut self, stored: Stored, notes: &mut Vec<Note>) -> Vec<Difference<V>> {
        self.confirm(&stored.key, stored.revision);
        let decode = self.decode;
        let replica = self.replica();
        replica.seen = replica.seen.max(stored.revision);
        let difference = put(replica, decode, stored, notes);
        self.of_known(difference)
    }

    fn confirm(&mut self, key: &str, revision: u64) {
        let told = |it: &(u64, Millis)| it.0 <= revision;
        if self.rewound.is_none() && self.unconfirmed.get(key).is_some_and(told) {
            self.unconfirmed.remove(key);
        }
    }

    fn delete(&mut self, key: &str, revision: u64) -> Vec<Difference<V>> {
        self.confirm(key, revision);
        let replica = self.replica();
        replica.seen = replica.seen.max(revision);
        let difference = remove(replica, key, revision);
        self.of_known(difference)
    }

    fn replica(&mut self) -> &mut Replica<V> {
        match self.rewound {
            Some(_) => &mut self.incoming,
            None => &mut self.known,
        }
    }

    fn of_known(&self, difference: Option<Difference<V>>) -> Vec<Difference<V>> {
        let in_force = difference.filter(|_| self.rewound.is_none());
        in_force.into_iter().collect()
    }

    /// Tells whether [`Follower::accept`] has something to accept, or needs nothing.
    pub(super) fn can_accept(&self) -> bool {
        self.rewound.is_none() || self.incoming.incarnation.is_some()
    }

    /// Takes the bucket as it is.
    pub(super) fn accept(&mut self) -> Vec<Difference<V>> {
        if self.rewound.take().is_none() {
            return Vec::new();
        }
        self.unconfirmed.clear();
        let incoming = std::mem::replace(&mut self.incoming, Replica::empty());
        self.known.seen = incoming.seen;
        self.known.incarnation = incoming.incarnation;
        replace(&mut self.known.entries, incoming.entries)
    }

    pub(super) fn get(&self, key: &str) -> Option<&V> {
        self.known.entries.get(key).map(|it| &it.value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        let entries = self.known.entries.iter();
        entries.map(|(key, known)| (key.as_str(), &known.value))
    }

    /// Returns which bucket is known, and up to which change.
    pub(super) fn incarnation(&self) -> Option<Incarnation> {
        let known = self.known.incarnation.as_ref()?;
        Some(Incarnation {
            created: known.created.clone(),
            revision: known.revision.max(self.known.seen),
        })
    }

    pub(super) fn is_read(&self) -> bool {
        self.read
    }

    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    pub(super) fn rewound(&self) -> Option<&str> {
        self.rewound.as_deref()
    }
}

fn put<V: Clone + PartialEq>(
    replica: &mut Replica<V>,
    decode: Decode<V>,
    stored: Stored,
    notes: &mut Vec<Note>,
) -> Option<Difference<V>> {
    let is_full = replica.entries.len() >= ENTRIES_MIRRORED_MAX;
    let known = replica.entries.get_mut(&stored.key);
    if known
        .as_ref()
        .is_some_and(|it| it.revision >= stored.revision)
    {
        return None;
    }
    let value = match decode(&stored.key, &stored.value) {
        Ok(value) => value?,
        Err(note) => {
            notes.push(note);
            return None;
        }
    };
    let revision = stored.revision;
    let before = match known {
        Some(known) => {
            known.revision = revision;
            Some(std::mem::replace(&mut known.value, value.clone()))
        }
        None if is_full => {
            notes.push(too_many(stored.key));
            return None;
        }
        None => {
            let value = value.clone();
            replica
                .entries
                .insert(stored.key.clone(), Known { revision, value });
            None
        }
    };
    let difference = Difference {
        key: stored.key,
        before,
        after: Some(value),
    };
    (difference.before != difference.after).then_some(difference)
}

fn remove<V>(replica: &mut Replica<V>, key: &str, revision: u64) -> Option<Difference<V>> {
    if replica.entries.get(key)?.revision >= revision {
        return None;
    }
    replica.entries.remove(key).map(|gone| Difference {
        key: key.to_owned(),
        before: Some(gone.value),
        after: None,
    })
}

/// Reads all entries; one that cannot be read keeps its value in `before`.
fn read_all<V: Clone>(
    entries: Vec<Stored>,
    decode: Decode<V>,
    notes: &mut Vec<Note>,
    before: &BTreeMap<String, Known<V>>,
) -> BTreeMap<String, Known<V>> {
    let mut fresh = BTreeMap::new();
    for Stored {
        key,
        value,
        revision,
    } in entries
    {
        let value = match decode(&key, &value) {
            Ok(value) => value,
            Err(note) => {
                notes.push(note);
                before.get(&key).map(|it| it.value.clone())
            }
        };
        match value {
            Some(_) if fresh.len() >= ENTRIES_MIRRORED_MAX => notes.push(too_many(key)),
            Some(value) => {
                fresh.insert(key, Known { revision, value });
            }
            None => {}
        }
    }
    fresh
}

fn replace<V: Clone + PartialEq>(
    entries: &mut BTreeMap<String, Known<V>>,
    fresh: BTreeMap<String, Known<V>>,
) -> Vec<Difference<V>> {
    let mut old = std::mem::replace(entries, fresh);
    let mut differences = Vec::new();
    for (key, known) in entries.iter() {
        let before = old.remove(key).map(|it| it.value);
        if before.as_ref() != Some(&known.value) {
            differences.push(Difference {
                key: key.clone(),
                before,
                after: Some(known.value.clone()),
            });
        }
    }
    differences.extend(old.into_iter().map(|(key, gone)| Difference {
        key,
        before: Some(gone.value),
        after: None,
    }));
    differences
}

fn too_many(key: String) -> Note {
    Note::TooManyEntries {
        key,
        entries_max: ENTRIES_MIRRORED_MAX,
    }
}
