//! Ids and names as types, so that one cannot be passed for another.

use std::fmt;
use std::sync::Arc;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("the {kind} must not be empty")]
    Empty {
        /// What the text was to be.
        kind: &'static str,
    },
    /// The text is longer than 255 characters.
    #[error("the {kind} has at most {ID_LENGTH_MAX} characters, this one has {length}")]
    TooLong {
        /// What the text was to be.
        kind: &'static str,
        /// Its length in characters.
        length: usize,
    },
    /// The text holds a character that ids do not have.
    #[error("the {kind} has only letters, digits, `-` and `_`; {character:?} is none of them")]
    Character {
        /// What the text was to be.
        kind: &'static str,
        /// The first character that does not fit.
        character: char,
    },
}

/// Ids travel as one token of a NATS subject, whose whole length servers bound at 4 KiB; 255 leaves
/// room for all the other tokens.
const ID_LENGTH_MAX: usize = 255;

fn check(kind: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { kind });
    }
    let length = text.chars().count();
    if length > ID_LENGTH_MAX {
        return Err(IdError::TooLong { kind, length });
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
    {
        Some(character) => Err(IdError::Character { kind, character }),
        None => Ok(()),
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes `text` after checking it.
            ///
            /// # Errors
            /// When `text` is empty, too long, or has a character other than ASCII letters, digits,
            /// `-` and `_` (dots, spaces and wildcards would change a NATS subject).
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                check($kind, text.as_ref())?;
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

id_type!(
    /// The lattice-wide id of a component or provider.
    ComponentId,
    "component id"
);
id_type!(
    /// The name of an application.
    ApplicationName,
    "application name"
);
id_type!(
    /// The name that tells several links of one source and interface apart.
    LinkName,
    "link name"
);
id_type!(
    /// The name of a lattice: all hosts that share it and one NATS account are one machine.
    LatticeName,
    "lattice name"
);

id_type!(
    /// The id of one change of the lattice's state: whoever asks for it chooses one that nobody has, and
    /// gives it to each copy of the request.
    ChangeId,
    "change id"
);

impl ComponentId {
    /// Derives the id of `component` in `application`: both lower-cased, everything that is not an
    /// ASCII letter or digit made `_`, joined by `-` (the rule of wadm 0.21).
    ///
    /// # Errors
    /// As [`ComponentId::new`]; only an empty or overlong name can fail.
    pub fn derive(application: &str, component: &str) -> Result<Self, IdError> {
        check_part("application name", application)?;
        check_part("component name", component)?;
        Self::new(format!(
            "{}-{}",
            derived_part(application),
            derived_part(component)
        ))
    }
}

/// Returns `text` as it appears in a derived id or key: lower-cased, everything that is not an ASCII
/// letter or digit made `_` (the rule of wadm 0.21).
pub fn derived_part(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect()
}

fn check_part(kind: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        Err(IdError::Empty { kind })
    } else {
        Ok(())
    }
}

impl Default for LinkName {
    /// The link name that 1.x uses where none is given.
    fn default() -> Self {
        Self("default".into())
    }
}

impl Default for LatticeName {
    /// The lattice that 1.x joins where none is named.
    fn default() -> Self {
        Self("default".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_follow_wadm() {
        let id = ComponentId::derive("my-app", "HTTP component").map(|id| id.to_string());
        assert_eq!(id.as_deref(), Ok("my_app-http_component"));
        assert_eq!(
            ComponentId::derive("", "x"),
            Err(IdError::Empty {
                kind: "application name"
            })
        );
    }

    #[test]
    fn a_dot_is_refused_because_it_splits_a_subject() {
        assert_eq!(
            ComponentId::new("a.b"),
            Err(IdError::Character {
                kind: "component id",
                character: '.'
            })
        );
    }
}
