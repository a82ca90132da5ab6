//! How a bucket and a key become one key of the file. This is a format on disk: what is written
//! here must stay readable.
//!
//! `bucket name, 0, hash of the key (8 bytes, big endian), key`. The hash orders the keys of a
//! bucket, so that a place in a listing is one number, as the WIT interface wants it.

use sha2::{Digest, Sha256};

use super::super::BucketName;

const HASH_BYTES: usize = size_of::<u64>();

/// The beginning of all stored keys of one bucket.
#[derive(Clone)]
pub(super) struct KeyPrefix(std::sync::Arc<[u8]>);

impl KeyPrefix {
    pub(super) fn new(name: &BucketName) -> Self {
        // A name has no control characters, so no prefix is the beginning of another one.
        Self([name.as_str().as_bytes(), &[0]].concat().into())
    }

    /// Returns the stored keys between which all keys lie whose hashes are `hash` or greater.
    pub(super) fn range_from(&self, hash: u64) -> (Vec<u8>, Vec<u8>) {
        let from = [&self.0[..], &hash.to_be_bytes()].concat();
        let mut to = self.0.to_vec();
        if let Some(end) = to.last_mut() {
            *end = 1;
        }
        (from, to)
    }

    /// Returns the hash and the key of a stored key of this bucket.
    pub(super) fn split<'a>(&self, stored: &'a [u8]) -> Option<(u64, &'a str)> {
        let rest = stored.strip_prefix(&self.0[..])?;
        let (hash, key) = rest.split_first_chunk::<HASH_BYTES>()?;
        Some((u64::from_be_bytes(*hash), std::str::from_utf8(key).ok()?))
    }
}

/// Returns the key under which `key` is stored.
pub(super) fn stored_key(prefix: &KeyPrefix, key: &str) -> Box<[u8]> {
    let mut stored = Vec::with_capacity(prefix.0.len() + HASH_BYTES + key.len());
    stored.extend_from_slice(&prefix.0);
    stored.extend_from_slice(&stored_hash(key).to_be_bytes());
    stored.extend_from_slice(key.as_bytes());
    stored.into_boxed_slice()
}

/// The first eight bytes of the SHA-256 of `key`: a guest that knows the function still cannot make
/// a page's worth of keys with one hash.
fn stored_hash(key: &str) -> u64 {
    let digest = Sha256::digest(key.as_bytes());
    let mut first = [0; HASH_BYTES];
    first.copy_from_slice(&digest[..HASH_BYTES]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use trellis_core::ComponentId;

    #[test]
    fn the_form_on_disk_does_not_change() {
        let name = BucketName::new(&ComponentId::new("kv").unwrap(), "b").unwrap();
        let prefix = KeyPrefix::new(&name);
        let stored = stored_key(&prefix, "abc");
        assert_eq!(&stored[..], b"kv/b\0\xba\x78\x16\xbf\x8f\x01\xcf\xeaabc");
        assert_eq!(prefix.split(&stored), Some((0xba78_16bf_8f01_cfea, "abc")));
        let (from, to) = prefix.range_from(0xba78_16bf_8f01_cfea);
        assert!(from[..] <= stored[..] && stored[..] < to[..]);
    }
}
