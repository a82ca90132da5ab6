//! `wrpc:keyvalue@0.2.0-draft`: a bucket is its name. Parameters are tuples, results are `result`s,
//! as the aliases say.

use super::Bytes;
use super::codec::{record, variant};

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no such bucket.
    NoSuchStore,
    /// It may not be used.
    AccessDenied,
    /// Anything else, for people.
    Other(String),
}

variant!(Error { 0 NoSuchStore, 1 AccessDenied, 2 Other(message) });

/// Some of the keys of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyResponse<'a> {
    /// The keys.
    pub keys: Vec<&'a str>,
    /// Where to go on; none at the end.
    pub cursor: Option<u64>,
}

record!(KeyResponse<'a> { keys, cursor });

/// Bucket and key: the parameters of `store.get`, `store.delete`, `store.exists`, and of
/// `watcher.on-delete`.
pub type KeyParams<'a> = (&'a str, &'a str);
/// Bucket, key and value: the parameters of `store.set` and of `watcher.on-set`.
pub type SetParams<'a> = (&'a str, &'a str, Bytes<'a>);
/// Bucket and cursor: the parameters of `store.list-keys`.
pub type ListKeysParams<'a> = (&'a str, Option<u64>);
/// Bucket, key and what to add: the parameters of `atomics.increment`.
pub type IncrementParams<'a> = (&'a str, &'a str, u64);
/// Bucket and keys: the parameters of `batch.get-many` and `batch.delete-many`.
pub type KeysParams<'a> = (&'a str, Vec<&'a str>);
/// Bucket and pairs: the parameters of `batch.set-many`.
pub type SetManyParams<'a> = (&'a str, Vec<(&'a str, Bytes<'a>)>);

/// The result of `store.get`.
pub type GetResult<'a> = Result<Option<Bytes<'a>>, Error>;
/// The result of `store.set`, `store.delete`, `batch.set-many` and `batch.delete-many`.
pub type UnitResult = Result<(), Error>;
/// The result of `store.exists`.
pub type ExistsResult = Result<bool, Error>;
/// The result of `store.list-keys`.
pub type ListKeysResult<'a> = Result<KeyResponse<'a>, Error>;
/// The result of `atomics.increment`.
pub type IncrementResult = Result<u64, Error>;
/// The result of `batch.get-many`: in the order of the keys.
pub type GetManyResult<'a> = Result<Vec<Option<(&'a str, Bytes<'a>)>>, Error>;
