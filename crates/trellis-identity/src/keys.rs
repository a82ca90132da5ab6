//! Key pairs in the encoding of NATS (nkeys): Ed25519, base32, a letter that says what the key is for.

use std::fmt;

use nkeys::{KeyPair, KeyPairType};

use crate::Secret;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Signs accounts; `O`.
    Operator,
    /// Signs users; `A`.
    Account,
    /// Connects; `U`.
    User,
    /// Names a host or server; `N`.
    Server,
    /// Opens sealed messages (X25519); signs nothing; `X`.
    Curve,
}

/// Why a text is not a key, or a key cannot do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not a public key.
    #[error("{text:?} is not a public key: 56 characters of A-Z and 2-7 with a valid checksum")]
    PublicKey {
        /// The start of the text.
        text: String,
    },
    /// The text is not a seed. It is not repeated, because it may be a damaged one.
    #[error("the seed is damaged: it must be `S` and 57 more characters of A-Z and 2-7")]
    Seed,
    /// The key is for something else.
    #[error("this is the key of {found}, expected one of {expected}")]
    Kind {
        /// What it should be for.
        expected: KeyKind,
        /// What it is for.
        found: KeyKind,
    },
    /// The key is of a kind that a lattice does not use.
    #[error("a key that begins with {letter:?} has no use in a lattice")]
    Foreign {
        /// Its first letter.
        letter: char,
    },
}

/// A public key: checked text of 56 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(String);

/// A private key with its public key. Printing shows the public key only.
#[derive(Clone)]
pub struct Keys {
    pair: KeyPair,
    kind: KeyKind,
}

impl KeyKind {
    fn of(letter: Option<char>) -> Result<Self, KeyError> {
        match letter {
            Some('O') => Ok(Self::Operator),
            Some('A') => Ok(Self::Account),
            Some('U') => Ok(Self::User),
            Some('N') => Ok(Self::Server),
            Some('X') => Ok(Self::Curve),
            Some(letter) => Err(KeyError::Foreign { letter }),
            None => Err(KeyError::PublicKey {
                text: String::new(),
            }),
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "an operator (O)",
            Self::Account => "an account (A)",
            Self::User => "a user (U)",
            Self::Server => "a server (N)",
            Self::Curve => "a curve (X)",
        })
    }
}

impl PublicKey {
    /// Takes `text` after checking its form and checksum.
    ///
    /// # Errors
    /// When `text` is no public key, or one of a kind that a lattice does not use.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        nkeys::from_public_key(text).map_err(|_| KeyError::PublicKey {
            text: text.chars().take(64).collect(),
        })?;
        KeyKind::of(text.chars().next())?;
        Ok(Self(text.to_owned()))
    }

    /// Takes `text` as [`PublicKey::parse`] does, and only a key of `expected` kind.
    ///
    /// # Errors
    /// As [`PublicKey::parse`], and when the key is of another kind.
    pub fn parse_kind(text: &str, expected: KeyKind) -> Result<Self, KeyError> {
        let key = Self::parse(text)?;
        match key.kind() {
            found if found == expected => Ok(key),
            found => Err(KeyError::Kind { expected, found }),
        }
    }

    /// Returns what the key is for.
    pub fn kind(&self) -> KeyKind {
        KeyKind::of(self.0.chars().next()).expect("the letter was checked when the key was made")
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether `signature` (64 bytes) is the signature of `message` by this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.kind() != KeyKind::Curve
            && KeyPair::from_public_key(&self.0)
                .is_ok_and(|pair| pair.verify(message, signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Keys {
    /// Makes a new pair from the randomness of the system. Curve keys are not made here.
    ///
    /// # Errors
    /// When `kind` is [`KeyKind::Curve`], which signs nothing.
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        let pair = match kind {
            KeyKind::Operator => KeyPair::new(KeyPairType::Operator),
            KeyKind::Account => KeyPair::new(KeyPairType::Account),
            KeyKind::User => KeyPair::new(KeyPairType::User),
            KeyKind::Server => KeyPair::new(KeyPairType::Server),
            KeyKind::Curve => return Err(KeyError::Foreign { letter: 'X' }),
        };
        Ok(Self { pair, kind })
    }

    /// Takes the pair that `seed` describes.
    ///
    /// # Errors
    /// When `seed` is damaged, or of a kind that signs nothing in a lattice.
    pub fn from_seed(seed: &Secret<String>) -> Result<Self, KeyError> {
        let seed = seed.expose().trim();
        let kind = match KeyKind::of(seed.chars().nth(1)) {
            Ok(KeyKind::Curve) => return Err(KeyError::Foreign { letter: 'X' }),
            kind => kind.map_err(|_| KeyError::Seed)?,
        };
        let pair = KeyPair::from_seed(seed).map_err(|_| KeyError::Seed)?;
        Ok(Self { pair, kind })
    }

    /// Returns what the pair is for.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.pair.public_key())
    }

    /// Returns the seed, from which [`Keys::from_seed`] makes the pair again.
    pub fn seed(&self) -> Secret<String> {
        Secret::new(self.pair.seed().expect("a pair made here has its seed"))
    }

    /// Signs `message`; 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair
            .sign(message)
            .expect("a pair made here has its seed")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.pair.public_key())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const KINDS: [(KeyKind, char); 4] = [
        (KeyKind::Operator, 'O'),
        (KeyKind::Account, 'A'),
        (KeyKind::User, 'U'),
        (KeyKind::Server, 'N'),
    ];

    #[test]
    fn a_seed_gives_back_its_pair() {
        for (kind, letter) in KINDS {
            let keys = Keys::generate(kind).unwrap();
            let again = Keys::from_seed(&keys.seed()).unwrap();
            assert_eq!(again.public_key(), keys.public_key());
            assert_eq!((again.kind(), again.public_key().kind()), (kind, kind));
            assert!(keys.public_key().as_str().starts_with(letter));
        }
    }

    #[test]
    fn a_signature_is_of_one_key_and_one_message() {
        let keys = Keys::generate(KeyKind::User).unwrap();
        let other = Keys::generate(KeyKind::User).unwrap();
        let signature = keys.sign(b"nonce");
        assert!(keys.public_key().verifies(b"nonce", &signature));
        assert!(!keys.public_key().verifies(b"nonsense", &signature));
        assert!(!other.public_key().verifies(b"nonce", &signature));
        for wrong in [&signature[..63], &[], &[0; 64], &[0; 10_000]] {
            assert!(!keys.public_key().verifies(b"nonce", wrong));
        }
    }

    #[test]
    fn damaged_keys_are_errors() {
        let keys = Keys::generate(KeyKind::User).unwrap();
        let public = keys.public_key().to_string();
        let seed = keys.seed().expose().clone();
        for position in 0..public.len() {
            let mut damaged = public.clone().into_bytes();
            damaged[position] = if damaged[position] == b'B' {
                b'C'
            } else {
                b'B'
            };
            assert!(PublicKey::parse(&String::from_utf8(damaged).unwrap()).is_err());
        }
        for position in 1..seed.len() {
            let mut damaged = seed.clone().into_bytes();
            damaged[position] = if damaged[position] == b'B' {
                b'C'
            } else {
                b'B'
            };
            let damaged = Secret::new(String::from_utf8(damaged).unwrap());
            assert!(Keys::from_seed(&damaged).is_err(), "position {position}");
        }
        for text in [
            "",
            "U",
            "é",
            "\u{10ffff}S",
            "SU",
            &"B".repeat(56),
            &"é".repeat(28),
            &"S".repeat(58),
            &"S".repeat(1 << 20),
        ] {
            assert!(PublicKey::parse(text).is_err());
            assert!(Keys::from_seed(&Secret::from(text)).is_err());
        }
        assert!(PublicKey::parse(&seed).is_err());
    }

    #[test]
    fn a_key_of_another_kind_is_told_apart() {
        let user = Keys::generate(KeyKind::User).unwrap().public_key();
        let error = PublicKey::parse_kind(user.as_str(), KeyKind::Account).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this is the key of a user (U), expected one of an account (A)"
        );
    }

    #[test]
    fn printing_keys_shows_no_seed() {
        let keys = Keys::generate(KeyKind::User).unwrap();
        let printed = format!(
            "{keys:?} {:?} {:?}",
            keys.seed(),
            Keys::from_seed(&Secret::from("SUAB"))
        );
        assert!(!printed.contains(keys.seed().expose()) && !printed.contains("SUAB"));
        assert!(printed.contains(keys.public_key().as_str()));
    }
}
