//! Names that stand in subjects and that the vocabulary crate does not have: of hosts and of config.

use std::fmt;
use std::sync::Arc;

/// Longest name, in characters. Servers bound a whole subject at 4 KiB; 255 leaves room for the
/// other tokens.
pub const NAME_LENGTH_MAX: usize = 255;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("the {kind} must not be empty")]
    Empty {
        /// What the text was to be.
        kind: &'static str,
    },
    /// The text is too long.
    #[error("the {kind} has at most {NAME_LENGTH_MAX} characters, this one has {length}")]
    TooLong {
        /// What the text was to be.
        kind: &'static str,
        /// Its length in characters.
        length: usize,
    },
    /// The text holds a character that would change the subject or the key.
    #[error("the {kind} has only letters, digits and {marks}; {character:?} is none of them")]
    Character {
        /// What the text was to be.
        kind: &'static str,
        /// The marks that are allowed beside letters and digits.
        marks: &'static str,
        /// The first character that does not fit.
        character: char,
    },
}

/// What one kind of name may hold beside ASCII letters and digits.
struct Rule {
    kind: &'static str,
    marks: &'static [char],
    marks_text: &'static str,
}

impl Rule {
    fn check(&self, text: &str) -> Result<(), NameError> {
        let kind = self.kind;
        if text.is_empty() {
            return Err(NameError::Empty { kind });
        }
        let length = text.chars().count();
        if length > NAME_LENGTH_MAX {
            return Err(NameError::TooLong { kind, length });
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || self.marks.contains(c);
        match text.chars().find(|c| !allowed(c)) {
            Some(character) => Err(NameError::Character {
                kind,
                marks: self.marks_text,
                character,
            }),
            None => Ok(()),
        }
    }
}

const HOST_ID: Rule = Rule {
    kind: "host id",
    marks: &['-', '_'],
    marks_text: "`-`, `_`",
};

/// The characters of a key of JetStream KV without the dot, which would split the subject.
const CONFIG_NAME: Rule = Rule {
    kind: "config name",
    marks: &['-', '_', '/', '='],
    marks_text: "`-`, `_`, `/`, `=`",
};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes `text` after checking it.
            ///
            /// # Errors
            /// When `text` is empty, too long, or has a character that would change a subject (a
            /// dot, a space, a wildcard) or that keys do not have.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                $rule.check(text.as_ref())?;
                Ok(Self(text.as_ref().into()))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

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

name_type!(
    /// The id of a host: its public key (`N…`, 56 characters) for real ones, any one token of a
    /// subject for the wire.
    HostId,
    HOST_ID
);
name_type!(
    /// The name of a config entry: a key of the state store that is one token of a subject.
    ConfigName,
    CONFIG_NAME
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_a_subject_is_refused() {
        for text in ["a.b", "*", "a>", "a b", "a\n", "$host", "ä"] {
            assert!(HostId::new(text).is_err(), "{text:?} was taken");
            assert!(ConfigName::new(text).is_err(), "{text:?} was taken");
        }
        assert!(HostId::new("").is_err());
        assert!(HostId::new("N".repeat(256)).is_err());
        assert!(ConfigName::new("shop/kv=1").is_ok());
        assert_eq!(
            ConfigName::new("kv.settings")
                .expect_err("a dot")
                .to_string(),
            "the config name has only letters, digits and `-`, `_`, `/`, `=`; '.' is none of them"
        );
    }
}
