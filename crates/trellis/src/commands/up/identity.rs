//! Who a host is: a key made at its start, a name for people, and its labels.

use std::collections::BTreeMap;

use trellis_control::{HostId, label_is_reserved};
use trellis_core::LatticeName;
use trellis_identity::{KeyKind, Keys};
use trellis_node::Identity;

use crate::failure::Failure;

/// The first halves of names.
const KINDS: [&str; 24] = [
    "amber", "brisk", "calm", "clear", "crisp", "dapper", "early", "fair", "fresh", "gentle",
    "green", "hardy", "keen", "light", "mellow", "merry", "mossy", "quiet", "ripe", "rosy",
    "sunny", "sweet", "warm", "young",
];
/// The second halves: what grows on a trellis.
const PLANTS: [&str; 24] = [
    "bean",
    "bramble",
    "clematis",
    "cucumber",
    "gourd",
    "grape",
    "hop",
    "hydrangea",
    "ivy",
    "jasmine",
    "kiwi",
    "lablab",
    "melon",
    "nasturtium",
    "pea",
    "pear",
    "plum",
    "rose",
    "squash",
    "tomato",
    "vetch",
    "vine",
    "wisteria",
    "yam",
];

/// Makes the identity of a host that starts now.
pub(super) fn make(lattice: LatticeName, labels: &[(String, String)]) -> Result<Identity, Failure> {
    let keys = Keys::generate(KeyKind::Server).map_err(|error| Failure::new(&error, None))?;
    let host_id = HostId::new(keys.public_key().as_str())
        .expect("a public key is letters and digits, one subject token");
    let pick = |words: &[&'static str]| words[fastrand::usize(..words.len())];
    let friendly_name = format!(
        "{}-{}-{}",
        pick(&KINDS),
        pick(&PLANTS),
        fastrand::u16(1_000..10_000)
    );
    Ok(Identity {
        host_id,
        friendly_name,
        labels: all_labels(labels)?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lattice,
        ctl_host: None,
        rpc_host: None,
        js_domain: None,
    })
}

fn all_labels(told: &[(String, String)]) -> Result<BTreeMap<String, String>, Failure> {
    let mut labels: BTreeMap<String, String> = [
        ("hostcore.arch", std::env::consts::ARCH),
        ("hostcore.os", std::env::consts::OS),
        ("hostcore.osfamily", std::env::consts::FAMILY),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    for (key, value) in told {
        if label_is_reserved(key) {
            let text = format!("label {key:?} is the host's own and cannot be set");
            return Err(Failure::usage(&text, Some("choose another key")));
        }
        labels.insert(key.clone(), value.clone());
    }
    Ok(labels)
}
