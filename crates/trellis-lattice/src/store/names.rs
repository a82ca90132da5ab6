//! Names of buckets and keys, as JetStream admits them.

use std::fmt;
use std::sync::Arc;

use trellis_core::LatticeName;

/// With `KV_` before it a bucket's name is that of a stream, which is also a folder's.
const BUCKET_LENGTH_MAX: usize = 250;
/// A key is part of a subject in a line of at most 4 KiB.
const KEY_LENGTH_MAX: usize = 1_024;

/// Why a text is no name of a bucket or key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("the {kind} must not be empty")]
    Empty {
        /// What the text was to be.
        kind: &'static str,
    },
    /// The text is too long.
    #[error("the {kind} has at most {length_max} characters, this one has {length}")]
    TooLong {
        /// What the text was to be.
        kind: &'static str,
        /// Its length.
        length: usize,
        /// The greatest length.
        length_max: usize,
    },
    /// The text has a character that does not fit.
    #[error("the {kind} {text:?} has {character:?}; only {allowed} fit")]
    Character {
        /// What the text was to be.
        kind: &'static str,
        /// The text.
        text: String,
        /// The first character that does not fit.
        character: char,
        /// Those that fit.
        allowed: &'static str,
    },
    /// The dots of a key stand between its parts.
    #[error("the key {text:?} begins or ends with a dot, or has two in a row")]
    Dots {
        /// The text.
        text: String,
    },
}

/// The name of a bucket: letters, digits, `-` and `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(Arc<str>);

impl BucketName {
    /// Takes `text` after checking it.
    ///
    /// # Errors
    /// When it is empty, too long, or has other characters.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        let allowed = "letters, digits, `-` and `_`";
        check("bucket name", text, BUCKET_LENGTH_MAX, allowed, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
        })?;
        Ok(Self(text.into()))
    }

    /// Returns the bucket of specs and claims of `lattice`, by its 1.x name.
    ///
    /// # Errors
    /// When the lattice's name is too long to be part of a bucket's.
    pub fn lattice_data(lattice: &LatticeName) -> Result<Self, NameError> {
        Self::new(format!("LATTICEDATA_{lattice}"))
    }

    /// Returns the bucket of configs of `lattice`, by its 1.x name.
    ///
    /// # Errors
    /// When the lattice's name is too long to be part of a bucket's.
    pub fn config_data(lattice: &LatticeName) -> Result<Self, NameError> {
        Self::new(format!("CONFIGDATA_{lattice}"))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key: letters, digits, `-`, `/`, `_`, `=`, and dots between its parts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Takes `text` after checking it.
    ///
    /// # Errors
    /// When it is empty, too long, or has other characters.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        let allowed = "letters, digits, `-`, `/`, `_`, `=` and `.`";
        check("key", text, KEY_LENGTH_MAX, allowed, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '/' | '_' | '=' | '.')
        })?;
        if text.starts_with('.') || text.ends_with('.') || text.contains("..") {
            return Err(NameError::Dots {
                text: text.to_owned(),
            });
        }
        Ok(Self(text.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(
    kind: &'static str,
    text: &str,
    length_max: usize,
    allowed: &'static str,
    fits: impl Fn(char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if text.len() > length_max {
        return Err(NameError::TooLong {
            kind,
            length: text.len(),
            length_max,
        });
    }
    match text.chars().find(|c| !fits(*c)) {
        None => Ok(()),
        Some(character) => Err(NameError::Character {
            kind,
            text: text.to_owned(),
            character,
            allowed,
        }),
    }
}

macro_rules! text_traits {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

text_traits!(BucketName);
text_traits!(Key);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_jetstream() {
        let lattice = LatticeName::default();
        let name = BucketName::lattice_data(&lattice).map(|name| name.to_string());
        assert_eq!(name.as_deref(), Ok("LATTICEDATA_default"));
        for good in ["COMPONENT_shop-cart", "a.b/c=d", "SECRET_x"] {
            assert!(Key::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "a.", "a..b", "a b", "a*", ">", "ä", "a\r\nb"] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
        assert!(Key::new("k".repeat(KEY_LENGTH_MAX + 1)).is_err());
        assert!(BucketName::new("a.b").is_err());
    }
}
