//! The authority of a lattice: the operator, account and role users that are made once, kept in a
//! folder, and against which a connection is checked.
//!
//! Knows the NATS protocol only as far as a nonce is signed.

mod folder;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use trellis_core::LatticeName;

use crate::claims::{AccountStatement, Statement, UserStatement};
use crate::token::{self, Issue, TokenError, Trust, User};
use crate::{
    Credentials, CredentialsError, KeyError, KeyKind, Keys, PrivateFileError, PublicKey, Role,
};
use crate::{permissions, private_file};

use folder::{ACCOUNT_SEED, ACCOUNT_TOKEN, OPERATOR_TOKEN, SYSTEM_TOKEN};

/// The roles whose users are made with the lattice; providers get theirs when they start.
pub const STANDING_ROLES: [Role; 4] = [Role::Host, Role::Operator, Role::Viewer, Role::Dashboard];

/// Who may enter a lattice, and as what.
#[derive(Debug)]
pub struct Authority {
    lattice: LatticeName,
    folder: PathBuf,
    operator_token: String,
    account_token: String,
    system_token: String,
    trust: Trust,
    account: Keys,
    standing: Vec<(Role, Credentials)>,
}

/// Why a lattice has no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// There is no folder of credentials.
    #[error("there are no credentials of a lattice in {folder}")]
    Absent {
        /// The folder.
        folder: PathBuf,
    },
    /// A file was not read or written.
    #[error("cannot use the credentials of lattice {lattice}")]
    File {
        /// The lattice.
        lattice: LatticeName,
        /// Which file, and why.
        #[source]
        source: PrivateFileError,
    },
    /// A part is missing or damaged that cannot be made again without making all of it again.
    #[error(
        "the credentials in {folder} are damaged at {part}; delete the folder to make new ones, \
             then restart whatever uses the old ones"
    )]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// The file.
        part: &'static str,
        /// What is wrong with it.
        #[source]
        source: DamageError,
    },
    /// The folder is that of another lattice.
    #[error("the credentials in {folder} are of lattice {found}, not of {expected}")]
    Lattice {
        /// The folder.
        folder: PathBuf,
        /// The lattice asked for.
        expected: LatticeName,
        /// The lattice of the folder.
        found: String,
    },
}

/// What is wrong with a part of the credentials.
#[derive(Debug, thiserror::Error)]
pub enum DamageError {
    /// The file is not there.
    #[error("the file is missing")]
    Missing,
    /// A token is wrong.
    #[error("the token is refused")]
    Token(#[source] TokenError),
    /// A seed is wrong.
    #[error("the seed is refused")]
    Seed(#[source] KeyError),
    /// The seed is not that of the account.
    #[error("the seed is that of {found}, the account is {expected}")]
    OtherAccount {
        /// The account of the token.
        expected: PublicKey,
        /// The account of the seed.
        found: PublicKey,
    },
}

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// The token is not one of this lattice, or not valid now.
    #[error("the token is refused")]
    Token(#[source] TokenError),
    /// The key of the token did not sign the nonce.
    #[error("the nonce is not signed by {user}")]
    Signature {
        /// The user of the token.
        user: PublicKey,
    },
}

impl Authority {
    /// Opens the credentials of `lattice` in `folder`, or makes them when there are none.
    ///
    /// Several processes may do so at once: one makes them. After a crash at any moment the folder
    /// is either absent or complete. Users whose permissions have changed with this version get
    /// new tokens.
    ///
    /// # Errors
    /// When the folder cannot be read or written, others can read it, it is damaged, or it is that
    /// of another lattice.
    pub fn open_or_create(folder: &Path, lattice: &LatticeName) -> Result<Self, AuthorityError> {
        let file_failed = |source| AuthorityError::File {
            lattice: lattice.clone(),
            source,
        };
        private_file::create_folder(private_file::parent(folder)).map_err(file_failed)?;
        let _lock = folder::lock(folder).map_err(file_failed)?;
        if folder::is_absent(folder).map_err(file_failed)? {
            folder::publish(folder, &new_parts(lattice)).map_err(file_failed)?;
        }
        Self::load(folder, lattice)
    }

    /// Opens the credentials of `lattice` in `folder`.
    ///
    /// # Errors
    /// As [`Authority::open_or_create`], and when there are none.
    pub fn open(folder: &Path, lattice: &LatticeName) -> Result<Self, AuthorityError> {
        let file_failed = |source| AuthorityError::File {
            lattice: lattice.clone(),
            source,
        };
        if folder::is_absent(folder).map_err(file_failed)? {
            return Err(AuthorityError::Absent {
                folder: folder.to_owned(),
            });
        }
        let _lock = folder::lock(folder).map_err(file_failed)?;
        Self::load(folder, lattice)
    }

    fn load(path: &Path, lattice: &LatticeName) -> Result<Self, AuthorityError> {
        let file_failed = |source| AuthorityError::File {
            lattice: lattice.clone(),
            source,
        };
        let damaged = |part, source| AuthorityError::Damaged {
            folder: path.to_owned(),
            part,
            source,
        };
        private_file::check_folder(path).map_err(file_failed)?;
        let part = |name: &'static str| match private_file::read(&path.join(name)) {
            Ok(text) => Ok(text),
            Err(PrivateFileError::Missing { .. }) => Err(damaged(name, DamageError::Missing)),
            Err(error) => Err(file_failed(error)),
        };
        let operator_token = part(OPERATOR_TOKEN)?.expose().trim().to_owned();
        let account_token = part(ACCOUNT_TOKEN)?.expose().trim().to_owned();
        let system_token = part(SYSTEM_TOKEN)?.expose().trim().to_owned();
        let now = SystemTime::now();
        Trust::new(&operator_token, &system_token, now)
            .map_err(|error| damaged(SYSTEM_TOKEN, DamageError::Token(error)))?;
        let trust = Trust::new(&operator_token, &account_token, now)
            .map_err(|error| damaged(ACCOUNT_TOKEN, DamageError::Token(error)))?;
        let account = Keys::from_seed(&part(ACCOUNT_SEED)?)
            .map_err(|error| damaged(ACCOUNT_SEED, DamageError::Seed(error)))?;
        if account.public_key() != *trust.account() {
            let source = DamageError::OtherAccount {
                expected: trust.account().clone(),
                found: account.public_key(),
            };
            return Err(damaged(ACCOUNT_SEED, source));
        }
        if trust.name() != lattice.as_str() {
            return Err(AuthorityError::Lattice {
                folder: path.to_owned(),
                expected: lattice.clone(),
                found: trust.name().to_owned(),
            });
        }
        let mut authority = Self {
            lattice: lattice.clone(),
            folder: path.to_owned(),
            operator_token,
            account_token,
            system_token,
            trust,
            account,
            standing: Vec::new(),
        };
        for role in STANDING_ROLES {
            let credentials = authority.standing_user(&role).map_err(file_failed)?;
            authority.standing.push((role, credentials));
        }
        Ok(authority)
    }

    /// Reads the user of `role`. One that is missing, damaged, of another account, or whose
    /// permissions are not those of this version is made anew: the account's seed is all it takes.
    fn standing_user(&self, role: &Role) -> Result<Credentials, PrivateFileError> {
        let path = folder::user_path(&self.folder, role);
        let kept = match Credentials::read(&path) {
            Ok(credentials) => Some(credentials),
            Err(CredentialsError::File(error @ PrivateFileError::Exposed { .. })) => {
                return Err(error);
            }
            Err(_) => None,
        };
        let wanted = permissions(role, &self.lattice);
        let keys = match kept {
            Some(credentials) => {
                let user = self.trust.verify_user(credentials.jwt(), SystemTime::now());
                match user {
                    Ok(user) if user.permissions == wanted => return Ok(credentials),
                    Err(TokenError::Revoked { .. }) => new_keys(KeyKind::User),
                    _ => user_keys(&credentials),
                }
            }
            None => new_keys(KeyKind::User),
        };
        let credentials = self.issue_to(&keys, role, None);
        let text = credentials.to_text();
        private_file::create_folder(private_file::parent(&path))?;
        private_file::write(&path, text.expose())?;
        Ok(credentials)
    }

    /// Returns the lattice.
    pub fn lattice(&self) -> &LatticeName {
        &self.lattice
    }

    /// Returns the credentials of `role`: those on the disk, or for a provider a new user, which is
    /// kept nowhere and lives as long as the account.
    pub fn credentials(&self, role: &Role) -> Credentials {
        self.standing
            .iter()
            .find(|(standing, _)| standing == role)
            .map_or_else(
                || self.issue(role, None),
                |(_, credentials)| credentials.clone(),
            )
    }

    /// Returns the `.creds` file of `role`, or none for a provider.
    pub fn credentials_path(&self, role: &Role) -> Option<PathBuf> {
        STANDING_ROLES
            .contains(role)
            .then(|| folder::user_path(&self.folder, role))
    }

    /// Makes a new user in `role`, valid for `lifetime` or for ever.
    pub fn issue(&self, role: &Role, lifetime: Option<Duration>) -> Credentials {
        self.issue_to(&new_keys(KeyKind::User), role, lifetime)
    }

    fn issue_to(&self, keys: &Keys, role: &Role, lifetime: Option<Duration>) -> Credentials {
        let issue = Issue {
            subject: &keys.public_key(),
            name: &role.to_string(),
            now: SystemTime::now(),
            lifetime,
        };
        let statement = UserStatement::new(permissions(role, &self.lattice));
        let jwt = issue.sign(Statement::User(Box::new(statement)), &self.account);
        Credentials::issued(jwt, keys)
    }

    /// Checks who connects: a token of this lattice, and a signature (64 bytes) of the nonce that was
    /// sent to this connection. The nonce must be new for each connection; that is the caller's part.
    ///
    /// # Errors
    /// When the token is refused or the signature is not of its user.
    pub fn authenticate(
        &self,
        jwt: &str,
        nonce: &[u8],
        signature: &[u8],
    ) -> Result<User, AuthenticationError> {
        let user = self
            .trust
            .verify_user(jwt, SystemTime::now())
            .map_err(AuthenticationError::Token)?;
        match user.public_key.verifies(nonce, signature) {
            true => Ok(user),
            false => Err(AuthenticationError::Signature {
                user: user.public_key,
            }),
        }
    }

    /// Returns the lines of a nats-server's configuration by which it trusts this authority: the
    /// operator, and the accounts held in memory.
    pub fn server_config(&self) -> String {
        let system = token::decode(&self.system_token, SystemTime::now())
            .map(|claims| claims.subject)
            .unwrap_or_default(); // Checked when the authority was opened.
        format!(
            "operator: {}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload: {{\n  \
             {}: {}\n  {system}: {}\n}}\n",
            self.operator_token,
            self.trust.account(),
            self.account_token,
            self.system_token,
        )
    }
}

fn new_keys(kind: KeyKind) -> Keys {
    Keys::generate(kind).expect("operators, accounts and users have keys that sign")
}

fn user_keys(credentials: &Credentials) -> Keys {
    Keys::from_seed(credentials.seed()).expect("the seed was checked when it was read")
}

/// Makes an operator, an account named like the lattice and the server's own account.
fn new_parts(lattice: &LatticeName) -> folder::Parts {
    let operator = new_keys(KeyKind::Operator);
    let account = new_keys(KeyKind::Account);
    let system = new_keys(KeyKind::Account);
    let now = SystemTime::now();
    let sign = |subject: &Keys, name: &str, statement| {
        let issue = Issue {
            subject: &subject.public_key(),
            name,
            now,
            lifetime: None,
        };
        issue.sign(statement, &operator)
    };
    let mut operator_statement = crate::OperatorStatement::new();
    operator_statement.system_account = system.public_key().to_string();
    let account_statement = Box::new(AccountStatement::unlimited());
    let system_statement = Box::new(AccountStatement::system());
    folder::Parts {
        operator_token: sign(
            &operator,
            lattice.as_str(),
            Statement::Operator(operator_statement),
        ),
        account_token: sign(
            &account,
            lattice.as_str(),
            Statement::Account(account_statement),
        ),
        system_token: sign(&system, "SYS", Statement::Account(system_statement)),
        operator_seed: operator.seed(),
        account_seed: account.seed(),
        system_seed: system.seed(),
    }
}

#[cfg(test)]
mod tests;
