//! `wrpc:blobstore`, versions 0.1.0 and 0.2.0: a container is its name, an error a text.
//!
//! The versions differ where data flows: 0.2.0 adds a future that says whether the stream beside it
//! came to a good end. Channels: data of a write is 1 of the parameters; a stream of results is 0 in
//! 0.1.0, and 0.0 with its status on 0.1 in 0.2.0.

use super::Pending;
use super::codec::record;

/// What is known of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerMetadata {
    /// When it was made, in seconds since 1970.
    pub created_at: u64,
}

record!(ContainerMetadata { created_at });

/// The name of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectId<'a> {
    /// Its container.
    pub container: &'a str,
    /// Its name there.
    pub object: &'a str,
}

record!(ObjectId<'a> { container, object });

/// What is known of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectMetadata {
    /// When it was made, in seconds since 1970.
    pub created_at: u64,
    /// Its size in bytes.
    pub size: u64,
}

record!(ObjectMetadata { created_at, size });

/// The parameters of the functions on a container: its name.
pub type ContainerParams<'a> = (&'a str,);
/// Container, limit and offset: the parameters of `list-container-objects`.
pub type ListObjectsParams<'a> = (&'a str, Option<u64>, Option<u64>);
/// Source and destination: the parameters of `copy-object` and `move-object`.
pub type TwoObjectsParams<'a> = (ObjectId<'a>, ObjectId<'a>);
/// The parameters of `delete-object`, `get-object-info` and `has-object`.
pub type ObjectParams<'a> = (ObjectId<'a>,);
/// Container and objects: the parameters of `delete-objects`.
pub type ObjectsParams<'a> = (&'a str, Vec<&'a str>);
/// Object, first byte and last byte: the parameters of `get-container-data`.
pub type GetDataParams<'a> = (ObjectId<'a>, u64, u64);
/// Object and its data, a `stream<u8>`: the parameters of `write-container-data`.
pub type WriteDataParams<'a> = (ObjectId<'a>, Pending);

/// The result of what has nothing to say.
pub type UnitResult = Result<(), String>;
/// The result of `container-exists` and `has-object`.
pub type ExistsResult = Result<bool, String>;
/// The result of `get-container-info`.
pub type ContainerInfoResult = Result<ContainerMetadata, String>;
/// The result of `get-object-info`.
pub type ObjectInfoResult = Result<ObjectMetadata, String>;
/// The result of `list-container-objects` and `get-container-data` in 0.1.0: the stream.
pub type StreamResult = Result<Pending, String>;
/// The same in 0.2.0: the stream, and the future of its `result<_, string>`.
pub type StreamStatusResult = Result<(Pending, Pending), String>;
/// The result of `write-container-data` in 0.2.0: the future of its `result<_, string>`. In 0.1.0 it
/// is a [`UnitResult`].
pub type WriteDataResult = Result<Pending, String>;
