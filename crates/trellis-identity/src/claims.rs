//! The claims of NATS tokens (version 2): who signed whom, until when, with which rights.
//!
//! Field names are those of NATS. How a token is written and checked is for [`token`](crate::token).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{KeyKind, Permissions, Responses, SubjectRules};

/// The version of the claims, in every token.
pub(crate) const VERSION: u32 = 2;

/// The value that lifts a limit.
pub const UNLIMITED: i64 = -1;

/// The claims of one token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// An id of the token, a digest of its claims.
    #[serde(default, rename = "jti")]
    pub id: String,
    /// When it was made, in seconds since 1970.
    #[serde(default, rename = "iat")]
    pub issued_at: u64,
    /// The public key that signed it.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The public key it speaks of.
    #[serde(rename = "sub")]
    pub subject: String,
    /// When it stops being valid, in seconds since 1970; 0: never.
    #[serde(default, rename = "exp", skip_serializing_if = "is_zero")]
    pub expires_at: u64,
    /// Before when it is not yet valid, in seconds since 1970.
    #[serde(default, rename = "nbf", skip_serializing_if = "is_zero")]
    pub not_before: u64,
    /// What it says of its subject.
    pub nats: Statement,
}

/// What a token says of its subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Statement {
    /// It is an operator.
    Operator(OperatorStatement),
    /// It is an account.
    Account(Box<AccountStatement>),
    /// It is a user of an account.
    User(Box<UserStatement>),
}

/// What is said of an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorStatement {
    /// Keys beside its own that sign accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_keys: Vec<String>,
    /// The account that watches the server.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system_account: String,
    /// 2.
    pub version: u32,
}

/// What is said of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountStatement {
    /// How much its users may use, by the names of NATS; what is absent is 0.
    #[serde(default)]
    pub limits: BTreeMap<String, Value>,
    /// Keys beside its own that sign users. An object is a key with a template for its users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_keys: Vec<Value>,
    /// For each user (or `*`), the second up to which tokens of that user are revoked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revocations: BTreeMap<String, u64>,
    /// The permissions of users whose tokens name none.
    #[serde(default)]
    pub default_permissions: DefaultPermissions,
    /// 2.
    pub version: u32,
}

/// The permissions of users whose tokens name none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DefaultPermissions {
    /// Subjects to publish to.
    #[serde(default, rename = "pub")]
    pub publish: SubjectRules,
    /// Subjects to subscribe to.
    #[serde(default, rename = "sub")]
    pub subscribe: SubjectRules,
    /// Rights to answer.
    #[serde(default, rename = "resp", skip_serializing_if = "Option::is_none")]
    pub responses: Option<Responses>,
}

/// What is said of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserStatement {
    /// Subjects to publish to.
    #[serde(default, rename = "pub")]
    pub publish: SubjectRules,
    /// Subjects to subscribe to.
    #[serde(default, rename = "sub")]
    pub subscribe: SubjectRules,
    /// Rights to answer.
    #[serde(default, rename = "resp", skip_serializing_if = "Option::is_none")]
    pub responses: Option<Responses>,
    /// How many subscriptions.
    #[serde(default, rename = "subs")]
    pub subscriptions_max: i64,
    /// How many bytes in all.
    #[serde(default, rename = "data")]
    pub data_bytes_max: i64,
    /// How many bytes in one message.
    #[serde(default, rename = "payload")]
    pub payload_bytes_max: i64,
    /// The account, where a signing key of it signed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issuer_account: String,
    /// Whether the token alone connects, without a proof of the key.
    #[serde(default, skip_serializing_if = "is_false")]
    pub bearer_token: bool,
    /// From which addresses the user may connect.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub src: Value,
    /// At which times of day the user may connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Value>,
    /// By which transports the user may connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_connection_types: Vec<String>,
    /// 2.
    pub version: u32,
}

impl Claims {
    /// Returns the kind of key that the token speaks of.
    pub fn kind(&self) -> KeyKind {
        match self.nats {
            Statement::Operator(_) => KeyKind::Operator,
            Statement::Account(_) => KeyKind::Account,
            Statement::User(_) => KeyKind::User,
        }
    }

    pub(crate) fn version(&self) -> u32 {
        match &self.nats {
            Statement::Operator(it) => it.version,
            Statement::Account(it) => it.version,
            Statement::User(it) => it.version,
        }
    }
}

impl OperatorStatement {
    /// An operator with one key.
    pub fn new() -> Self {
        Self {
            signing_keys: Vec::new(),
            system_account: String::new(),
            version: VERSION,
        }
    }
}

impl Default for OperatorStatement {
    fn default() -> Self {
        Self::new()
    }
}

impl AccountStatement {
    /// An account without limits, with JetStream where the server has it.
    pub fn unlimited() -> Self {
        let counts = [
            "subs",
            "data",
            "payload",
            "imports",
            "exports",
            "conn",
            "leaf",
            "mem_storage",
            "disk_storage",
            "streams",
            "consumer",
        ];
        let mut limits: BTreeMap<String, Value> = counts
            .map(|name| (name.to_owned(), Value::from(UNLIMITED)))
            .into();
        limits.insert("wildcards".into(), Value::Bool(true));
        Self::with_limits(limits)
    }

    /// The account in which a server reports on itself: it has no JetStream.
    pub fn system() -> Self {
        let mut account = Self::unlimited();
        for name in ["mem_storage", "disk_storage", "streams", "consumer"] {
            account.limits.remove(name);
        }
        account
    }

    fn with_limits(limits: BTreeMap<String, Value>) -> Self {
        Self {
            limits,
            signing_keys: Vec::new(),
            revocations: BTreeMap::new(),
            default_permissions: DefaultPermissions::default(),
            version: VERSION,
        }
    }

    /// Returns whether `token` of a user was revoked.
    pub(crate) fn revokes(&self, token: &Claims) -> bool {
        [token.subject.as_str(), "*"]
            .iter()
            .filter_map(|user| self.revocations.get(*user))
            .any(|until| token.issued_at <= *until)
    }
}

impl UserStatement {
    /// A user with `permissions` and no other limit.
    pub fn new(permissions: Permissions) -> Self {
        Self {
            publish: permissions.publish,
            subscribe: permissions.subscribe,
            responses: permissions.responses,
            subscriptions_max: UNLIMITED,
            data_bytes_max: UNLIMITED,
            payload_bytes_max: UNLIMITED,
            issuer_account: String::new(),
            bearer_token: false,
            src: Value::Null,
            times: Vec::new(),
            allowed_connection_types: Vec::new(),
            version: VERSION,
        }
    }

    /// Returns the permissions, which are those of `account` where the user has none.
    pub(crate) fn permissions(&self, account: &AccountStatement) -> Permissions {
        let own = Permissions {
            publish: self.publish.clone(),
            subscribe: self.subscribe.clone(),
            responses: self.responses,
        };
        if own != Permissions::default() {
            return own;
        }
        Permissions {
            publish: account.default_permissions.publish.clone(),
            subscribe: account.default_permissions.subscribe.clone(),
            responses: account.default_permissions.responses,
        }
    }

    /// Returns the first restriction that the embedded lattice does not enforce. Ignoring one would
    /// give a user more than the token does.
    pub(crate) fn unenforced(&self) -> Option<&'static str> {
        let limited = |limit: i64| limit != UNLIMITED;
        let some_source = match &self.src {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            _ => true,
        };
        [
            ("bearer_token", self.bearer_token),
            ("subs", limited(self.subscriptions_max)),
            ("data", limited(self.data_bytes_max)),
            ("payload", limited(self.payload_bytes_max)),
            ("src", some_source),
            ("times", !self.times.is_empty()),
            (
                "allowed_connection_types",
                !self.allowed_connection_types.is_empty(),
            ),
        ]
        .into_iter()
        .find_map(|(name, present)| present.then_some(name))
    }
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}
