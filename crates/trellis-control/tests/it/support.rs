//! What several tests need.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use trellis_control::{HostId, Link, REPLY_BYTES_MAX, Subjects, TextMap, decode, encode};
use trellis_core::LatticeName;
use trellis_lattice::{Lattice, Settings};
use trellis_tests::NatsServer;

/// Checks that `value` is written exactly as `wire`, reads back, and reads the same with fields that
/// nobody knows.
pub(crate) fn check<T>(value: &T, wire: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    check_writes_and_reads(value, wire);
    if let Some(rest) = wire.strip_prefix('{') {
        let comma = if rest == "}" { "" } else { "," };
        let unknown = r#"{"later": {"version": [1, null]}"#;
        check_reads(value, &format!("{unknown}{comma}{rest}"));
    }
}

/// Checks that `value` is written exactly as `wire` and reads back.
pub(crate) fn check_writes_and_reads<T>(value: &T, wire: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    assert_eq!(String::from_utf8_lossy(&encode(value)), wire);
    check_reads(value, wire);
}

/// Checks that `wire` reads as `value`.
pub(crate) fn check_reads<T>(value: &T, wire: &str)
where
    T: DeserializeOwned + PartialEq + Debug,
{
    let read: T = decode(wire.as_bytes(), REPLY_BYTES_MAX)
        .unwrap_or_else(|error| panic!("cannot read {wire}: {error}"));
    assert_eq!(read, *value, "{wire}");
}

/// The error of reading `wire` as a `T`.
pub(crate) fn error_of<T: DeserializeOwned + Debug>(wire: &str) -> String {
    decode::<T>(wire.as_bytes(), REPLY_BYTES_MAX)
        .expect_err(wire)
        .to_string()
}

pub(crate) fn text_map<const N: usize>(pairs: [(&str, &str); N]) -> TextMap {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The host that most tests ask.
pub(crate) fn host() -> HostId {
    HostId::new("NCEX").unwrap()
}

/// A link with nothing but what it must have.
pub(crate) fn link() -> Link {
    Link {
        source_id: text("cart"),
        target: text("kv"),
        wit_namespace: text("wasi"),
        wit_package: text("keyvalue"),
        interfaces: names(["store"]),
        ..Link::default()
    }
}

pub(crate) fn text(text: &str) -> String {
    text.to_owned()
}

pub(crate) fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

pub(crate) fn subjects() -> Subjects {
    Subjects::new(&LatticeName::new("shop").unwrap())
}

/// Connects to the lattice `shop` on `server`.
pub(crate) async fn connect(server: &NatsServer) -> Lattice {
    let lattice = LatticeName::new("shop").unwrap();
    let settings = Settings::new(lattice, [server.url()]);
    trellis_lattice::connect(settings).await.unwrap()
}
