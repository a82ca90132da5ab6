//! Where a request goes, in one normal form: what the allow-list checks is what is connected to.
//!
//! Programs disagree about odd spellings of hosts (`0x7f.1`, `2130706433`, `127.1`, user
//! information, trailing dots), and every disagreement is a way around a list. Here a host is an
//! address in its one common spelling, or a plain DNS name; all else is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// The longest name that DNS carries, in characters.
const NAME_LENGTH_MAX: usize = 253;
/// The longest label of a DNS name, in characters.
const LABEL_LENGTH_MAX: usize = 63;

/// How to speak to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// Returns the port that a URI of this scheme means when it names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// Returns the scheme as it stands in a URI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A host in its normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name: lower case, no trailing dot.
    Name(String),
    /// An address; an IPv4 address in IPv6 clothes is held as IPv4.
    Address(IpAddr),
}

/// Why a text is not a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is none.
    #[error("the host is missing")]
    Empty,
    /// It looks like a number but is not an address in its common spelling.
    #[error("{text:?} is an unusual spelling of an address")]
    OddAddress {
        /// The host as it was given.
        text: String,
    },
    /// It is not a DNS name.
    #[error("{text:?} is neither a DNS name nor an address")]
    Name {
        /// The host as it was given.
        text: String,
    },
}

impl Host {
    /// Takes a host as it stands in a URI: IPv6 in brackets.
    ///
    /// # Errors
    /// When `text` is no plain DNS name and no address in its common spelling.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if let Some(inner) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            return match inner.parse::<Ipv6Addr>() {
                Ok(address) => Ok(Self::Address(IpAddr::V6(address).to_canonical())),
                Err(_) => Err(HostError::OddAddress {
                    text: text.to_owned(),
                }),
            };
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        Self::parse_name(text)
    }

    fn parse_name(text: &str) -> Result<Self, HostError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.len() > NAME_LENGTH_MAX || !name.split('.').all(is_label) {
            return Err(HostError::Name {
                text: text.to_owned(),
            });
        }
        // The rule by which browsers and resolvers take a host for an IPv4 address.
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_hex = last
            .strip_prefix("0x")
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_hexdigit()));
        if is_hex || last.chars().all(|c| c.is_ascii_digit()) {
            return Err(HostError::OddAddress {
                text: text.to_owned(),
            });
        }
        Ok(Self::Name(name))
    }
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_LENGTH_MAX).contains(&label.len())
        && label
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// A host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// How to speak.
    pub scheme: Scheme,
    /// To whom.
    pub authority: Authority,
}

/// Why a URI does not name a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The scheme is missing, or not `http` or `https`.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// There is a user name or password before the host.
    #[error("the URI holds user information before an `@`")]
    UserInformation,
    /// The host is missing or odd.
    #[error("the host of the URI cannot be used")]
    Host(#[source] HostError),
    /// The port is not a number from 1 to 65535.
    #[error("the port {text:?} is not a number from 1 to 65535")]
    Port {
        /// The port as it was given.
        text: String,
    },
}

impl Destination {
    /// Reads the destination from an absolute URI.
    ///
    /// # Errors
    /// When the URI has no scheme of HTTP, user information, an odd host or an odd port.
    pub fn of(uri: &Uri) -> Result<Self, DestinationError> {
        let scheme = match uri.scheme_str() {
            Some(text) if text.eq_ignore_ascii_case("http") => Scheme::Http,
            Some(text) if text.eq_ignore_ascii_case("https") => Scheme::Https,
            _ => return Err(DestinationError::Scheme),
        };
        let text = uri.authority().map_or("", |authority| authority.as_str());
        let (host, port) = split_port(text);
        if text.contains('@') {
            return Err(DestinationError::UserInformation);
        }
        let host = Host::parse(host).map_err(DestinationError::Host)?;
        let port = match port {
            None | Some("") => scheme.default_port(),
            Some(text) => parse_port(text).ok_or_else(|| DestinationError::Port {
                text: text.to_owned(),
            })?,
        };
        Ok(Self {
            scheme,
            authority: Authority { host, port },
        })
    }

    /// Returns the authority as it stands in a URI or `host` field: without the default port.
    pub(super) fn authority_text(&self) -> String {
        if self.authority.port == self.scheme.default_port() {
            self.authority.host.to_string()
        } else {
            self.authority.to_string()
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.authority)
    }
}

/// Splits `host:port`; a colon inside brackets belongs to an IPv6 address.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

/// Reads a port: plain digits, 1 to 65535.
pub(super) fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.chars().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port != 0)
}
