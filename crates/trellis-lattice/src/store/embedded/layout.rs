//! How buckets and entries lie in the file. This is a format on disk: what is written here must stay
//! readable.
//!
//! - bucket: name → last revision (8 bytes, big endian), then the text that tells its incarnation;
//! - entry: bucket name, 0, key → revision (8 bytes, big endian), then the value.

use bytes::Bytes;

use super::super::view::Record;
use super::super::{BucketName, Incarnation, Key};

const REVISION_BYTES: usize = size_of::<u64>();

/// Returns the key under which the entry at `key` is stored.
pub(super) fn entry_key(bucket: &BucketName, key: &str) -> Box<[u8]> {
    // Neither a name nor a key has a 0, so no bucket's keys begin like those of another one.
    [bucket.as_str().as_bytes(), &[0], key.as_bytes()]
        .concat()
        .into()
}

/// Returns the first stored key past all those that begin with the stored `prefix`.
pub(super) fn end_of(prefix: &[u8]) -> Box<[u8]> {
    // Every byte of a name or key is ASCII.
    [prefix, &[0xff]].concat().into()
}

/// Returns what is stored for an entry.
pub(super) fn entry_value(revision: u64, value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(REVISION_BYTES + value.len());
    stored.extend_from_slice(&revision.to_be_bytes());
    stored.extend_from_slice(value);
    stored
}

/// Reads the revision and value of an entry.
pub(super) fn read_value(stored: &[u8]) -> Option<(u64, &[u8])> {
    let (revision, value) = stored.split_first_chunk::<REVISION_BYTES>()?;
    Some((u64::from_be_bytes(*revision), value))
}

/// Reads an entry of `bucket`.
pub(super) fn read_entry(bucket: &BucketName, key: &[u8], stored: &[u8]) -> Option<Record> {
    let key = key.get(bucket.as_str().len() + 1..)?;
    let (revision, value) = read_value(stored)?;
    Some(Record {
        key: Key::new(std::str::from_utf8(key).ok()?).ok()?,
        revision,
        value: Some(Bytes::copy_from_slice(value)),
    })
}

/// Returns what is stored for a bucket.
pub(super) fn bucket_value(incarnation: &Incarnation) -> Vec<u8> {
    entry_value(incarnation.revision, incarnation.created.as_bytes())
}

/// Reads what is stored for a bucket.
pub(super) fn read_bucket(stored: &[u8]) -> Option<Incarnation> {
    let (revision, created) = read_value(stored)?;
    Some(Incarnation {
        created: std::str::from_utf8(created).ok()?.to_owned(),
        revision,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_form_on_disk_does_not_change() {
        let bucket = BucketName::new("CONFIGDATA_default").unwrap();
        let key = entry_key(&bucket, "app.x");
        assert_eq!(&key[..], b"CONFIGDATA_default\0app.x");
        let prefix = entry_key(&bucket, "");
        assert!(prefix[..] <= key[..] && key[..] < end_of(&prefix)[..]);
        let stored = entry_value(258, b"v");
        assert_eq!(stored, b"\0\0\0\0\0\0\x01\x02v");
        let record = read_entry(&bucket, &key, &stored).unwrap();
        assert_eq!((record.key.as_str(), record.revision), ("app.x", 258));
        let incarnation = Incarnation {
            created: "abc".to_owned(),
            revision: 1,
        };
        assert_eq!(bucket_value(&incarnation), b"\0\0\0\0\0\0\0\x01abc");
        assert_eq!(read_bucket(b"\0\0\0\0\0\0\0\x01abc"), Some(incarnation));
        assert_eq!(read_bucket(b"short"), None);
    }
}
