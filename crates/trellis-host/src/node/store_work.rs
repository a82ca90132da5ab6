//! Changes of the lattice's store, each with a revision check, so that no concurrent change is lost.

use std::sync::Arc;

use bytes::Bytes;
use trellis_control::{
    Claims, ComponentSpec, ConfigName, DeleteLink, LatticeKey, Link, LinkConflict, REPLY_BYTES_MAX,
    decode, delete_link, encode, put_link,
};
use trellis_core::{ComponentId, with_causes};
use trellis_lattice::store::{
    Bucket, Entry, Expected, Key, PutError, Removal, Update, UpdateError, update,
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
        let StoreWork { serial, task } = work;
        let result = match task {
            StoreTask::PutLink {
                link,
                unseen_config,
            } => self.put_link(serial, link, unseen_config).await,
            StoreTask::DeleteLink(deletion) => self.delete_link(serial, &deletion).await,
            StoreTask::PutConfig { name, bytes } => self.put_config(serial, &name, bytes).await,
            StoreTask::DeleteConfig(name) => self.delete_config(serial, &name).await,
            StoreTask::ReadConfig(name) => self.read_config(serial, &name).await,
            StoreTask::EnsureSpec { id, url } => self.ensure_spec(serial, &id, url).await,
            StoreTask::PutClaims(claims) => self.put_claims(serial, &claims).await,
        };
        result.unwrap_or_else(|failure| Outcome::StoreFailed { serial, failure })
    }

    async fn put_link(
        &self,
        serial: Serial,
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
            let spec = spec(current);
            match put_link(&spec, link.clone()) {
                Ok(new) if new == spec && current.is_some() => Update::Keep,
                Ok(new) => Update::Put(encode(&new)),
                Err(error) => {
                    conflict = Some(error);
                    Update::Keep
                }
            }
        };
        let written = self.update_spec(&key, change).await?;
        match conflict {
            Some(conflict) => Err(conflict.into()),
            None => Ok(Outcome::LinkStored { serial, written }),
        }
    }

    async fn delete_link(
        &self,
        serial: Serial,
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
        let written = self.update_spec(&key, change).await?;
        Ok(Outcome::LinkDeleted {
            serial,
            deletion: found,
            written,
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
        self.update_spec(&key, change).await?;
        Ok(Outcome::Ensured { serial })
    }

    /// Returns what was written, where something was.
    async fn update_spec(
        &self,
        key: &Key,
        mut change: impl FnMut(Option<&Entry>) -> Update + Send,
    ) -> Result<Option<Stored>, StoreFailure> {
        let mut was_kept = false;
        let watched = |current: Option<&Entry>| {
            let update = change(current);
            was_kept = update == Update::Keep;
            update
        };
        let entry = update(&*self.specs, key, watched).await;
        let entry = entry.map_err(|error| match error {
            UpdateError::Put(error) => failed(error),
            error => refused(error),
        })?;
        Ok(entry.filter(|_| !was_kept).map(stored))
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
        name: &ConfigName,
        bytes: Bytes,
    ) -> Result<Outcome, StoreFailure> {
        let key = key(name.as_str())?;
        let revision = self
            .configs
            .put(&key, bytes.clone(), Expected::Any)
            .await
            .map_err(failed)?;
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
        name: &ConfigName,
    ) -> Result<Outcome, StoreFailure> {
        let key = key(name.as_str())?;
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
