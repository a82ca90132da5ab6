//! The interfaces of well-known namespaces, to catch misspelt links.

use crate::diagnostic::{Findings, quote};
use crate::model::Link;
use crate::reader::list;

/// The name of a package and its interfaces.
type Package = (&'static str, &'static [&'static str]);

/// Packages and their interfaces. `wasi` with those of WASI 0.2, 0.3 and the drafts that 1.x serves.
const KNOWN: [(&str, &[Package]); 3] = [
    ("wasi", WASI),
    (
        "wrpc",
        &[
            ("keyvalue", KEYVALUE),
            ("blobstore", &["blobstore", "types"]),
            ("http", HTTP),
        ],
    ),
    (
        "wasmcloud",
        &[
            (
                "messaging",
                &["consumer", "handler", "types", "request-reply", "producer"],
            ),
            ("postgres", &["query", "prepared", "types"]),
            ("couchbase", &["document", "subdocument", "types"]),
            ("bus", &["lattice", "exports", "error"]),
            ("secrets", &["store", "reveal"]),
            ("wadm", &["client", "handler", "types"]),
        ],
    ),
];

const KEYVALUE: &[&str] = &["store", "atomics", "batch", "watch", "watcher", "types"];
const HTTP: &[&str] = &[
    "incoming-handler",
    "outgoing-handler",
    "handler",
    "client",
    "types",
    "middleware",
];
const WASI: &[Package] = &[
    ("http", HTTP),
    ("keyvalue", KEYVALUE),
    ("blobstore", &["blobstore", "container", "types"]),
    ("config", &["runtime", "store"]),
    ("logging", &["logging"]),
    (
        "messaging",
        &[
            "producer",
            "consumer",
            "request-reply",
            "incoming-handler",
            "types",
        ],
    ),
];

/// Returns a hint when the namespace of `link` is known and its `interface` is not.
pub(super) fn doubt(link: &Link, interface: &str, findings: &mut Findings) -> Option<String> {
    let (namespace, package) = (link.namespace.as_str(), link.package.as_str());
    let (_, packages) = KNOWN.iter().find(|(name, _)| *name == namespace)?;
    let names: Vec<&str> = packages.iter().map(|(name, _)| *name).collect();
    let Some((_, interfaces)) = packages.iter().find(|(name, _)| *name == package) else {
        return Some(match findings.suggest(package, names.iter().copied()) {
            Some(name) => format!("did you mean the package `{name}`?"),
            None => format!("known packages are {}", list(&names)),
        });
    };
    if interfaces.contains(&interface) {
        return None;
    }
    Some(
        match findings.suggest(interface, interfaces.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known in {} are {}", quote(package), list(interfaces)),
        },
    )
}
