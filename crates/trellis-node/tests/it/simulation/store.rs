//! The model of the store: two buckets with revisions, and what a watch of each would tell.

use std::collections::BTreeMap;

use bytes::Bytes;
use trellis_control::{
    ComponentSpec, Config, DeleteLink, LatticeKey, Link, decode, delete_link, encode, put_link,
};
use trellis_node::{
    Incarnation, LinkDeletion, Outcome, StoreChange, StoreFailure, StoreTask, StoreWork, Stored,
};

/// Which of the two buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bucket {
    Specs,
    Configs,
}

impl Bucket {
    pub(super) const BOTH: [Self; 2] = [Self::Specs, Self::Configs];
}

/// One bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) created: u64,
    pub(super) revision: u64,
    pub(super) entries: BTreeMap<String, (u64, Bytes)>,
}

/// A change, as a notice carries it.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) bucket: Bucket,
    pub(super) created: u64,
    pub(super) key: String,
    pub(super) revision: u64,
    pub(super) value: Option<Bytes>,
}

/// Both buckets.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) specs: Model,
    pub(super) configs: Model,
    pub(super) wipes: u64,
}

impl Store {
    pub(super) fn bucket(&self, bucket: Bucket) -> &Model {
        match bucket {
            Bucket::Specs => &self.specs,
            Bucket::Configs => &self.configs,
        }
    }

    /// Deletes both buckets and makes them again.
    pub(super) fn wipe(&mut self) {
        self.wipes += 1;
        for model in [&mut self.specs, &mut self.configs] {
            *model = Model {
                created: self.wipes,
                ..Model::default()
            };
        }
    }

    /// Does one piece of work, all at once, as a loop with revision checks comes out.
    pub(super) fn work(&mut self, work: StoreWork) -> (Outcome, Option<Notice>) {
        let serial = work.serial;
        match work.task {
            StoreTask::PutLink {
                link,
                unseen_config,
            } => {
                let missing = |it: &String| !self.configs.entries.contains_key(it);
                let names: Vec<String> = unseen_config.into_iter().filter(missing).collect();
                if !names.is_empty() {
                    let failure = StoreFailure::MissingConfig { names };
                    return (Outcome::StoreFailed { serial, failure }, None);
                }
                match put_link(&self.spec(&link.source_id), link.clone()) {
                    Err(conflict) => {
                        let failure = StoreFailure::Conflict(conflict);
                        (Outcome::StoreFailed { serial, failure }, None)
                    }
                    Ok(spec) => {
                        let (stored, notice) = self.put_spec(&link.source_id, &spec);
                        let written = Some(stored);
                        (Outcome::LinkStored { serial, written }, Some(notice))
                    }
                }
            }
            StoreTask::DeleteLink(deletion) => {
                let (deletion, written, notice) = self.delete_link(&deletion);
                let outcome = Outcome::LinkDeleted {
                    serial,
                    deletion,
                    written,
                };
                (outcome, notice)
            }
            StoreTask::PutConfig { name, bytes } => {
                let (written, notice) = self.put(Bucket::Configs, name.as_str(), bytes);
                (Outcome::ConfigStored { serial, written }, Some(notice))
            }
            StoreTask::DeleteConfig(name) => {
                let notice = self.remove(Bucket::Configs, name.as_str());
                let revision = notice.as_ref().map(|it| it.revision);
                (Outcome::ConfigDeleted { serial, revision }, notice)
            }
            StoreTask::ReadConfig(name) => {
                let value = self.configs.entries.get(name.as_str());
                let value = value.map(|(_, it)| it.clone());
                (Outcome::ConfigRead { serial, value }, None)
            }
            StoreTask::EnsureSpec { id, url } => {
                let key = spec_key(id.as_str());
                if self.specs.entries.contains_key(&key) {
                    return (Outcome::Ensured { serial }, None);
                }
                let links = Vec::new();
                let (_, notice) = self.put_spec(id.as_str(), &ComponentSpec { url, links });
                (Outcome::Ensured { serial }, Some(notice))
            }
            StoreTask::PutClaims(claims) => {
                let key = LatticeKey::Claims(claims.subject().to_owned()).to_string();
                let (_, notice) = self.put(Bucket::Specs, &key, encode(&claims));
                (Outcome::Ensured { serial }, Some(notice))
            }
        }
    }

    pub(super) fn spec(&self, id: &str) -> ComponentSpec {
        match self.specs.entries.get(&spec_key(id)) {
            Some((_, value)) => decode(value, usize::MAX).unwrap(),
            None => ComponentSpec::default(),
        }
    }

    pub(super) fn links(&self) -> Vec<Link> {
        let ids = self.specs.entries.keys();
        let ids = ids.filter_map(|key| key.strip_prefix(LatticeKey::COMPONENT_PREFIX));
        ids.flat_map(|id| self.spec(id).links).collect()
    }

    pub(super) fn config(&self) -> BTreeMap<String, Config> {
        let all = self.configs.entries.iter();
        all.map(|(name, (_, value))| (name.clone(), decode(value, usize::MAX).unwrap()))
            .collect()
    }

    fn delete_link(
        &mut self,
        deletion: &DeleteLink,
    ) -> (LinkDeletion, Option<Stored>, Option<Notice>) {
        let source = deletion.source_id.clone();
        if !self.specs.entries.contains_key(&spec_key(&source)) {
            return (LinkDeletion::NoSpec, None, None);
        }
        match delete_link(&self.spec(&source), deletion) {
            (_, None) => (LinkDeletion::NoSuchLink, None, None),
            (spec, Some(link)) => {
                let (stored, notice) = self.put_spec(&source, &spec);
                (LinkDeletion::Removed(link), Some(stored), Some(notice))
            }
        }
    }

    fn put_spec(&mut self, id: &str, spec: &ComponentSpec) -> (Stored, Notice) {
        self.put(Bucket::Specs, &spec_key(id), encode(spec))
    }

    fn put(&mut self, bucket: Bucket, key: &str, value: Bytes) -> (Stored, Notice) {
        let model = match bucket {
            Bucket::Specs => &mut self.specs,
            Bucket::Configs => &mut self.configs,
        };
        model.revision += 1;
        let revision = model.revision;
        model
            .entries
            .insert(key.to_owned(), (revision, value.clone()));
        let notice = Notice {
            bucket,
            created: model.created,
            key: key.to_owned(),
            revision,
            value: Some(value.clone()),
        };
        let key = key.to_owned();
        let stored = Stored {
            key,
            value,
            revision,
        };
        (stored, notice)
    }

    fn remove(&mut self, bucket: Bucket, key: &str) -> Option<Notice> {
        let model = match bucket {
            Bucket::Specs => &mut self.specs,
            Bucket::Configs => &mut self.configs,
        };
        model.entries.remove(key)?;
        model.revision += 1;
        Some(Notice {
            bucket,
            created: model.created,
            key: key.to_owned(),
            revision: model.revision,
            value: None,
        })
    }
}

fn spec_key(id: &str) -> String {
    LatticeKey::Component(id.to_owned()).to_string()
}

/// What a watch has told of one bucket.
#[derive(Debug, Default)]
pub(super) struct View {
    created: Option<u64>,
    /// Everything up to this revision was told.
    floor: u64,
    told: BTreeMap<String, u64>,
    pub(super) stale: bool,
    pub(super) read_at: u64,
}

impl View {
    /// Takes a notice; returns what the watch tells.
    pub(super) fn notice(&mut self, notice: Notice) -> Option<StoreChange> {
        let Notice {
            key,
            revision,
            value,
            ..
        } = notice;
        let known = self.told.get(&key).is_some_and(|it| *it >= revision);
        if self.created != Some(notice.created) || revision <= self.floor || known {
            return None;
        }
        self.told.insert(key.clone(), revision);
        Some(match value {
            Some(value) => StoreChange::Put(Stored {
                key,
                value,
                revision,
            }),
            None => StoreChange::Delete { key, revision },
        })
    }

    /// Reads everything; returns what the watch tells.
    pub(super) fn read(&mut self, model: &Model, now: u64) -> Vec<StoreChange> {
        let mut changes = Vec::new();
        self.read_at = now;
        if self.created != Some(model.created) {
            if self.created.is_some() {
                let why = "it was deleted and made again".to_owned();
                changes.push(StoreChange::Rewound { why });
            }
            changes.push(self.reset(model));
            self.stale = false;
            return changes;
        }
        if std::mem::take(&mut self.stale) {
            changes.push(StoreChange::Fresh);
        }
        for (key, (revision, value)) in &model.entries {
            if self.told.get(key).is_none_or(|it| it < revision) {
                self.told.insert(key.clone(), *revision);
                changes.push(StoreChange::Put(Stored {
                    key: key.clone(),
                    value: value.clone(),
                    revision: *revision,
                }));
            }
        }
        let gone: Vec<String> = self.told.keys().cloned().collect();
        for key in gone
            .into_iter()
            .filter(|key| !model.entries.contains_key(key))
        {
            self.told.remove(&key);
            let revision = model.revision;
            changes.push(StoreChange::Delete { key, revision });
        }
        self.floor = model.revision;
        changes
    }

    fn reset(&mut self, model: &Model) -> StoreChange {
        self.created = Some(model.created);
        self.floor = model.revision;
        self.told.clear();
        let mut entries = Vec::new();
        for (key, (revision, value)) in &model.entries {
            self.told.insert(key.clone(), *revision);
            entries.push(Stored {
                key: key.clone(),
                value: value.clone(),
                revision: *revision,
            });
        }
        let created = model.created.to_string();
        let incarnation = Incarnation {
            created,
            revision: model.revision,
        };
        StoreChange::Reset {
            entries,
            incarnation,
        }
    }
}
