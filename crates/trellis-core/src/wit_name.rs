//! The name of a WIT interface: `namespace:package/interface@version`.

use std::fmt;
use std::str::FromStr;

use semver::Version;

/// The full name of one WIT interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WitInterface {
    /// The namespace, such as `wasi`.
    pub namespace: String,
    /// The package, such as `keyvalue`.
    pub package: String,
    /// The interface, such as `store`.
    pub interface: String,
    /// The version, where one is given.
    pub version: Option<Version>,
}

/// Why a text is not the name of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not `namespace:package/interface` with an optional `@version`")]
pub struct WitNameError {
    /// The text as it was given.
    pub text: String,
}

impl WitInterface {
    /// Tells whether a component that imports `self` can be given `offered`: same names, and
    /// versions that are compatible by the rule of WIT (the same up to the first non-zero part).
    /// A side without a version fits every version.
    pub fn accepts(&self, offered: &Self) -> bool {
        let same_names = (&self.namespace, &self.package, &self.interface)
            == (&offered.namespace, &offered.package, &offered.interface);
        same_names
            && match (&self.version, &offered.version) {
                (Some(a), Some(b)) => versions_compatible(a, b),
                _ => true,
            }
    }
}

/// Tells whether a wasmtime linker would resolve one version by the other.
fn versions_compatible(a: &Version, b: &Version) -> bool {
    if a == b {
        return true;
    }
    if !a.pre.is_empty() || !b.pre.is_empty() {
        return false;
    }
    match (a.major, a.minor) {
        (0, 0) => false, // 0.0.x promises nothing
        (0, minor) => b.major == 0 && b.minor == minor,
        (major, _) => b.major == major,
    }
}

impl FromStr for WitInterface {
    type Err = WitNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || WitNameError {
            text: text.to_owned(),
        };
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(Version::parse(version).map_err(|_| error())?)),
            None => (text, None),
        };
        let (namespace, rest) = name.split_once(':').ok_or_else(error)?;
        let (package, interface) = rest.split_once('/').ok_or_else(error)?;
        if ![namespace, package, interface].into_iter().all(is_wit_id) {
            return Err(error());
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            package: package.to_owned(),
            interface: interface.to_owned(),
            version,
        })
    }
}

/// Tells whether `text` is a kebab-case WIT identifier.
fn is_wit_id(text: &str) -> bool {
    text.split('-').all(|word| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric())
    })
}

impl fmt::Display for WitInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.namespace, self.package, self.interface)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wit(text: &str) -> WitInterface {
        text.parse().expect("a valid interface name")
    }

    #[test]
    fn names_survive_a_round_trip() {
        for text in [
            "wasi:keyvalue/store@0.2.0-draft",
            "a:b/c",
            "wasi:http/incoming-handler@0.2.6",
        ] {
            assert_eq!(wit(text).to_string(), text);
        }
        for text in [
            "", "a", "a:b", "a/b", ":b/c", "a:/c", "a:b/", "a:b/c@x", "a:b/c--d", "a:b/c d",
        ] {
            assert!(text.parse::<WitInterface>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn versions_fit_up_to_the_first_number_that_is_not_zero() {
        let asks = wit("wasi:http/types@0.2.3");
        assert!(asks.accepts(&wit("wasi:http/types@0.2.9")));
        assert!(asks.accepts(&wit("wasi:http/types")));
        assert!(!asks.accepts(&wit("wasi:http/types@0.3.0")));
        assert!(
            !wit("wasi:keyvalue/store@0.2.0-draft")
                .accepts(&wit("wasi:keyvalue/store@0.2.0-draft2"))
        );
    }
}
