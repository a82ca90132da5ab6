//! An operator, an account and users with any permissions, trusted by both servers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use trellis_broker::protocol::messages::Connect;
use trellis_broker::{Authenticator, Refused, User, decode_signature};
use trellis_identity::{
    AccountStatement, Credentials, Issue, KeyKind, Keys, OperatorStatement, Permissions, Statement,
    SubjectRules, TokenError, Trust, UserStatement,
};

/// The keys of a lattice that lives as long as a test.
pub(crate) struct Lattice {
    account: Keys,
    system: Keys,
    tokens: [String; 3],
}

impl Lattice {
    pub(crate) fn new() -> Arc<Self> {
        let [operator, account, system] = [KeyKind::Operator, KeyKind::Account, KeyKind::Account]
            .map(|kind| Keys::generate(kind).unwrap());
        let mut statement = OperatorStatement::new();
        statement.system_account = system.public_key().to_string();
        let unlimited = Statement::Account(Box::new(AccountStatement::unlimited()));
        let of_system = Statement::Account(Box::new(AccountStatement::system()));
        let tokens = [
            sign(&operator, Statement::Operator(statement), &operator, None),
            sign(&account, unlimited, &operator, None),
            sign(&system, of_system, &operator, None),
        ];
        Arc::new(Self {
            account,
            system,
            tokens,
        })
    }

    /// Makes a user.
    pub(crate) fn user(&self, permissions: Permissions, lifetime: Option<Duration>) -> Credentials {
        let keys = Keys::generate(KeyKind::User).unwrap();
        let statement = Statement::User(Box::new(UserStatement::new(permissions)));
        Credentials::new(sign(&keys, statement, &self.account, lifetime), keys.seed()).unwrap()
    }

    /// Makes a user who may do everything.
    pub(crate) fn anybody(&self) -> Credentials {
        self.user(Permissions::default(), None)
    }

    /// Returns the configuration of a nats-server that trusts this lattice.
    pub(crate) fn server_config(&self) -> String {
        let [operator, account, system] = &self.tokens;
        let (account_key, system_key) = (self.account.public_key(), self.system.public_key());
        format!(
            "operator: {operator}\nsystem_account: {system_key}\nresolver: MEMORY\n\
             resolver_preload: {{ {account_key}: {account}, {system_key}: {system} }}\n"
        )
    }
}

fn sign(subject: &Keys, statement: Statement, issuer: &Keys, lifetime: Option<Duration>) -> String {
    let subject = &subject.public_key();
    let now = SystemTime::now();
    let issue = Issue {
        subject,
        name: "someone",
        now,
        lifetime,
    };
    issue.sign(statement, issuer)
}

/// Lets our broker trust a lattice.
pub(crate) struct Trusting(pub(crate) Arc<Lattice>);

impl Authenticator for Trusting {
    fn requires_credentials(&self) -> bool {
        true
    }

    fn authenticate(&self, connect: &Connect, nonce: &str) -> Result<User, Refused> {
        let [operator, account, _] = &self.0.tokens;
        let now = SystemTime::now();
        let trust = Trust::new(operator, account, now).unwrap();
        let user = trust
            .verify_user(&connect.jwt, now)
            .map_err(|error| match error {
                TokenError::Expired { .. } => Refused::Expired,
                error => Refused::because(error.to_string()),
            })?;
        let signature = decode_signature(&connect.signature)?;
        if !user.public_key.verifies(nonce.as_bytes(), &signature) {
            return Err(Refused::because("bad signature"));
        }
        Ok(User {
            name: user.name,
            permissions: user.permissions,
            expires: user.expires,
        })
    }
}

/// Shortens the writing of rules.
pub(crate) fn rules(allow: &[&str], deny: &[&str]) -> SubjectRules {
    SubjectRules {
        allow: allow.iter().map(ToString::to_string).collect(),
        deny: deny.iter().map(ToString::to_string).collect(),
    }
}
