//! Names of buckets and keys.

use std::fmt;

use trellis_core::LatticeName;

/// Returns the bucket with specs and claims.
pub fn lattice_bucket(lattice: &LatticeName) -> String {
    format!("LATTICEDATA_{lattice}")
}

/// Returns the bucket with config.
pub fn config_bucket(lattice: &LatticeName) -> String {
    format!("CONFIGDATA_{lattice}")
}

/// One key of the bucket with specs and claims: a kind and a name, split at the first `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LatticeKey {
    /// `COMPONENT_{id}`: the spec of a component or provider.
    Component(String),
    /// `CLAIMS_{subject}`: claims.
    Claims(String),
    /// Anything else, such as `LINKDEF_…` and `REFMAP_…` of before 1.0. To be left alone.
    Other(String),
}

impl LatticeKey {
    /// The prefix of the keys of specs.
    pub const COMPONENT_PREFIX: &'static str = "COMPONENT_";
    /// The prefix of the keys of claims.
    pub const CLAIMS_PREFIX: &'static str = "CLAIMS_";

    /// Reads a key.
    pub fn parse(key: &str) -> Self {
        match key.split_once('_') {
            Some(("COMPONENT", id)) if !id.is_empty() => Self::Component(id.to_owned()),
            Some(("CLAIMS", subject)) if !subject.is_empty() => Self::Claims(subject.to_owned()),
            _ => Self::Other(key.to_owned()),
        }
    }
}

impl fmt::Display for LatticeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(id) => write!(f, "{}{id}", Self::COMPONENT_PREFIX),
            Self::Claims(subject) => write!(f, "{}{subject}", Self::CLAIMS_PREFIX),
            Self::Other(key) => f.write_str(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_splits_at_its_first_underscore() {
        for (text, key) in [
            (
                "COMPONENT_my_app-web",
                LatticeKey::Component("my_app-web".to_owned()),
            ),
            ("CLAIMS_MCART", LatticeKey::Claims("MCART".to_owned())),
            ("LINKDEF_x", LatticeKey::Other("LINKDEF_x".to_owned())),
            ("COMPONENT_", LatticeKey::Other("COMPONENT_".to_owned())),
            ("COMPONENT", LatticeKey::Other("COMPONENT".to_owned())),
        ] {
            assert_eq!(LatticeKey::parse(text), key);
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn buckets_carry_the_name_of_the_lattice() {
        let lattice = LatticeName::new("shop").expect("a lattice name");
        assert_eq!(lattice_bucket(&lattice), "LATTICEDATA_shop");
        assert_eq!(config_bucket(&lattice), "CONFIGDATA_shop");
    }
}
