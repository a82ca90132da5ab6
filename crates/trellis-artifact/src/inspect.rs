//! Tells what a component is: its world as WIT, its imports and exports, and who built it.
//!
//! Reads bytes only; what would satisfy an import is for those to say who know capabilities.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Serialize, Serializer};
use trellis_core::WitInterface;

use crate::check::{Fault, check_component};
use crate::digest::Digest;

mod metadata;
mod wit;

pub use metadata::{Field, Metadata, Tool};

/// What a component is. The JSON form is the output of `trellis inspect --output json`.
///
/// ```json
/// {
///   "digest": "sha256:…", "size": 81234,
///   "wasi": "0.2",
///   "async": false,
///   "imports": [
///     {"name": "wasi:keyvalue/store@0.2.0-draft",
///      "functions": [{"name": "open", "signature": "func(identifier: string) -> …"}]}
///   ],
///   "exports": [],
///   "metadata": {
///     "name": "hello", "languages": [{"name": "Rust", "version": "2021"}],
///     "tools": [], "sdks": [], "fields": [{"name": "version", "value": "0.1.0"}]
///   },
///   "world": "package root:component; …",
///   "wit": "package root:component; …"
/// }
/// ```
///
/// `wasi` is `"0.2"`, `"0.3"`, `"mixed"`, or `null` without any WASI interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The digest of the component.
    #[serde(serialize_with = "serialize_display")]
    pub digest: Digest,
    /// The number of bytes.
    pub size: u64,
    /// Which WASI the component was built for.
    pub wasi: WasiLevel,
    /// Whether any imported or exported function is async.
    #[serde(rename = "async")]
    pub is_async: bool,
    /// What the component needs.
    pub imports: Vec<Item>,
    /// What the component offers.
    pub exports: Vec<Item>,
    /// Who built the component, and with what.
    pub metadata: Metadata,
    /// The world alone, as WIT.
    pub world: String,
    /// The world and every package that it names, as WIT.
    pub wit: String,
}

/// One import or export of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The name as the component has it.
    pub name: String,
    /// The name taken apart; `None` for a function or interface without a package.
    #[serde(skip)]
    pub interface: Option<WitInterface>,
    /// The functions, in the order of the component.
    pub functions: Vec<Function>,
}

/// One function of an import or export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Function {
    /// The name, with that of its resource in front: `bucket.get`.
    pub name: String,
    /// The type as WIT: `func(key: string) -> option<u32>`.
    pub signature: String,
}

/// Which version of WASI a component was built for, seen from the interfaces in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WasiLevel {
    /// No WASI interface at all.
    None,
    /// Only interfaces of WASI 0.2 (drafts included).
    Preview2,
    /// Only interfaces of WASI 0.3.
    Preview3,
    /// Interfaces of both, as today's 0.3 components have whose standard library uses 0.2.
    Mixed,
}

impl WasiLevel {
    /// Returns the name that people and the JSON output use, `None` for no WASI.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Preview2 => Some("0.2"),
            Self::Preview3 => Some("0.3"),
            Self::Mixed => Some("mixed"),
        }
    }

    fn of<'a>(items: impl Iterator<Item = &'a Item>) -> Self {
        let (mut second, mut third) = (false, false);
        for interface in items.filter_map(|item| item.interface.as_ref()) {
            if let ("wasi", Some(version)) = (&*interface.namespace, &interface.version) {
                second |= (version.major, version.minor) == (0, 2);
                third |= (version.major, version.minor) == (0, 3);
            }
        }
        match (second, third) {
            (false, false) => Self::None,
            (true, false) => Self::Preview2,
            (false, true) => Self::Preview3,
            (true, true) => Self::Mixed,
        }
    }
}

impl Serialize for WasiLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.name().serialize(serializer)
    }
}

fn serialize_display<S: Serializer>(
    value: &impl std::fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Why a component could not be inspected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// The bytes are not a valid component.
    #[error("the file is not a usable component")]
    Invalid(#[source] Fault),
    /// The component only carries WIT, as a published interface package does.
    #[error("the file is a WIT package in binary form, there is nothing in it to run")]
    WitPackage,
    /// The component is valid, but its world cannot be written as WIT.
    #[error("the world of the component cannot be written as WIT: {message}")]
    Undecodable {
        /// What the decoder says.
        message: String,
    },
}

/// Inspects the component in `bytes`. Blocks while it parses, about 10 ms for each MiB.
///
/// # Errors
/// When the bytes are no valid component, or one that no WIT can describe.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, InspectError> {
    check_component(bytes).map_err(InspectError::Invalid)?;
    // The decoder asserts what well-meant encoders do; a crafted file must not end the host.
    let described =
        catch_unwind(AssertUnwindSafe(|| wit::describe(bytes))).unwrap_or_else(|_| {
            Err(InspectError::Undecodable {
                message: "its types have an unexpected form".into(),
            })
        })?;
    let wasi = WasiLevel::of(described.imports.iter().chain(&described.exports));
    Ok(Inspection {
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        wasi,
        is_async: described.is_async,
        imports: described.imports,
        exports: described.exports,
        metadata: Metadata::read(bytes),
        world: described.world,
        wit: described.wit,
    })
}
