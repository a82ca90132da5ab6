//! A key-value provider elsewhere in the lattice, as a backend here: `wrpc:keyvalue@0.2.0-draft`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use trellis_capabilities::keyvalue::{
    Bucket, BucketName, KeyPage, KeyValueBackend, KeyValueError, check_key, check_keys, check_pair,
    check_pairs,
};
use trellis_core::ErrorClass;
use trellis_wire::twins::keyvalue::{Error, KeyResponse};
use trellis_wire::twins::{Bytes as WireBytes, Decode, Encode, from_wire, to_wire};
use trellis_wire::{DecodeError, Reader};
use trellis_wrpc::{CallError, CallOptions, Client, Headers, SubjectError, Takers, Target};

use super::LinkEnds;
use crate::blueprint::Retry;
use crate::node::runners::Failed;

/// The longest that one operation may take. A guest has 30 s unless it was given more, so there is time
/// left for it to say what happened.
const OPERATION_DEADLINE: Duration = Duration::from_secs(10);

/// Keys that one answer may list. Providers of wasmCloud 1.x may list a whole bucket at once; a key takes
/// 24 bytes here and may take one on the wire.
const KEYS_LISTED_MAX: usize = 1 << 20;

/// Bytes of a provider's own words that a guest is told.
const MESSAGE_BYTES_MAX: usize = 1 << 10;

/// The buckets of one provider elsewhere, as one link of one component reaches them.
pub struct RemoteKeyValue {
    link: Arc<Link>,
}

struct Link {
    client: Client,
    ends: LinkEnds,
    headers: Headers,
    functions: Functions,
    retry: Retry,
}

/// What an operation does to a store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Nothing: it may always run twice.
    Reads,
    /// It leaves the same behind however often it runs, unless somebody else changes the value between.
    Sets,
    /// It counts on from what it finds: it may never run twice.
    Counts,
}

impl Effect {
    /// Tells how an operation may be repeated along a link that says `link`.
    fn retry(self, link: Retry) -> Retry {
        match self {
            Self::Reads => Retry::Idempotent,
            Self::Sets => link,
            Self::Counts => Retry::Never,
        }
    }
}

/// The addresses of all operations.
struct Functions {
    get: Target,
    set: Target,
    delete: Target,
    exists: Target,
    list_keys: Target,
    increment: Target,
    get_many: Target,
    set_many: Target,
    delete_many: Target,
}

impl Functions {
    fn new(ends: &LinkEnds) -> Result<Self, SubjectError> {
        let store = |name| ends.function("wrpc:keyvalue/store@0.2.0-draft", name);
        let batch = |name| ends.function("wrpc:keyvalue/batch@0.2.0-draft", name);
        Ok(Self {
            get: store("get")?,
            set: store("set")?,
            delete: store("delete")?,
            exists: store("exists")?,
            list_keys: store("list-keys")?,
            increment: ends.function("wrpc:keyvalue/atomics@0.2.0-draft", "increment")?,
            get_many: batch("get-many")?,
            set_many: batch("set-many")?,
            delete_many: batch("delete-many")?,
        })
    }
}

impl RemoteKeyValue {
    /// Addresses the provider at the end of a link. Nothing is sent yet.
    ///
    /// # Errors
    /// A name that no subject can have.
    pub fn new(client: Client, ends: LinkEnds) -> Result<Self, SubjectError> {
        Self::repeating(client, ends, Retry::Never)
    }

    /// Addresses it as [`Self::new`] does. What sets values is repeated as `retry` says when the host that
    /// worked on it was lost.
    ///
    /// # Errors
    /// As there.
    pub(in crate::node) fn repeating(
        client: Client,
        ends: LinkEnds,
        retry: Retry,
    ) -> Result<Self, SubjectError> {
        Ok(Self {
            link: Arc::new(Link {
                client,
                headers: ends.headers(),
                functions: Functions::new(&ends)?,
                retry,
                ends,
            }),
        })
    }
}

impl KeyValueBackend for RemoteKeyValue {
    fn bucket(&self, name: &BucketName) -> Result<Arc<dyn Bucket>, KeyValueError> {
        Ok(Arc::new(RemoteBucket {
            link: self.link.clone(),
            name: name.name().into(),
        }))
    }
}

/// One bucket of a provider elsewhere. Its name goes with every call; nothing is open there.
struct RemoteBucket {
    link: Arc<Link>,
    name: Box<str>,
}

impl Link {
    /// Calls an operation, and once more where that may be and the host that worked on it was lost.
    async fn call(
        &self,
        function: &Target,
        params: &impl Encode,
        effect: Effect,
    ) -> Result<Bytes, KeyValueError> {
        let deadline = Instant::now() + OPERATION_DEADLINE;
        let params: Bytes = to_wire(params).into();
        let send = || {
            let left = deadline.saturating_duration_since(Instant::now());
            let options = CallOptions {
                headers: self.headers.clone(),
                takers: Takers::Prompt,
                ..CallOptions::new(left)
            };
            self.client.call(function, params.clone(), options)
        };
        let called = match send().await {
            Err(error) if Failed::of(&error, effect.retry(self.retry)) == Failed::Lost => {
                send().await
            }
            called => called,
        };
        called.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &CallError) -> KeyValueError {
        if error.class() == ErrorClass::Denied {
            return KeyValueError::AccessDenied;
        }
        self.says(format_args!("{error}"))
    }

    /// Reads what the provider answered.
    fn read<'a, T: Decode<'a>>(&self, answer: &'a [u8]) -> Result<T, KeyValueError> {
        match from_wire::<Result<T, Error>>(answer) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Error::NoSuchStore)) => Err(KeyValueError::NoSuchStore),
            Ok(Err(Error::AccessDenied)) => Err(KeyValueError::AccessDenied),
            Ok(Err(Error::Other(message))) => {
                let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
                let message = message[..end].to_owned();
                Err(KeyValueError::Provider { message })
            }
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// Refuses an answer of more entries than there can be, before they take memory.
    fn check_entries(&self, answer: &[u8], entries_max: usize) -> Result<(), KeyValueError> {
        let mut reader = Reader::new(answer);
        let count = match (reader.u8(), reader.u32()) {
            (Ok(0), Ok(count)) => count as usize,
            _ => return Ok(()), // an error, or nothing that can be read
        };
        if count > entries_max {
            return Err(self.says(format_args!(
                "the answer has {count} entries, more than the {entries_max} that it may have"
            )));
        }
        Ok(())
    }

    fn unreadable(&self, error: &DecodeError) -> KeyValueError {
        self.says(format_args!("the answer cannot be read: {error}"))
    }

    fn says(&self, what: std::fmt::Arguments<'_>) -> KeyValueError {
        let LinkEnds {
            lattice,
            name,
            target,
            ..
        } = &self.ends;
        KeyValueError::Provider {
            message: format!("provider {target} of lattice {lattice}, by link {name}: {what}"),
        }
    }
}

#[async_trait]
impl Bucket for RemoteBucket {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, KeyValueError> {
        check_key(key)?;
        let link = &self.link;
        let answer = link
            .call(&link.functions.get, &(&*self.name, key), Effect::Reads)
            .await?;
        // The value stays in the message that it came in.
        let value: Option<WireBytes<'_>> = link.read(&answer)?;
        Ok(value.map(|value| answer.slice_ref(value.0)))
    }

    async fn set(&self, key: String, value: Bytes) -> Result<(), KeyValueError> {
        check_pair(&key, &value)?;
        let params = (&*self.name, &*key, WireBytes(&value));
        let answer = self
            .link
            .call(&self.link.functions.set, &params, Effect::Sets)
            .await?;
        self.link.read(&answer)
    }

    async fn delete(&self, key: String) -> Result<(), KeyValueError> {
        check_key(&key)?;
        let params = (&*self.name, &*key);
        let answer = self
            .link
            .call(&self.link.functions.delete, &params, Effect::Sets)
            .await?;
        self.link.read(&answer)
    }

    async fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        check_key(key)?;
        let params = (&*self.name, key);
        let answer = self
            .link
            .call(&self.link.functions.exists, &params, Effect::Reads)
            .await?;
        self.link.read(&answer)
    }

    async fn list_keys(&self, cursor: Option<u64>) -> Result<KeyPage, KeyValueError> {
        let link = &self.link;
        let params = (&*self.name, cursor);
        let answer = link
            .call(&link.functions.list_keys, &params, Effect::Reads)
            .await?;
        link.check_entries(&answer, KEYS_LISTED_MAX)?;
        let KeyResponse { keys, cursor } = link.read(&answer)?;
        Ok(KeyPage {
            keys: keys.into_iter().map(str::to_owned).collect(),
            cursor,
        })
    }

    async fn increment(&self, key: String, delta: u64) -> Result<u64, KeyValueError> {
        check_key(&key)?;
        let link = &self.link;
        let params = (&*self.name, &*key, delta);
        let answer = link
            .call(&link.functions.increment, &params, Effect::Counts)
            .await?;
        link.read(&answer)
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, KeyValueError> {
        check_keys(keys)?;
        let link = &self.link;
        let answer = link
            .call(
                &link.functions.get_many,
                &(&*self.name, texts(keys)),
                Effect::Reads,
            )
            .await?;
        link.check_entries(&answer, keys.len())?;
        let pairs: Vec<Option<(&str, WireBytes<'_>)>> = link.read(&answer)?;
        let value = |value: WireBytes<'_>| answer.slice_ref(value.0);
        Ok(in_order(keys, pairs)
            .into_iter()
            .map(|found| found.map(value))
            .collect())
    }

    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), KeyValueError> {
        check_pairs(&pairs)?;
        let link = &self.link;
        let wire: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (&**key, WireBytes(value)))
            .collect();
        let answer = link
            .call(&link.functions.set_many, &(&*self.name, wire), Effect::Sets)
            .await?;
        link.read(&answer)
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), KeyValueError> {
        check_keys(&keys)?;
        let link = &self.link;
        let answer = link
            .call(
                &link.functions.delete_many,
                &(&*self.name, texts(&keys)),
                Effect::Sets,
            )
            .await?;
        link.read(&answer)
    }
}

fn texts(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

/// Gives each key what was found for it. Providers should answer in the order of the keys; some leave out
/// what they do not have.
fn in_order<T: Copy>(keys: &[String], pairs: Vec<Option<(&str, T)>>) -> Vec<Option<T>> {
    let is_ordered = pairs.len() == keys.len()
        && keys
            .iter()
            .zip(&pairs)
            .all(|(key, pair)| pair.is_none_or(|(found, _)| found == key));
    if is_ordered {
        return pairs.into_iter().map(|pair| Some(pair?.1)).collect();
    }
    let found: std::collections::HashMap<&str, T> = pairs.into_iter().flatten().collect();
    keys.iter()
        .map(|key| found.get(key.as_str()).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_find_their_keys_whatever_the_provider_leaves_out() {
        let keys = ["a", "b", "c"].map(str::to_owned);
        let ordered = vec![Some(("a", 1)), None, Some(("c", 3))];
        assert_eq!(in_order(&keys, ordered), [Some(1), None, Some(3)]);
        let short = vec![Some(("c", 3)), Some(("a", 1))];
        assert_eq!(in_order(&keys, short), [Some(1), None, Some(3)]);
        let swapped = vec![Some(("c", 3)), Some(("b", 2)), None];
        assert_eq!(in_order(&keys, swapped), [None, Some(2), Some(3)]);
        assert_eq!(in_order::<u8>(&keys, Vec::new()), [None, None, None]);
    }
}
