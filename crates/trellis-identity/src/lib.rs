//! Keys, credentials and permissions of a lattice: nkeys, NATS user JWTs, roles.
//!
//! Reads and writes files of credentials; opens no connection.

pub mod subject;

mod authority;
mod claims;
mod credentials;
mod keys;
mod permissions;
mod private_file;
mod role;
mod secret;
pub mod token;

pub use authority::{AuthenticationError, Authority, AuthorityError, DamageError, STANDING_ROLES};
pub use claims::{
    AccountStatement, Claims, DefaultPermissions, OperatorStatement, Statement, UNLIMITED,
    UserStatement,
};
pub use credentials::{Credentials, CredentialsError};
pub use keys::{KeyError, KeyKind, Keys, PublicKey};
pub use permissions::{Permissions, Responses, SubjectRules};
pub use private_file::PrivateFileError;
pub use role::{Role, permissions};
pub use secret::Secret;
pub use token::{Issue, TokenError, Trust, User};
