//! What a connection needs to know. Plain data; nothing here is read or opened.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use trellis_core::LatticeName;
use trellis_identity::Secret;

/// How long one server has to accept, greet and authenticate: many round trips even by satellite.
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// How often the server is asked whether it is there. Two unanswered asks end the connection at the
/// third, so that a half-open one is noticed within 9 s.
const PING_INTERVAL_DEFAULT: Duration = Duration::from_secs(3);
/// Messages that wait in one subscription; the next one is dropped and counted. A second of work at
/// 8,000 messages a second.
const SUBSCRIPTION_MESSAGES_MAX_DEFAULT: usize = 8_192;

/// Where a lattice is and how to get in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The lattice.
    pub lattice: LatticeName,
    /// Addresses of servers of one NATS system, such as `nats://10.0.0.1:4222` or `tls://…`. User and
    /// password in an address are used where `credentials` is `None`, and never printed.
    pub servers: Vec<String>,
    /// Who connects.
    pub credentials: Credentials,
    /// Encryption; `None` leaves it to the server and the scheme of its address.
    pub tls: Option<Tls>,
    /// The JetStream domain that keeps the state, for a server that is a leaf node.
    pub jetstream_domain: Option<String>,
    /// The beginning of the subjects that answers come to; permissions may bind a user to its own.
    pub inbox_prefix: String,
    /// The name that the server shows for this connection.
    pub name: String,
    /// How long one server has to answer.
    pub connect_timeout: Duration,
    /// How often the server is asked whether it is there.
    pub ping_interval: Duration,
    /// The most messages that wait in one subscription.
    pub subscription_messages_max: usize,
}

impl Settings {
    /// Returns the settings for `servers` without credentials, with the default of everything else.
    pub fn new<S: Into<String>>(
        lattice: LatticeName,
        servers: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            lattice,
            servers: servers.into_iter().map(Into::into).collect(),
            credentials: Credentials::None,
            tls: None,
            jetstream_domain: None,
            inbox_prefix: "_INBOX".to_owned(),
            name: "trellis".to_owned(),
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            ping_interval: PING_INTERVAL_DEFAULT,
            subscription_messages_max: SUBSCRIPTION_MESSAGES_MAX_DEFAULT,
        }
    }
}

/// Who connects.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// The user JWT and seed in a `.creds` file.
    CredsFile(PathBuf),
    /// A user JWT and the seed of its key.
    JwtAndSeed {
        /// The JWT.
        jwt: String,
        /// The seed, `SU…`.
        seed: Secret<String>,
    },
    /// An nkey that the server knows, by its seed.
    Nkey(Secret<String>),
    /// A user and password.
    UserAndPassword {
        /// The user.
        user: String,
        /// The password.
        password: Secret<String>,
    },
    /// A token.
    Token(Secret<String>),
}

/// Names the credentials in a message, without what is secret.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no credentials"),
            Self::CredsFile(path) => write!(f, "the credentials file {path:?}"),
            Self::JwtAndSeed { .. } => f.write_str("a JWT and its seed"),
            Self::Nkey(_) => f.write_str("an nkey"),
            Self::UserAndPassword { user, .. } => write!(f, "the user {user:?} and its password"),
            Self::Token(_) => f.write_str("a token"),
        }
    }
}

/// Encryption of the connection: always on where this is given.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// A PEM file with the authorities to trust instead of those of the system.
    pub authorities: Option<PathBuf>,
    /// The certificate by which the server knows this client.
    pub identity: Option<TlsIdentity>,
    /// Begins with encryption before the server greets, as `handshake_first` of the server wants.
    pub first: bool,
}

/// A client certificate.
#[derive(Clone, Debug)]
pub struct TlsIdentity {
    /// The PEM file of the certificate.
    pub certificate: PathBuf,
    /// The PEM file of its key.
    pub key: PathBuf,
}
