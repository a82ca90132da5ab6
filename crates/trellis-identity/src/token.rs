//! Tokens of NATS: claims as JSON, signed with an nkey (`ed25519-nkey`), and the chain from an
//! operator over an account to a user.
//!
//! Pure: the time is a parameter. Whoever trusts a token names the keys that may have signed it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::claims::{
    AccountStatement, Claims, OperatorStatement, Statement, UserStatement, VERSION,
};
use crate::{KeyError, KeyKind, Keys, Permissions, PublicKey};

/// The longest token that is looked at. nats-server takes a token inside a control line, 4 KiB by
/// default; accounts with many revocations are longer and come from files.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;

const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is longer than [`TOKEN_BYTES_MAX`].
    #[error("the token has {length} bytes, at most {TOKEN_BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// It is cut off or no token at all.
    #[error("the token is cut off or damaged: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// It carries no signature.
    #[error("the token is not signed")]
    Unsigned,
    /// It is signed in another way.
    #[error("the token is signed with {algorithm:?}, only \"ed25519-nkey\" is accepted")]
    Algorithm {
        /// The algorithm that it names.
        algorithm: String,
    },
    /// The claims are not those of an operator, account or user.
    #[error("cannot read the claims of the token")]
    Claims(#[source] serde_json::Error),
    /// The claims are of another version.
    #[error("the claims of the token have version {found}, expected {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// A key in the token is wrong.
    #[error("a key in the token is wrong")]
    Key(#[source] KeyError),
    /// The signature is not that of the issuer.
    #[error("the signature of the token is not that of its issuer {issuer}")]
    Signature {
        /// Who claims to have signed.
        issuer: PublicKey,
    },
    /// Somebody signed who must not.
    #[error("the token was signed by {issuer}, which {expected} does not vouch for")]
    Issuer {
        /// Who signed.
        issuer: PublicKey,
        /// Whose signature or vouching was expected.
        expected: PublicKey,
    },
    /// It speaks of something else.
    #[error("the token is of {found}, expected one of {expected}")]
    Kind {
        /// What it should speak of.
        expected: KeyKind,
        /// What it speaks of.
        found: KeyKind,
    },
    /// Its time is over.
    #[error("the token expired {} ago", seconds(*.since))]
    Expired {
        /// How long ago.
        since: Duration,
    },
    /// Its time has not come.
    #[error("the token is valid only in {}", seconds(*.until))]
    NotYetValid {
        /// In how long.
        until: Duration,
    },
    /// The account took it back.
    #[error("the token of {subject} was revoked")]
    Revoked {
        /// Of whom.
        subject: PublicKey,
    },
    /// It carries a restriction that this lattice does not enforce.
    #[error(
        "the token restricts its user by `{field}`, which the embedded lattice does not enforce"
    )]
    Unenforced {
        /// The field of the claims.
        field: &'static str,
    },
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

/// What a new token says beside its statement.
#[derive(Clone, Debug)]
pub struct Issue<'a> {
    /// Whom it speaks of.
    pub subject: &'a PublicKey,
    /// A name for people.
    pub name: &'a str,
    /// When it is made.
    pub now: SystemTime,
    /// How long it is valid; none: for ever.
    pub lifetime: Option<Duration>,
}

impl Issue<'_> {
    /// Writes and signs a token with `statement`.
    pub fn sign(&self, statement: Statement, issuer: &Keys) -> String {
        let issued_at = seconds_since_1970(self.now);
        let mut claims = Claims {
            id: String::new(),
            issued_at,
            issuer: issuer.public_key().to_string(),
            name: self.name.to_owned(),
            subject: self.subject.to_string(),
            // A token must not live for ever because its lifetime is less than a second.
            expires_at: self.lifetime.map_or(0, |lifetime| {
                issued_at.saturating_add(lifetime.as_secs().max(1))
            }),
            not_before: 0,
            nats: statement,
        };
        claims.id = BASE64.encode(Sha256::digest(json(&claims)));
        encode(&claims, issuer)
    }
}

/// Writes `claims` as a token signed by `issuer`.
fn encode(claims: &Claims, issuer: &Keys) -> String {
    let mut token = format!("{}.{}", BASE64.encode(HEADER), BASE64.encode(json(claims)));
    let signature = BASE64.encode(issuer.sign(token.as_bytes()));
    token.push('.');
    token.push_str(&signature);
    token
}

fn json(claims: &Claims) -> String {
    serde_json::to_string(claims).expect("claims have text keys only, so they are always JSON")
}

/// Reads a token and checks its form, its signature by its own issuer, and its times.
///
/// This proves nothing about who the issuer is; [`Trust`] does.
///
/// # Errors
/// As [`TokenError`] lists, but for issuers, revocations and restrictions.
pub fn decode(token: &str, now: SystemTime) -> Result<Claims, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong {
            length: token.len(),
        });
    }
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let &[header, body, signature] = parts.as_slice() else {
        return Err(TokenError::Malformed {
            what: "it must have three parts between dots",
        });
    };
    check_header(header)?;
    if signature.is_empty() {
        return Err(TokenError::Unsigned);
    }
    let signature = base64(signature, "the signature is not base64")?;
    let claims: Claims = serde_json::from_slice(&base64(body, "the claims are not base64")?)
        .map_err(TokenError::Claims)?;
    let issuer = PublicKey::parse(&claims.issuer).map_err(TokenError::Key)?;
    let signed = &token[..header.len() + 1 + body.len()];
    if !issuer.verifies(signed.as_bytes(), &signature) {
        return Err(TokenError::Signature { issuer });
    }
    PublicKey::parse_kind(&claims.subject, claims.kind()).map_err(TokenError::Key)?;
    if claims.version() != VERSION {
        return Err(TokenError::Version {
            found: claims.version(),
        });
    }
    check_times(&claims, now)?;
    Ok(claims)
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "typ")]
    kind: String,
    #[serde(rename = "alg")]
    algorithm: String,
}

fn check_header(part: &str) -> Result<(), TokenError> {
    let header: Header = serde_json::from_slice(&base64(part, "the header is not base64")?)
        .map_err(|_| TokenError::Malformed {
            what: "the header is not that of a token",
        })?;
    if !header.kind.eq_ignore_ascii_case("jwt") {
        return Err(TokenError::Malformed {
            what: "the header is not that of a token",
        });
    }
    match header.algorithm.to_ascii_lowercase().as_str() {
        "ed25519-nkey" => Ok(()),
        "none" => Err(TokenError::Unsigned),
        other => Err(TokenError::Algorithm {
            algorithm: other.chars().take(32).collect(),
        }),
    }
}

fn check_times(claims: &Claims, now: SystemTime) -> Result<(), TokenError> {
    let now = seconds_since_1970(now);
    if claims.expires_at != 0 && claims.expires_at <= now {
        return Err(TokenError::Expired {
            since: Duration::from_secs(now - claims.expires_at),
        });
    }
    if claims.not_before > now {
        return Err(TokenError::NotYetValid {
            until: Duration::from_secs(claims.not_before - now),
        });
    }
    Ok(())
}

fn base64(text: &str, what: &'static str) -> Result<Vec<u8>, TokenError> {
    BASE64
        .decode(text)
        .map_err(|_| TokenError::Malformed { what })
}

fn seconds_since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A user whose token was checked up to the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// A name for people, and for logs.
    pub name: String,
    /// The key that the user must prove to hold.
    pub public_key: PublicKey,
    /// What the user may do.
    pub permissions: Permissions,
    /// When the user must be cut off.
    pub expires: Option<SystemTime>,
}

/// An operator and one account of it, whose users are to be trusted.
#[derive(Clone, Debug)]
pub struct Trust {
    account: PublicKey,
    name: String,
    statement: AccountStatement,
}

impl Trust {
    /// Trusts the account of `account_token` after checking that the operator of `operator_token`,
    /// which is trusted as given, signed it.
    ///
    /// # Errors
    /// When one of the tokens is damaged or out of date, or the account is another operator's.
    pub fn new(
        operator_token: &str,
        account_token: &str,
        now: SystemTime,
    ) -> Result<Self, TokenError> {
        let operator = decode(operator_token, now)?;
        let account = decode(account_token, now)?;
        let statement = operator_statement(&operator)?;
        vouched(&operator.subject, &statement.signing_keys, &operator.issuer)?;
        vouched(&operator.subject, &statement.signing_keys, &account.issuer)?;
        let kind = account.kind();
        let Statement::Account(statement) = account.nats else {
            return Err(TokenError::Kind {
                expected: KeyKind::Account,
                found: kind,
            });
        };
        Ok(Self {
            account: key(&account.subject)?,
            name: account.name,
            statement: *statement,
        })
    }

    /// Returns the public key of the account.
    pub fn account(&self) -> &PublicKey {
        &self.account
    }

    /// Returns the name of the account.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks the token of a user. That the user holds the key is still to be proven.
    ///
    /// # Errors
    /// As [`TokenError`] lists.
    pub fn verify_user(&self, token: &str, now: SystemTime) -> Result<User, TokenError> {
        let claims = decode(token, now)?;
        let statement = user_statement(&claims)?;
        let signing_keys: Vec<&str> = self
            .statement
            .signing_keys
            .iter()
            .filter_map(|key| key.as_str())
            .collect();
        vouched(self.account.as_str(), &signing_keys, &claims.issuer)?;
        let account = match statement.issuer_account.as_str() {
            "" => claims.issuer.as_str(),
            account => account,
        };
        if account != self.account.as_str() {
            return Err(TokenError::Issuer {
                issuer: key(account)?,
                expected: self.account.clone(),
            });
        }
        let public_key = key(&claims.subject)?;
        if self.statement.revokes(&claims) {
            return Err(TokenError::Revoked {
                subject: public_key,
            });
        }
        if let Some(field) = statement.unenforced() {
            return Err(TokenError::Unenforced { field });
        }
        let permissions = statement.permissions(&self.statement);
        let expires = (claims.expires_at != 0)
            .then(|| UNIX_EPOCH.checked_add(Duration::from_secs(claims.expires_at)))
            .flatten();
        Ok(User {
            name: claims.name,
            public_key,
            permissions,
            expires,
        })
    }
}

fn operator_statement(claims: &Claims) -> Result<&OperatorStatement, TokenError> {
    match &claims.nats {
        Statement::Operator(statement) => Ok(statement),
        _ => Err(TokenError::Kind {
            expected: KeyKind::Operator,
            found: claims.kind(),
        }),
    }
}

fn user_statement(claims: &Claims) -> Result<&UserStatement, TokenError> {
    match &claims.nats {
        Statement::User(statement) => Ok(statement),
        _ => Err(TokenError::Kind {
            expected: KeyKind::User,
            found: claims.kind(),
        }),
    }
}

/// Checks that `issuer` is `authority` or one of its signing keys.
fn vouched(
    authority: &str,
    signing_keys: &[impl AsRef<str>],
    issuer: &str,
) -> Result<(), TokenError> {
    if issuer == authority || signing_keys.iter().any(|key| key.as_ref() == issuer) {
        return Ok(());
    }
    Err(TokenError::Issuer {
        issuer: key(issuer)?,
        expected: key(authority)?,
    })
}

fn key(text: &str) -> Result<PublicKey, TokenError> {
    PublicKey::parse(text).map_err(TokenError::Key)
}

#[cfg(test)]
mod tests;
