//! Why a connection did not come to be, and what to do about it.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::rustls;
use async_nats::{ConnectErrorKind, ServerError};
use trellis_core::with_causes;

use super::settings::Credentials;

/// Why no connection came to be.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The settings name no server.
    #[error("no server of the lattice {lattice} is given; name one, such as nats://127.0.0.1:4222")]
    NoServer {
        /// The lattice.
        lattice: String,
    },
    /// An address cannot be read.
    #[error("{server:?} is no address of a NATS server; write nats://host:port or tls://host:port")]
    Address {
        /// The address, without user and password.
        server: String,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// The inbox prefix or the JetStream domain cannot be part of a subject.
    #[error("the {what} {text:?} cannot be part of a NATS subject")]
    Setting {
        /// Which setting it is.
        what: &'static str,
        /// Its text.
        text: String,
    },
    /// A file cannot be read.
    #[error("cannot read {what} {path:?}")]
    File {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The credentials are not what they should be.
    #[error("{credentials} cannot be used: {reason}; get them again from who gave them out")]
    Credentials {
        /// Which credentials.
        credentials: String,
        /// What is wrong with them, without what is secret.
        reason: &'static str,
    },
    /// Nothing listens at the address.
    #[error("nothing listens at {servers}; start the NATS server or correct the address")]
    Refused {
        /// The addresses tried.
        servers: String,
        /// What the client said.
        #[source]
        source: async_nats::ConnectError,
    },
    /// The name of the server has no address.
    #[error("the name in {servers} is not known; correct it or look at the DNS of this machine")]
    Name {
        /// The addresses tried.
        servers: String,
        /// What the client said.
        #[source]
        source: async_nats::ConnectError,
    },
    /// No answer came in time.
    #[error("{servers} did not answer within {}; look for a firewall, or for another service on that port", seconds(.after))]
    Timeout {
        /// The addresses tried.
        servers: String,
        /// How long was waited.
        after: Duration,
    },
    /// The server and this client did not agree on encryption or do not trust each other.
    #[error(
        "no trusted TLS connection with {servers}; check the authorities, the client certificate and the name in the address"
    )]
    Tls {
        /// The addresses tried.
        servers: String,
        /// What the client said.
        #[source]
        source: async_nats::ConnectError,
    },
    /// The server does not let these credentials in.
    #[error("{servers} {}", refusal(credentials))]
    Authentication {
        /// The addresses tried.
        servers: String,
        /// Which credentials, without what is secret.
        credentials: String,
        /// What the client said.
        #[source]
        source: async_nats::ConnectError,
    },
    /// It failed in another way; mostly another service answers at the address.
    #[error("cannot connect to {servers}; see that it is a NATS server and not another service")]
    Other {
        /// The addresses tried.
        servers: String,
        /// What the client said.
        #[source]
        source: async_nats::ConnectError,
    },
}

impl ConnectError {
    /// Tells whether the same settings may succeed later: nothing is there yet. Not so where something
    /// is there and does not fit.
    pub const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::Name { .. } | Self::Timeout { .. }
        )
    }
}

/// Says what a server has against these credentials; there may be none.
fn refusal(credentials: &str) -> String {
    if credentials == Credentials::None.to_string() {
        return "wants credentials, and none were given".to_owned();
    }
    format!(
        "does not accept {credentials}; give the credentials of this lattice, and see that they have not expired"
    )
}

fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f32())
}

/// What lies under an error of the client.
pub(super) enum Cause {
    Refused,
    Name,
    Timeout,
    Tls,
    Authentication,
    Other,
}

/// Finds what lies under the client's error: it reports most of them as I/O.
pub(super) fn cause(error: &async_nats::ConnectError) -> Cause {
    match error.kind() {
        ConnectErrorKind::Dns => return Cause::Name,
        ConnectErrorKind::TimedOut => return Cause::Timeout,
        ConnectErrorKind::Tls => return Cause::Tls,
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            return Cause::Authentication;
        }
        _ => {}
    }
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(found) = cause_of_one(source) {
            return found;
        }
        next = source.source();
    }
    // A TLS error inside an I/O error is not among the sources.
    if with_causes(error).contains("certificate") {
        return Cause::Tls;
    }
    Cause::Other
}

fn cause_of_one(source: &(dyn std::error::Error + 'static)) -> Option<Cause> {
    if source.is::<rustls::Error>() {
        return Some(Cause::Tls);
    }
    if let Some(ServerError::Other(text)) = source.downcast_ref() {
        let text = text.to_ascii_lowercase();
        return text.contains("auth").then_some(Cause::Authentication);
    }
    let error: &io::Error = source.downcast_ref()?;
    if error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
    {
        return Some(Cause::Tls);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(Cause::Refused),
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => Some(Cause::Timeout),
        _ => None,
    }
}
