//! Key-value buckets in the memory of this process: fast, bounded, gone when the process ends.
//!
//! Each bucket is a set of shards ordered by a keyed hash of the key. The order gives listings a
//! cursor that stays valid whatever is written meanwhile, and the secret of the hash keeps a guest
//! from piling its keys into one place.

use std::array;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    BatchBytes, Bucket, BucketName, KeyPage, KeyValueBackend, KeyValueError, LIST_KEYS_PAGE_MAX,
    check_key, check_keys, check_pair, check_pairs, incremented,
};

/// The most buckets of one backend. A bucket costs a few kilobytes before anything is written, and
/// a guest may open any name.
pub const MEMORY_BUCKETS_MAX: usize = 1_024;

/// What an entry costs beyond its key and value: its place in the tree and three allocations.
const ENTRY_OVERHEAD_BYTES: usize = 160;

/// Writers of different shards do not meet; 16 is twice the threads of a common edge machine.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 4;

/// Buckets in the memory of this process.
pub struct MemoryBackend {
    budget: Arc<Budget>,
    buckets: Mutex<HashMap<BucketName, Arc<MemoryBucket>>>,
}

impl MemoryBackend {
    /// Makes an empty backend that holds at most `bytes_max`, overheads included, in all buckets
    /// together. Applications that must not starve one another get a backend each.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            budget: Arc::new(Budget {
                bytes_used: AtomicUsize::new(0),
                bytes_max,
            }),
            buckets: Mutex::default(),
        }
    }

    /// Returns the bytes held now, overheads included.
    pub fn bytes_used(&self) -> usize {
        self.budget.bytes_used.load(Ordering::Relaxed)
    }
}

impl KeyValueBackend for MemoryBackend {
    fn bucket(&self, name: &BucketName) -> Result<Arc<dyn Bucket>, KeyValueError> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(name) {
            return Ok(Arc::clone(bucket) as Arc<dyn Bucket>);
        }
        if buckets.len() >= MEMORY_BUCKETS_MAX {
            // Only the directory holds these, and they hold nothing: forgetting them is unseen.
            buckets.retain(|_, bucket| Arc::strong_count(bucket) > 1 || !bucket.is_empty());
        }
        if buckets.len() >= MEMORY_BUCKETS_MAX {
            return Err(KeyValueError::TooManyBuckets {
                buckets_max: MEMORY_BUCKETS_MAX,
            });
        }
        let bucket = Arc::new(MemoryBucket::new(Arc::clone(&self.budget)));
        buckets.insert(name.clone(), Arc::clone(&bucket));
        Ok(bucket)
    }
}

/// The bytes that all buckets of one backend share.
struct Budget {
    bytes_used: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    fn reserve(&self, bytes: usize) -> Result<(), KeyValueError> {
        self.bytes_used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max)
            })
            .map(drop)
            .map_err(|_| KeyValueError::Full {
                bytes_max: self.bytes_max,
            })
    }

    fn release(&self, bytes: usize) {
        self.bytes_used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn cost(key: &str, value: &Bytes) -> usize {
    ENTRY_OVERHEAD_BYTES + key.len() + value.len()
}

/// The entries whose hashes begin with the same bits, by hash.
#[derive(Default)]
struct Shard(BTreeMap<u64, Vec<Entry>>);

/// More than one entry has the same hash about never, but then both must be kept.
struct Entry {
    key: Box<str>,
    value: Bytes,
}

impl Shard {
    fn get(&self, hash: u64, key: &str) -> Option<&Bytes> {
        let entries = self.0.get(&hash)?;
        entries
            .iter()
            .find(|entry| &*entry.key == key)
            .map(|entry| &entry.value)
    }

    /// Returns what the value before cost.
    fn insert(&mut self, hash: u64, key: String, value: Bytes) -> usize {
        let entries = self.0.entry(hash).or_insert_with(|| Vec::with_capacity(1));
        match entries.iter_mut().find(|entry| *entry.key == key) {
            Some(entry) => {
                let before = cost(&key, &entry.value);
                entry.value = value;
                before
            }
            None => {
                entries.push(Entry {
                    key: key.into(),
                    value,
                });
                0
            }
        }
    }

    /// Returns what the removed entry cost.
    fn remove(&mut self, hash: u64, key: &str) -> usize {
        let Some(entries) = self.0.get_mut(&hash) else {
            return 0;
        };
        let Some(index) = entries.iter().position(|entry| &*entry.key == key) else {
            return 0;
        };
        let removed = entries.swap_remove(index);
        if entries.is_empty() {
            self.0.remove(&hash);
        }
        cost(key, &removed.value)
    }

    /// Adds the keys from `from` on to `page` until it is full; returns where to go on.
    fn list(&self, from: u64, page: &mut Vec<String>) -> Option<u64> {
        for (hash, entries) in self.0.range(from..) {
            if page.len() >= LIST_KEYS_PAGE_MAX {
                return Some(*hash);
            }
            page.extend(entries.iter().map(|entry| String::from(&*entry.key)));
        }
        None
    }
}

struct MemoryBucket {
    budget: Arc<Budget>,
    hasher: RandomState,
    shards: [RwLock<Shard>; SHARDS],
}

impl MemoryBucket {
    fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            hasher: RandomState::new(),
            shards: array::from_fn(|_| RwLock::default()),
        }
    }

    fn is_empty(&self) -> bool {
        (0..SHARDS).all(|index| self.read(index).0.is_empty())
    }

    fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    fn read(&self, index: usize) -> RwLockReadGuard<'_, Shard> {
        // No code under these locks panics half-way through a change.
        self.shards[index]
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, index: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[index]
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the shards of `hashes`, always in ascending order so that two batches cannot wait for
    /// each other.
    fn lock_all<G>(&self, hashes: &[u64], lock: impl Fn(usize) -> G) -> [Option<G>; SHARDS] {
        let mut wanted = [false; SHARDS];
        for hash in hashes {
            wanted[shard_of(*hash)] = true;
        }
        array::from_fn(|index| wanted[index].then(|| lock(index)))
    }
}

fn shard_of(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARD_BITS)) as usize
}

#[async_trait]
impl Bucket for MemoryBucket {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, KeyValueError> {
        check_key(key)?;
        let hash = self.hash(key);
        Ok(self.read(shard_of(hash)).get(hash, key).cloned())
    }

    async fn set(&self, key: String, value: Bytes) -> Result<(), KeyValueError> {
        check_pair(&key, &value)?;
        let hash = self.hash(&key);
        let mut shard = self.write(shard_of(hash));
        let before = shard.get(hash, &key).map_or(0, |value| cost(&key, value));
        let after = cost(&key, &value);
        self.budget.reserve(after.saturating_sub(before))?;
        shard.insert(hash, key, value);
        self.budget.release(before.saturating_sub(after));
        Ok(())
    }

    async fn delete(&self, key: String) -> Result<(), KeyValueError> {
        check_key(&key)?;
        let hash = self.hash(&key);
        let freed = self.write(shard_of(hash)).remove(hash, &key);
        self.budget.release(freed);
        Ok(())
    }

    async fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        check_key(key)?;
        let hash = self.hash(key);
        Ok(self.read(shard_of(hash)).get(hash, key).is_some())
    }

    async fn list_keys(&self, cursor: Option<u64>) -> Result<KeyPage, KeyValueError> {
        let from = cursor.unwrap_or(0);
        let mut page = KeyPage::default();
        for index in shard_of(from)..SHARDS {
            page.cursor = self.read(index).list(from, &mut page.keys);
            if page.cursor.is_some() {
                break;
            }
        }
        Ok(page)
    }

    async fn increment(&self, key: String, delta: u64) -> Result<u64, KeyValueError> {
        check_key(&key)?;
        let hash = self.hash(&key);
        let mut shard = self.write(shard_of(hash));
        let current = shard.get(hash, &key);
        let sum = incremented(current.map(|value| &value[..]), delta)?;
        let value = Bytes::from(sum.to_string());
        let before = current.map_or(0, |value| cost(&key, value));
        let after = cost(&key, &value);
        self.budget.reserve(after.saturating_sub(before))?;
        shard.insert(hash, key, value);
        self.budget.release(before.saturating_sub(after)); // leading zeros may go
        Ok(sum)
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, KeyValueError> {
        check_keys(keys)?;
        let hashes: Vec<u64> = keys.iter().map(|key| self.hash(key)).collect();
        let shards = self.lock_all(&hashes, |index| self.read(index));
        let mut total = BatchBytes::default();
        let mut values = Vec::with_capacity(keys.len());
        for (key, hash) in keys.iter().zip(hashes) {
            let shard = shards[shard_of(hash)].as_ref();
            let value = shard.and_then(|shard| shard.get(hash, key)).cloned();
            total.add(key.len() + value.as_ref().map_or(0, Bytes::len))?;
            values.push(value);
        }
        Ok(values)
    }

    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), KeyValueError> {
        check_pairs(&pairs)?;
        let hashes: Vec<u64> = pairs.iter().map(|(key, _)| self.hash(key)).collect();
        let mut shards = self.lock_all(&hashes, |index| self.write(index));
        // As if nothing were replaced: a key may occur twice, and all must fit or none is set.
        self.budget
            .reserve(pairs.iter().map(|(key, value)| cost(key, value)).sum())?;
        for ((key, value), hash) in pairs.into_iter().zip(hashes) {
            if let Some(shard) = &mut shards[shard_of(hash)] {
                self.budget.release(shard.insert(hash, key, value));
            }
        }
        Ok(())
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), KeyValueError> {
        check_keys(&keys)?;
        let hashes: Vec<u64> = keys.iter().map(|key| self.hash(key)).collect();
        let mut shards = self.lock_all(&hashes, |index| self.write(index));
        for (key, hash) in keys.iter().zip(hashes) {
            if let Some(shard) = &mut shards[shard_of(hash)] {
                self.budget.release(shard.remove(hash, key));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use trellis_core::ComponentId;

    fn name(text: &str) -> BucketName {
        BucketName::new(&ComponentId::new("kv").unwrap(), text).unwrap()
    }

    #[test]
    fn two_keys_of_one_hash_are_kept_apart() {
        let mut shard = Shard::default();
        assert_eq!(shard.insert(7, "a".into(), Bytes::from_static(b"1")), 0);
        assert_eq!(shard.insert(7, "b".into(), Bytes::from_static(b"2")), 0);
        assert_eq!(shard.get(7, "a").unwrap(), "1");
        assert_eq!(shard.get(7, "b").unwrap(), "2");
        assert_eq!(shard.remove(7, "a"), ENTRY_OVERHEAD_BYTES + 2);
        assert_eq!(shard.get(7, "a"), None);
        assert_eq!(shard.get(7, "b").unwrap(), "2");
        shard.remove(7, "b");
        assert!(shard.0.is_empty());
    }

    #[tokio::test]
    async fn a_full_store_refuses_more_and_counts_what_is_freed() {
        let backend = MemoryBackend::new(2 * (ENTRY_OVERHEAD_BYTES + 1 + 10));
        let bucket = backend.bucket(&name("b")).unwrap();
        let value = Bytes::from_static(b"0123456789");
        let full = KeyValueError::Full {
            bytes_max: backend.budget.bytes_max,
        };
        bucket.set("a".into(), value.clone()).await.unwrap();
        bucket.set("b".into(), value.clone()).await.unwrap();
        assert_eq!(
            bucket.set("c".into(), value.clone()).await,
            Err(full.clone())
        );
        assert_eq!(
            bucket.set_many(vec![("c".into(), value.clone())]).await,
            Err(full.clone())
        );
        assert_eq!(bucket.increment("c".into(), 1).await, Err(full));
        bucket
            .set("a".into(), value.clone())
            .await
            .expect("a value of the same size replaces");
        bucket.set("a".into(), Bytes::new()).await.unwrap();
        bucket
            .delete_many(vec!["b".into(), "b".into(), "x".into()])
            .await
            .unwrap();
        bucket
            .set_many(vec![
                ("c".into(), value.clone()),
                ("c".into(), Bytes::new()),
            ])
            .await
            .unwrap_err();
        bucket.delete("a".into()).await.unwrap();
        bucket
            .set_many(vec![("c".into(), value), ("c".into(), Bytes::new())])
            .await
            .unwrap();
        bucket.delete("c".into()).await.unwrap();
        assert_eq!(backend.bytes_used(), 0);
    }

    #[tokio::test]
    async fn buckets_are_bounded_and_empty_ones_make_room() {
        let backend = MemoryBackend::new(1 << 20);
        let held: Vec<_> = (0..MEMORY_BUCKETS_MAX - 1)
            .map(|number| backend.bucket(&name(&number.to_string())).unwrap())
            .collect();
        let kept = backend.bucket(&name("kept")).unwrap();
        kept.set("a".into(), Bytes::from_static(b"1"))
            .await
            .unwrap();
        drop(kept);
        assert_eq!(
            backend.bucket(&name("one more")).err(),
            Some(KeyValueError::TooManyBuckets {
                buckets_max: MEMORY_BUCKETS_MAX
            })
        );
        drop(held);
        backend.bucket(&name("one more")).unwrap();
        let kept = backend.bucket(&name("kept")).unwrap();
        assert_eq!(kept.get("a").await.unwrap().unwrap(), "1");
    }
}
