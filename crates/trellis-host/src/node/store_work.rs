//! Changes of the lattice's store, each with a revision check, so that no concurrent change is lost.

use std::sync::Arc;

use bytes::Bytes;
use trellis_control::{
    Claims, ComponentSpec, ConfigName, DeleteLink, LatticeKey, Link, LinkConflict, REPLY_BYTES_MAX,
    decode, delete_link, encode, put_link,
};
use trellis_core::{ChangeId, ComponentId, with_causes};
use trellis_lattice::store::{
    Bucket, Entry, Expected, Key, Once, PutError, Removal, Update, UpdateError, update, update_once,
};
use trellis_node::{LinkDeletion, Outcome, Serial, StoreFailure, StoreTask, StoreWork, Stored};

use super::state_watch::stored;

/// The two buckets of a lattice.
#[derive(Clone)]
pub(crate) struct Buckets {
    pub(crate) specs: Arc<dyn Bucket>,
    pub(crate) configs: Arc<dyn Bucket>,
}

impl Buckets {
    /// Does one piece of work on the store. Ends within the store's deadlines.
    pub(super) async fn work(&self, work: StoreWork) -> Outcome {
        let StoreWork {
            serial,
            task,
            change,
        } = work;
        let id = change.as_ref();
        let result = match task {
            StoreTask::PutLink {
                link,
                unseen_config,
            } => self.put_link(serial, id, link, unseen_config).await,
            StoreTask::DeleteLink(deletion) => self.delete_link(serial, id, &deletion).await,
            StoreTask::PutConfig { name, bytes } => self.put_config(serial, id, &name, bytes).await,
            StoreTask::DeleteConfig(name) => self.delete_config(serial, id, &name).await,
            StoreTask::ReadConfig(name) => self.read_config(serial, &name).await,
            StoreTask::EnsureSpec { id, url } => self.ensure_spec(serial, &id, url).await,
            StoreTask::PutClaims(claims) => self.put_claims(serial, &claims).await,
        };
        result.unwrap_or_else(|failure| Outcome::StoreFailed { serial, failure })
    }

    async fn put_link(
        &self,
        serial: Serial,
        id: Option<&ChangeId>,
        link: Link,
        unseen_config: Vec<String>,
    ) -> Result<Outcome, StoreFailure> {
        let mut names = Vec::new();
        for name in unseen_config {
            let found = match Key::new(&name) {
                Ok(key) => self.configs.get(&key).await.map_err(refused)?.is_some(),
                Err(_) => false,
            };
            if !found {
                names.push(name);
            }
        }
        if !names.is_empty() {
            return Err(StoreFailure::MissingConfig { names });
        }
        let key = spec_key(&link.source_id)?;
        let mut conflict: Option<LinkConflict> = None;
        let change = |current: Option<&Entry>| {
            conflict = None;
            let spec = spec(current);
            match put_link(&spec, link.clone()) {
                Ok(new) if new == spec && current.is_some() => Update::Keep,
                Ok(new) => Update::Put(encode(&new)),
                Err(error) => {
                    conflict = Some(error);
                    Update::Decline
                }
            }
        };
        let updated = self.update_spec(&key, id, change).await?;
        match (conflict, updated) {
            (Some(conflict), _) => Err(conflict.into()),
            (None, Once::Now(written)) => Ok(Outcome::LinkStored { serial, written }),
            (None, Once::Before) => Ok(Outcome::MadeBefore { serial }),
        }
    }

    async fn delete_link(
        &self,
        serial: Serial,
        id: Option<&ChangeId>,
        deletion: &DeleteLink,
    ) -> Result<Outcome, StoreFailure> {
        let key = spec_key(&deletion.source_id)?;
        let mut found = LinkDeletion::NoSpec;
        let change = |current: Option<&Entry>| {
            if current.is_none() {
                found = LinkDeletion::NoSpec;
                return Update::Keep;
            }
            let (new, removed) = delete_link(&spec(current), deletion);
            match removed {
                Some(link) => {
                    found = LinkDeletion::Removed(link);
                    Update::Put(encode(&new))
                }
                None => {
                    found = LinkDeletion::NoSuchLink;
                    Update::Keep
                }
            }
        };
        Ok(match self.update_spec(&key, id, change).await? {
            Once::Now(written) => Outcome::LinkDeleted {
                serial,
                deletion: found,
                written,
            },
            Once::Before => Outcome::MadeBefore { serial },
        })
    }

    async fn ensure_spec(
        &self,
        serial: Serial,
        id: &ComponentId,
        url: String,
    ) -> Result<Outcome, StoreFailure> {
        let key = spec_key(id.as_str())?;
        let change = |current: Option<&Entry>| match current {
            Some(_) => Update::Keep,
            None => Update::Put(encode(&ComponentSpec {
                url: url.clone(),
                links: Vec::new(),
            })),
        };
        self.update_spec(&key, None, change).await?;
        Ok(Outcome::Ensured { serial })
    }

    /// Returns what was written, where something was.
    async fn update_spec(
        &self,
        key: &Key,
        id: Option<&ChangeId>,
        mut change: impl FnMut(Option<&Entry>) -> Update + Send,
    ) -> Result<Once<Option<Stored>>, StoreFailure> {
        let mut was_kept = false;
        let watched = |current: Option<&Entry>| {
            let update = change(current);
            was_kept = matches!(update, Update::Keep | Update::Decline);
            update
        };
        let updated = match id {
            Some(id) => update_once(&*self.specs, id, key, watched).await,
            None => update(&*self.specs, key, watched).await.map(Once::Now),
        };
        let updated = updated.map_err(|error| match error {
            UpdateError::Put(error) => failed(error),
            error => refused(error),
        })?;
        Ok(match updated {
            Once::Now(entry) => Once::Now(entry.filter(|_| !was_kept).map(stored)),
            Once::Before => Once::Before,
        })
    }

    async fn put_claims(&self, serial: Serial, claims: &Claims) -> Result<Outcome, StoreFailure> {
        let key = key(&LatticeKey::Claims(claims.subject().to_owned()).to_string())?;
        let put = self.specs.put(&key, encode(claims), Expected::Any).await;
        put.map_err(failed)?;
        Ok(Outcome::Ensured { serial })
    }

    async fn put_config(
        &self,
        serial: Serial,
        id: Option<&ChangeId>,
        name: &ConfigName,
        bytes: Bytes,
    ) -> Result<Outcome, StoreFailure> {
        let key = key(name.as_str())?;
        let put = match id {
            Some(id) => {
                let put = self
                    .configs
                    .put_once(id, &key, bytes.clone(), Expected::Any);
                put.await
            }
            None => {
                let put = self.configs.put(&key, bytes.clone(), Expected::Any);
                put.await.map(Once::Now)
            }
        };
        let Once::Now(revision) = put.map_err(failed)? else {
            return Ok(Outcome::MadeBefore { serial });
        };
        let written = Stored {
            key: name.as_str().to_owned(),
            value: bytes,
            revision,
        };
        Ok(Outcome::ConfigStored { serial, written })
    }

    async fn delete_config(
        &self,
        serial: Serial,
        id: Option<&ChangeId>,
        name: &ConfigName,
    ) -> Result<Outcome, StoreFailure> {
        let key = key(name.as_str())?;
        if let Some(id) = id {
            let remove = self
                .configs
                .remove_once(id, &key, Removal::Purge, Expected::Any);
            return Ok(match remove.await.map_err(failed)? {
                Once::Now(revision) => Outcome::ConfigDeleted {
                    serial,
                    revision: Some(revision),
                },
                Once::Before => Outcome::MadeBefore { serial },
            });
        }
        if self.configs.get(&key).await.map_err(refused)?.is_none() {
            return Ok(Outcome::ConfigDeleted {
                serial,
                revision: None,
            });
        }
        let removed = self.configs.remove(&key, Removal::Purge, Expected::Any);
        let revision = removed.await.map_err(failed)?;
        Ok(Outcome::ConfigDeleted { serial, revision })
    }

    async fn read_config(
        &self,
        serial: Serial,
        name: &ConfigName,
    ) -> Result<Outcome, StoreFailure> {
        let entry = self.configs.get(&key(name.as_str())?).await;
        let value = entry.map_err(refused)?.map(|entry| entry.value);
        Ok(Outcome::ConfigRead { serial, value })
    }
}

/// Answers for a store that is not open yet.
pub(super) fn not_open(work: &StoreWork) -> Outcome {
    Outcome::StoreFailed {
        serial: work.serial,
        failure: StoreFailure::Refused {
            why: "the lattice's state has not been opened since this host started".to_owned(),
        },
    }
}

/// Reads a spec. One that cannot be read counts as empty, as for hosts of 1.x.
fn spec(entry: Option<&Entry>) -> ComponentSpec {
    entry
        .and_then(|entry| decode(&entry.value, REPLY_BYTES_MAX).ok())
        .unwrap_or_default()
}

fn spec_key(id: &str) -> Result<Key, StoreFailure> {
    key(&LatticeKey::Component(id.to_owned()).to_string())
}

fn key(text: &str) -> Result<Key, StoreFailure> {
    Key::new(text).map_err(refused)
}

/// Nothing was written.
fn refused(error: impl std::error::Error + Send + Sync + 'static) -> StoreFailure {
    StoreFailure::Refused {
        why: with_causes(&error),
    }
}

/// Nothing was written, or nobody knows.
fn failed(error: PutError) -> StoreFailure {
    let why = with_causes(&error);
    match error {
        PutError::Unknown { .. } => StoreFailure::Unknown { why },
        _ => StoreFailure::Refused { why },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use trellis_lattice::store::{BucketName, EmbeddedStore, OpenOptions, Store};

    use super::*;

    fn change(id: &str, task: StoreTask) -> StoreWork {
        StoreWork {
            serial: Serial(1),
            task,
            change: Some(ChangeId::new(id).unwrap()),
        }
    }

    fn link(target: &str) -> Link {
        Link {
            source_id: "web".to_owned(),
            target: target.to_owned(),
            name: "default".to_owned(),
            wit_namespace: "acme".to_owned(),
            wit_package: "shop".to_owned(),
            interfaces: vec!["cart".to_owned()],
            ..Link::default()
        }
    }

    #[tokio::test]
    async fn a_late_copy_of_a_request_undoes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(folder.path().join("state.redb"));
        let store = EmbeddedStore::open(options).unwrap();
        let bucket = async |name| store.bucket(&BucketName::new(name).unwrap()).await.unwrap();
        let buckets = Buckets {
            specs: bucket("LATTICEDATA_default").await,
            configs: bucket("CONFIGDATA_default").await,
        };
        let name = ConfigName::new("carts").unwrap();
        let put_config = |text: &'static str| StoreTask::PutConfig {
            name: name.clone(),
            bytes: text.into(),
        };
        let put_link = |target| StoreTask::PutLink {
            link: link(target),
            unseen_config: Vec::new(),
        };
        let delete_link = StoreTask::DeleteLink(DeleteLink {
            source_id: "web".to_owned(),
            name: "default".to_owned(),
            wit_namespace: "acme".to_owned(),
            wit_package: "shop".to_owned(),
            target: None,
        });
        // Each is made, those too that find everything as wanted; the last ones are what stays.
        let made = [
            change("1", StoreTask::DeleteConfig(name.clone())),
            change("2", put_config("one")),
            change("3", StoreTask::DeleteConfig(name.clone())),
            change("4", put_config("two")),
            change("5", delete_link.clone()),
            change("6", put_link("one")),
            change("7", put_link("one")),
            change("8", delete_link),
            change("9", put_link("two")),
        ];
        for work in made.clone() {
            let outcome = buckets.work(work.clone()).await;
            let failed = matches!(
                outcome,
                Outcome::MadeBefore { .. } | Outcome::StoreFailed { .. }
            );
            assert!(!failed, "{work:?}: {outcome:?}");
        }
        // One that is refused leaves no trace.
        let refused = buckets.work(change("10", put_link("three"))).await;
        assert!(
            matches!(refused, Outcome::StoreFailed { .. }),
            "{refused:?}"
        );
        for work in made {
            let outcome = buckets.work(work.clone()).await;
            // A link that leads elsewhere by now is refused before the store is asked.
            let is_known = matches!(
                outcome,
                Outcome::MadeBefore { .. }
                    | Outcome::StoreFailed {
                        failure: StoreFailure::Conflict(_),
                        ..
                    }
            );
            assert!(is_known, "{work:?}: {outcome:?}");
        }
        let key = Key::new("carts").unwrap();
        let config = buckets.configs.get(&key).await.unwrap().unwrap();
        assert_eq!(config.value, "two");
        let key = spec_key("web").unwrap();
        let spec = spec(buckets.specs.get(&key).await.unwrap().as_ref());
        assert_eq!(spec.links, [link("two")]);
    }
}
