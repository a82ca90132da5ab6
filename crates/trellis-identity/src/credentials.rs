//! What a user connects with: a token and the seed of its key, and the `.creds` file that holds both.
//!
//! The form of the file is that of the NATS tools, which read ours as we read theirs.

use std::path::Path;
use std::time::SystemTime;

use crate::{KeyError, KeyKind, Keys, PrivateFileError, PublicKey, Secret, Statement, TokenError};
use crate::{private_file, token};

/// A token of a user, and the seed with which the user proves to hold the key.
#[derive(Clone, Debug)]
pub struct Credentials {
    jwt: String,
    seed: Secret<String>,
    public_key: PublicKey,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file was not read or written.
    #[error("cannot use the credentials file")]
    File(#[source] PrivateFileError),
    /// The text is not that of a `.creds` file.
    #[error("the credentials have no {missing} between lines of dashes, as files of NATS do")]
    Form {
        /// The part that is missing.
        missing: &'static str,
    },
    /// The seed is damaged.
    #[error("the credentials hold no seed of a user")]
    Seed(#[source] KeyError),
    /// The token is damaged or not a user's.
    #[error("the credentials hold no valid token of a user")]
    Token(#[source] TokenError),
    /// The seed is not that of the token's user.
    #[error("the token is of the user {token}, the seed of {seed}")]
    Mismatch {
        /// The user of the token.
        token: String,
        /// The public key of the seed.
        seed: PublicKey,
    },
}

impl Credentials {
    /// Puts a token and a seed together. The signature of the token is checked; its times and the
    /// version of its claims are not, for a server decides about those.
    ///
    /// # Errors
    /// When one is damaged, the token is not a user's, or they belong to different users.
    pub fn new(jwt: impl Into<String>, seed: Secret<String>) -> Result<Self, CredentialsError> {
        let jwt = jwt.into();
        let keys = user_keys(&seed)?;
        let subject = match token::decode(&jwt, SystemTime::now()) {
            Ok(claims) => match claims.nats {
                Statement::User(_) => claims.subject,
                _ => {
                    return Err(CredentialsError::Token(TokenError::Kind {
                        expected: KeyKind::User,
                        found: claims.kind(),
                    }));
                }
            },
            // The server that the credentials are for may have another clock, and may take claims
            // of the first version; its answer is better than our guess.
            Err(
                TokenError::Expired { .. }
                | TokenError::NotYetValid { .. }
                | TokenError::Algorithm { .. }
                | TokenError::Version { .. }
                | TokenError::Claims(_),
            ) => keys.public_key().to_string(),
            Err(error) => return Err(CredentialsError::Token(error)),
        };
        if subject != keys.public_key().as_str() {
            return Err(CredentialsError::Mismatch {
                token: subject,
                seed: keys.public_key(),
            });
        }
        Ok(Self {
            jwt,
            seed,
            public_key: keys.public_key(),
        })
    }

    /// Puts together what was just made, which needs no checks.
    pub(crate) fn issued(jwt: String, keys: &Keys) -> Self {
        Self {
            jwt,
            seed: keys.seed(),
            public_key: keys.public_key(),
        }
    }

    /// Reads the text of a `.creds` file.
    ///
    /// # Errors
    /// As [`CredentialsError`] lists.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        let mut blocks = Blocks {
            lines: text.lines(),
        };
        let jwt = blocks.next().ok_or(CredentialsError::Form {
            missing: "user token",
        })?;
        let seed = blocks
            .next()
            .ok_or(CredentialsError::Form { missing: "seed" })?;
        Self::new(jwt, Secret::from(seed))
    }

    /// Reads a `.creds` file.
    ///
    /// # Errors
    /// As [`Credentials::parse`], and when the file cannot be read or others can read it.
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        let text = private_file::read(path).map_err(CredentialsError::File)?;
        Self::parse(text.expose())
    }

    /// Writes a `.creds` file that only its owner can read, in one step.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CredentialsError> {
        private_file::write(path, self.to_text().expose()).map_err(CredentialsError::File)
    }

    /// Returns the text of a `.creds` file, as the NATS tools write it.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             Whoever has the seed below is this user: keep it secret.\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            self.jwt,
            self.seed.expose()
        ))
    }

    /// Returns the token.
    pub fn jwt(&self) -> &str {
        &self.jwt
    }

    /// Returns the seed.
    pub fn seed(&self) -> &Secret<String> {
        &self.seed
    }

    /// Returns the public key of the user.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Signs the nonce of a server; 64 bytes.
    pub fn sign(&self, nonce: &[u8]) -> Vec<u8> {
        Keys::from_seed(&self.seed)
            .expect("the seed was checked when the credentials were made")
            .sign(nonce)
    }
}

fn user_keys(seed: &Secret<String>) -> Result<Keys, CredentialsError> {
    let keys = Keys::from_seed(seed).map_err(CredentialsError::Seed)?;
    match keys.kind() {
        KeyKind::User => Ok(keys),
        found => Err(CredentialsError::Seed(KeyError::Kind {
            expected: KeyKind::User,
            found,
        })),
    }
}

/// The texts between a line of dashes and the next: one line each, whatever the lines are called.
struct Blocks<'a> {
    lines: std::str::Lines<'a>,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.lines.find(|line| is_border(line))?;
        let mut content = None;
        for line in self.lines.by_ref() {
            if is_border(line) {
                break;
            }
            if content.is_none() && !line.trim().is_empty() {
                content = Some(line.trim());
            }
        }
        content
    }
}

fn is_border(line: &str) -> bool {
    let line = line.trim();
    line.len() > 6 && line.starts_with("---") && line.ends_with("---")
}

#[cfg(test)]
mod tests;
