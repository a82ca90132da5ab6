//! Auctions: who could run this? Hosts that could not stay silent.

use serde::{Deserialize, Serialize};

use super::{TextMap, null_as_empty};

/// Asks for hosts that could run a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentAuctionRequest {
    /// The image.
    #[serde(default)]
    pub component_ref: String,
    /// The id under which it would run.
    pub component_id: String,
    /// Labels that the host must have. Always written: 1.x refuses a request without.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub constraints: TextMap,
}

/// The bid of one host for a component.
///
/// Hosts of 1.x put the image into `component_id` too; trust the id that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComponentAuctionAck {
    /// The image, as asked for.
    pub component_ref: String,
    /// The id, as asked for.
    pub component_id: String,
    /// The host that bids.
    pub host_id: String,
    /// The constraints, as asked for.
    #[serde(deserialize_with = "null_as_empty")]
    pub constraints: TextMap,
}

/// Asks for hosts that could run a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAuctionRequest {
    /// The image.
    #[serde(default)]
    pub provider_ref: String,
    /// The id under which it would run.
    pub provider_id: String,
    /// Labels that the host must have. Always written: 1.x refuses a request without.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub constraints: TextMap,
}

/// The bid of one host for a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderAuctionAck {
    /// The host that bids.
    pub host_id: String,
    /// The image, as asked for.
    pub provider_ref: String,
    /// The id, as asked for.
    pub provider_id: String,
    /// The constraints, as asked for.
    #[serde(deserialize_with = "null_as_empty")]
    pub constraints: TextMap,
}

/// Tells whether a host with `labels` may bid: every constraint equals the label of the same key.
pub fn constraints_met(constraints: &TextMap, labels: &TextMap) -> bool {
    constraints
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_bids_where_every_constraint_is_a_label() {
        let map = |pairs: &[(&str, &str)]| -> TextMap {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let labels = map(&[("zone", "a"), ("hostcore.os", "linux")]);
        assert!(constraints_met(&TextMap::new(), &labels));
        assert!(constraints_met(&map(&[("zone", "a")]), &labels));
        assert!(!constraints_met(&map(&[("zone", "b")]), &labels));
        assert!(!constraints_met(
            &map(&[("zone", "a"), ("gpu", "")]),
            &labels
        ));
    }
}
