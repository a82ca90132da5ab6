//! Why a request got no answer, in the words of `wasi:http`.

use std::io;
use std::net::IpAddr;

use trellis_core::ErrorClass;

use super::allow_list::Denial;
use super::destination::DestinationError;
use super::local::LocalFailure;

/// Why a request got no answer, or only the beginning of one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URI does not name a destination.
    #[error("the URI of the request cannot be used")]
    Uri(#[source] DestinationError),
    /// The method is `CONNECT`, which would open a tunnel past the allow-list.
    #[error("the method CONNECT is not allowed")]
    Method,
    /// The link does not grant the destination.
    #[error("the request is denied")]
    Denied(#[source] Denial),
    /// The name could not be resolved.
    #[error("cannot resolve {name}")]
    Dns {
        /// The name.
        name: String,
        /// What the resolver says.
        #[source]
        source: io::Error,
    },
    /// The name was not resolved in time.
    #[error("resolving {name} took too long")]
    DnsTimeout {
        /// The name.
        name: String,
    },
    /// As many connections as the component may have are in use.
    #[error("all {max} outgoing connections of the component are in use")]
    ConnectionLimit {
        /// The bound.
        max: u32,
    },
    /// Nobody listens at the address.
    #[error("{address} port {port} refuses the connection")]
    Refused {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// The connection, or its TLS handshake, was not ready in time.
    #[error("connecting to {destination} took too long")]
    ConnectTimeout {
        /// The destination.
        destination: String,
    },
    /// There is no way to the address.
    #[error("cannot connect to {address} port {port}")]
    Connect {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The server's certificate is not trusted for its name.
    #[error("the certificate of {destination} is not trusted")]
    TlsCertificate {
        /// The destination.
        destination: String,
        /// What is wrong with it.
        #[source]
        source: tokio_rustls::rustls::Error,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake with {destination} failed")]
    Tls {
        /// The destination.
        destination: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The response did not begin in time.
    #[error("the response did not begin in time")]
    FirstByteTimeout,
    /// The response stopped in the middle.
    #[error("the response stopped for too long")]
    BetweenBytesTimeout,
    /// The head of the response is larger than is read.
    #[error("the head of the response is too large")]
    ResponseHead(#[source] hyper::Error),
    /// The server switched protocols without being asked.
    #[error("the server switched protocols")]
    Upgrade,
    /// The connection ended too early.
    #[error("the connection ended before the response did")]
    Terminated(#[source] hyper::Error),
    /// The server does not speak HTTP properly.
    #[error("the server broke the rules of HTTP")]
    Protocol(#[source] hyper::Error),
    /// The body of the request broke off.
    #[error("the body of the request could not be sent")]
    RequestBody(#[source] hyper::Error),
    /// A service on this host failed.
    #[error("a service of this host did not answer")]
    Local(#[source] LocalFailure),
    /// The body of a local response broke off.
    #[error("the body of a local response broke off")]
    LocalBody(#[source] super::body::BodyError),
}

impl ClientError {
    /// Sorts an error of hyper.
    pub(super) fn from_hyper(error: hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::ResponseHead(error)
        } else if error.is_user() {
            Self::RequestBody(error)
        } else if error.is_parse() {
            Self::Protocol(error)
        } else {
            Self::Terminated(error)
        }
    }

    /// Returns the case of `wasi:http/types.error-code` for it, in the spelling of its WIT.
    pub const fn wasi_name(&self) -> &'static str {
        match self {
            Self::Uri(_) => "HTTP-request-URI-invalid",
            Self::Method => "HTTP-request-method-invalid",
            Self::Denied(Denial::Unlisted { .. }) => "HTTP-request-denied",
            Self::Denied(Denial::Address { .. }) => "destination-IP-prohibited",
            Self::Dns { .. } => "DNS-error",
            Self::DnsTimeout { .. } => "DNS-timeout",
            Self::ConnectionLimit { .. } => "connection-limit-reached",
            Self::Refused { .. } => "connection-refused",
            Self::ConnectTimeout { .. } => "connection-timeout",
            Self::Connect { .. } => "destination-IP-unroutable",
            Self::TlsCertificate { .. } => "TLS-certificate-error",
            Self::Tls { .. } => "TLS-protocol-error",
            Self::FirstByteTimeout | Self::BetweenBytesTimeout => "connection-read-timeout",
            Self::ResponseHead(_) => "HTTP-response-header-section-size",
            Self::Upgrade => "HTTP-upgrade-failed",
            Self::Terminated(_) | Self::RequestBody(_) | Self::LocalBody(_) => {
                "connection-terminated"
            }
            Self::Protocol(_) => "HTTP-protocol-error",
            Self::Local(failure) => match failure.class {
                ErrorClass::Denied => "HTTP-request-denied",
                ErrorClass::Overloaded => "connection-limit-reached",
                ErrorClass::Deadline => "HTTP-response-timeout",
                ErrorClass::Cancelled => "connection-terminated",
                ErrorClass::Unavailable => "destination-unavailable",
                ErrorClass::Trap => "internal-error",
            },
        }
    }

    /// Returns the class of the failure, as logs and traces name it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Uri(_) | Self::Method | Self::Denied(_) => ErrorClass::Denied,
            Self::ConnectionLimit { .. } => ErrorClass::Overloaded,
            Self::DnsTimeout { .. }
            | Self::ConnectTimeout { .. }
            | Self::FirstByteTimeout
            | Self::BetweenBytesTimeout => ErrorClass::Deadline,
            Self::RequestBody(_) => ErrorClass::Cancelled,
            Self::Local(failure) => failure.class,
            _ => ErrorClass::Unavailable,
        }
    }
}
