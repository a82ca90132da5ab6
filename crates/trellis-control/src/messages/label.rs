//! Labels of a host.

use serde::{Deserialize, Serialize};

/// Labels that begin with this, in any case, are the host's own and cannot be set.
pub const RESERVED_LABEL_PREFIX: &str = "hostcore.";

/// A label to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A label to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelKey {
    /// Its key.
    pub key: String,
}

/// Tells whether only the host itself sets the label `key`.
pub fn label_is_reserved(key: &str) -> bool {
    key.get(..RESERVED_LABEL_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_LABEL_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_of_the_host_are_reserved_in_any_case() {
        assert!(label_is_reserved("hostcore.arch"));
        assert!(label_is_reserved("HostCore."));
        assert!(!label_is_reserved("hostcore"));
        assert!(!label_is_reserved("hostcor\u{e9}."));
        assert!(!label_is_reserved("zone"));
    }
}
