//! The providers that a host contains, and which images mean them.

use std::collections::BTreeSet;

use trellis_manifest::ImageRef;

/// A provider that the host contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BuiltIn {
    /// The gateway: calls components for requests that come in.
    HttpServer,
    /// Sends requests for components, to the hosts that a link allows.
    HttpClient,
    /// Keys and values in memory; gone when the host ends.
    KeyValueMemory,
    /// Keys and values in a file of the host.
    KeyValueRedb,
}

/// Every built-in, by the name that a manifest uses after `builtin:`.
pub(crate) const NAMES: [(&str, BuiltIn); 4] = [
    ("http-server", BuiltIn::HttpServer),
    ("http-client", BuiltIn::HttpClient),
    ("keyvalue-memory", BuiltIn::KeyValueMemory),
    ("keyvalue-redb", BuiltIn::KeyValueRedb),
];

/// The organisation whose provider images the built-ins stand in for.
const OFFICIAL_REPOSITORY: &str = "ghcr.io/wasmcloud/";

/// Official images of wasmCloud 1.x, without tag, and the built-in that does their work.
const OFFICIAL: [(&str, BuiltIn); 5] = [
    ("http-server", BuiltIn::HttpServer),
    ("http-client", BuiltIn::HttpClient),
    ("keyvalue-redis", BuiltIn::KeyValueRedb),
    ("keyvalue-nats", BuiltIn::KeyValueRedb),
    ("keyvalue-vault", BuiltIn::KeyValueRedb),
];

/// A built-in that was found for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) built_in: BuiltIn,
    /// It stands in for an image of another implementation.
    pub(crate) substitute: bool,
}

/// Returns the names of all built-ins.
pub fn names() -> BTreeSet<String> {
    NAMES.iter().map(|(name, _)| (*name).to_owned()).collect()
}

impl BuiltIn {
    /// Returns the name that a manifest uses.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, built_in)| *built_in == self)
            .map_or("", |(name, _)| name)
    }

    /// Returns what the host contains for `image`.
    pub(crate) fn for_image(image: &ImageRef) -> Option<Found> {
        let find = |table: &[(&str, Self)], name: &str| {
            table
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, built_in)| *built_in)
        };
        match image {
            ImageRef::BuiltIn(name) => Some(Found {
                built_in: find(&NAMES, name)?,
                substitute: false,
            }),
            ImageRef::Oci(reference) => {
                let name = reference.strip_prefix(OFFICIAL_REPOSITORY)?;
                let name = name.split([':', '@']).next().unwrap_or(name);
                Some(Found {
                    built_in: find(&OFFICIAL, name)?,
                    substitute: true,
                })
            }
            ImageRef::File(_) => None,
        }
    }

    /// Tells whether it provides the interface `package/interface` of `wasi`.
    pub(crate) fn provides(self, package: &str, interface: &str) -> bool {
        match self {
            Self::HttpServer => false,
            Self::HttpClient => {
                package == "http" && matches!(interface, "outgoing-handler" | "client")
            }
            Self::KeyValueMemory | Self::KeyValueRedb => {
                package == "keyvalue" && matches!(interface, "store" | "atomics" | "batch")
            }
        }
    }

    /// Returns the keys of a link's config that it reads.
    pub(crate) const fn config_keys(self) -> &'static [&'static str] {
        match self {
            Self::HttpServer => &["address", "host", "path"],
            Self::HttpClient => &["allow"],
            Self::KeyValueMemory | Self::KeyValueRedb => &["bucket"],
        }
    }

    /// Returns the interfaces that [`BuiltIn::provides`] accepts, for messages.
    pub(crate) const fn offer(self) -> &'static str {
        match self {
            Self::HttpServer => "wasi:http/incoming-handler and wasi:http/handler, as their caller",
            Self::HttpClient => "wasi:http/outgoing-handler and wasi:http/client",
            Self::KeyValueMemory | Self::KeyValueRedb => "wasi:keyvalue/store, atomics and batch",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_images_are_run_by_their_built_in_whatever_their_tag() {
        for (image, built_in) in [
            ("ghcr.io/wasmcloud/http-server:0.23.2", BuiltIn::HttpServer),
            (
                "ghcr.io/wasmcloud/keyvalue-redis@sha256:ab",
                BuiltIn::KeyValueRedb,
            ),
        ] {
            let found = BuiltIn::for_image(&ImageRef::Oci(image.to_owned()));
            assert_eq!(
                found,
                Some(Found {
                    built_in,
                    substitute: true
                }),
                "{image}"
            );
        }
        for image in [
            "ghcr.io/other/http-server:1",
            "ghcr.io/wasmcloud/http-serverx:1",
        ] {
            assert_eq!(
                BuiltIn::for_image(&ImageRef::Oci(image.to_owned())),
                None,
                "{image}"
            );
        }
    }
}
