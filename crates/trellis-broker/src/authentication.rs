//! Who may come in: decided by whoever starts the broker.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use trellis_core::with_causes;
use trellis_identity::{AuthenticationError, Authority, Permissions, TokenError};

use crate::protocol::messages::Connect;

/// Who a client turned out to be.
#[derive(Clone, Debug, Default)]
pub struct User {
    /// A name for logs.
    pub name: String,
    /// What the user may publish and subscribe to.
    pub permissions: Permissions,
    /// When the user must be cut off.
    pub expires: Option<SystemTime>,
}

/// A client that is not let in. The reason is for our log; the client learns only that it is so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The credentials were good once.
    #[error("its credentials expired")]
    Expired,
    /// The credentials are not good.
    #[error("{reason}")]
    Credentials {
        /// What is wrong with them.
        reason: String,
    },
}

impl Refused {
    /// Refuses credentials for `reason`.
    pub fn because(reason: impl Into<String>) -> Self {
        Self::Credentials {
            reason: reason.into(),
        }
    }
}

/// Decodes a signature in either alphabet of base64, with or without padding: clients use both.
///
/// # Errors
/// When it is neither.
pub fn decode_signature(text: &str) -> Result<Vec<u8>, Refused> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::URL_SAFE, alphabet::STANDARD]
        .iter()
        .find_map(|it| GeneralPurpose::new(it, config).decode(text).ok())
        .ok_or_else(|| Refused::because("its signature is not base64"))
}

/// Decides who may come in.
pub trait Authenticator: Send + Sync + 'static {
    /// Returns whether a client must show credentials before anything else.
    fn requires_credentials(&self) -> bool;

    /// Says who the client is that answered `nonce` with `connect`.
    ///
    /// # Errors
    /// When it may not come in.
    fn authenticate(&self, connect: &Connect, nonce: &str) -> Result<User, Refused>;
}

impl<A: Authenticator> Authenticator for Arc<A> {
    fn requires_credentials(&self) -> bool {
        A::requires_credentials(self)
    }

    fn authenticate(&self, connect: &Connect, nonce: &str) -> Result<User, Refused> {
        A::authenticate(self, connect, nonce)
    }
}

/// Lets everybody in, to do everything. For tests.
#[derive(Clone, Copy, Debug)]
pub struct AllowAll;

impl Authenticator for AllowAll {
    fn requires_credentials(&self) -> bool {
        false
    }

    fn authenticate(&self, _: &Connect, _: &str) -> Result<User, Refused> {
        Ok(User::default())
    }
}

/// Lets in the users of a lattice: by a JWT and the nonce signed with the key it names. User names,
/// passwords and bare tokens are no credentials.
impl Authenticator for Authority {
    fn requires_credentials(&self) -> bool {
        true
    }

    fn authenticate(&self, connect: &Connect, nonce: &str) -> Result<User, Refused> {
        if connect.jwt.is_empty() {
            return Err(Refused::because("it showed no JWT"));
        }
        let signature = decode_signature(&connect.signature)?;
        let user = Authority::authenticate(self, &connect.jwt, nonce.as_bytes(), &signature)
            .map_err(|error| match error {
                AuthenticationError::Token(TokenError::Expired { .. }) => Refused::Expired,
                error => Refused::because(with_causes(&error)),
            })?;
        Ok(User {
            name: user.name,
            permissions: user.permissions,
            expires: user.expires,
        })
    }
}
