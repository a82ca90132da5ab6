//! The list of destinations that a link grants to a component. What is not on it is denied.
//!
//! Pure: it decides about names and addresses, but resolves and connects nothing.
//!
//! Entries are separated by commas or white space:
//!
//! | Entry | Grants |
//! |---|---|
//! | `api.example.com` | this name, `http` on port 80 and `https` on port 443 |
//! | `https://api.example.com` | this name, `https` on port 443 only |
//! | `api.example.com:8443` | this name, either scheme, on port 8443 |
//! | `api.example.com:*` | this name on every port |
//! | `*.example.org` | every name below `example.org`, not `example.org` itself |
//! | `*`, `*:*` | every public host, on ports 80 and 443, or on every port |
//! | `http://127.0.0.1:9000`, `[::1]:9000` | this address |
//! | `10.1.0.0/16:5432`, `[fd00::/8]:443` | the addresses of this network |
//! | `private+db.internal:8080` | this name, also when it resolves to a private or loopback address |
//!
//! A name grants the public addresses it resolves to; `localhost` and names below it grant loopback
//! too. Private and loopback addresses need `private+` or an entry that names them or their network.
//! Restricted addresses (link-local, where clouds serve credentials, multicast, reserved) need an
//! entry that names the very address.

use std::net::IpAddr;

use ipnet::IpNet;

use super::address::AddressKind;
use super::destination::{Destination, Host, HostError, Scheme, parse_port, split_port};

/// How many entries a list has at most: the list is walked for each request.
pub const ENTRIES_MAX: usize = 256;

/// The destinations that a link grants. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// `None` grants both.
    scheme: Option<Scheme>,
    target: Target,
    port: Port,
    /// Whether a name may resolve to private and loopback addresses.
    is_private: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Everything,
    Name(String),
    /// Names that end in this, the dot in front included.
    Below(String),
    Network(IpNet),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Default,
    Any,
    Exactly(u16),
}

/// Why an entry of an allow-list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allow-list entry {entry:?}: {fault}")]
pub struct EntryError {
    /// The entry as it was given.
    pub entry: String,
    /// What is wrong with it.
    pub fault: EntryFault,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// The scheme is not one of HTTP.
    #[error("the scheme {scheme:?} is neither `http` nor `https`")]
    Scheme {
        /// The scheme as it was given.
        scheme: String,
    },
    /// There is something after the authority.
    #[error("it has a path, query or fragment")]
    Path,
    /// There is a user name.
    #[error("it has user information before an `@`")]
    UserInformation,
    /// The port is no port.
    #[error("the port {port:?} is neither `*` nor a number from 1 to 65535")]
    Port {
        /// The port as it was given.
        port: String,
    },
    /// The host is no host.
    #[error("{0}")]
    Host(HostError),
    /// There is a `*` elsewhere than as the whole first label.
    #[error("a `*` stands only for whole labels at the front, as in `*.example.org`")]
    Wildcard,
    /// The network is no network.
    #[error("{network:?} is not a network")]
    Network {
        /// The network as it was given.
        network: String,
    },
    /// An IPv6 address stands without brackets.
    #[error("an IPv6 address stands in brackets")]
    Brackets,
    /// `private+` stands before something other than a name.
    #[error("`private+` stands before names only")]
    PrivatePrefix,
    /// The list is too long.
    #[error("it is entry number {}, the list ends here", ENTRIES_MAX + 1)]
    TooMany,
}

impl EntryError {
    /// Returns what to write instead.
    pub fn hint(&self) -> String {
        match &self.fault {
            EntryFault::Scheme { .. } => {
                "write `http://`, `https://`, or no scheme for both".into()
            }
            EntryFault::Path => "name only the host and port; paths cannot be told apart".into(),
            EntryFault::UserInformation => {
                "name only the host; credentials belong in a secret".into()
            }
            EntryFault::Port { .. } => "write `host:8443`, or `host:*` for every port".into(),
            EntryFault::Host(HostError::OddAddress { .. }) => {
                "write IPv4 as four decimal numbers, such as `127.0.0.1`".into()
            }
            EntryFault::Host(_) if !self.entry.is_ascii() => {
                "write an international name in its ASCII form, `xn--…`".into()
            }
            EntryFault::Host(_) => "write a DNS name such as `api.example.com`".into(),
            EntryFault::Wildcard => "write `*.example.org`, or `*` for every public host".into(),
            EntryFault::Network { .. } => "write `10.1.0.0/16` or `[fd00::/8]`".into(),
            EntryFault::Brackets => "write `[::1]`, `[::1]:9000` or `[fd00::/8]:443`".into(),
            EntryFault::PrivatePrefix => {
                "write `private+db.internal`; an address or network needs no `private+`".into()
            }
            EntryFault::TooMany => "use a wildcard such as `*.example.org`".into(),
        }
    }
}

/// Why a request may not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No entry names the destination.
    #[error("no entry of the link's allow-list grants {destination}")]
    Unlisted {
        /// The destination.
        destination: String,
    },
    /// The name is granted, but it resolves only to addresses that are not.
    #[error("{destination} resolves to the {} address {address}, which is not granted", kind.name())]
    Address {
        /// The destination.
        destination: String,
        /// One of the addresses.
        address: IpAddr,
        /// What that address can reach.
        kind: AddressKind,
    },
}

impl Denial {
    /// Returns the line that grants it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unlisted { destination } => {
                format!("add it to the `allow` of the link's target config: `{destination}`")
            }
            Self::Address {
                address,
                kind: AddressKind::Restricted,
                ..
            } => {
                format!("if this is meant, add the address itself to `allow`: `{address}`")
            }
            Self::Address { address, .. } => {
                format!("if this is meant, add `private+NAME` or `{address}` to `allow`")
            }
        }
    }
}

impl AllowList {
    /// Reads the `allow` value of a link's config.
    ///
    /// # Errors
    /// Every entry that cannot be used, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<EntryError>> {
        let (mut entries, mut errors) = (Vec::new(), Vec::new());
        let words = text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|it| !it.is_empty());
        for (index, word) in words.enumerate() {
            let fail = |fault| EntryError {
                entry: word.to_owned(),
                fault,
            };
            if index == ENTRIES_MAX {
                errors.push(fail(EntryFault::TooMany));
                break;
            }
            match Entry::parse(word) {
                Ok(entry) => entries.push(entry),
                Err(fault) => errors.push(fail(fault)),
            }
        }
        if errors.is_empty() {
            Ok(Self { entries })
        } else {
            Err(errors)
        }
    }

    /// Tells whether a request to `destination` may be tried at all.
    ///
    /// For a name this is half the answer: [`AllowList::check_address`] gives the other half for
    /// each address at the time of connecting.
    ///
    /// # Errors
    /// When no entry grants it.
    pub fn check(&self, destination: &Destination) -> Result<(), Denial> {
        let is_granted = match &destination.authority.host {
            Host::Address(address) => self.grants_address(destination, *address),
            Host::Name(name) => self.fitting(destination).any(|entry| entry.names(name)),
        };
        if is_granted {
            Ok(())
        } else {
            Err(Denial::Unlisted {
                destination: destination.to_string(),
            })
        }
    }

    /// Tells whether `destination`, which [`AllowList::check`] granted, may be reached at `address`.
    ///
    /// # Errors
    /// When the address is of a kind that no entry grants.
    pub fn check_address(&self, destination: &Destination, address: IpAddr) -> Result<(), Denial> {
        if self.grants_address(destination, address) {
            return Ok(());
        }
        Err(Denial::Address {
            destination: destination.to_string(),
            address,
            kind: AddressKind::of(address),
        })
    }

    fn grants_address(&self, destination: &Destination, address: IpAddr) -> bool {
        let kind = AddressKind::of(address);
        self.fitting(destination).any(|entry| match &entry.target {
            Target::Network(network) => grants_in_network(*network, address, kind),
            _ => entry.grants_through_name(&destination.authority.host, kind),
        })
    }

    /// Returns the entries that fit the scheme and port of `destination`.
    fn fitting<'a>(&'a self, destination: &'a Destination) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(|entry| entry.fits(destination))
    }
}

fn grants_in_network(network: IpNet, address: IpAddr, kind: AddressKind) -> bool {
    let is_one_address = network.prefix_len() == network.max_prefix_len();
    network.contains(&address.to_canonical()) && (kind != AddressKind::Restricted || is_one_address)
}

impl Entry {
    fn parse(word: &str) -> Result<Self, EntryFault> {
        let (is_private, rest) = match word.strip_prefix("private+") {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let (scheme, rest) = match rest.split_once("://") {
            Some((scheme, rest)) => (Some(parse_scheme(scheme)?), rest),
            None => (None, rest),
        };
        if rest.contains('@') {
            return Err(EntryFault::UserInformation);
        }
        let (host, port) = split_port(rest);
        if host.contains(':') && !host.starts_with('[') {
            return Err(EntryFault::Brackets);
        }
        let port = match port {
            None => Port::Default,
            Some("*") => Port::Any,
            Some(text) if text.contains(['/', '?', '#']) => return Err(EntryFault::Path),
            Some(text) => match parse_port(text) {
                Some(port) => Port::Exactly(port),
                None => {
                    return Err(EntryFault::Port {
                        port: text.to_owned(),
                    });
                }
            },
        };
        let target = Target::parse(host)?;
        if is_private && matches!(target, Target::Everything | Target::Network(_)) {
            return Err(EntryFault::PrivatePrefix);
        }
        Ok(Self {
            scheme,
            target,
            port,
            is_private,
        })
    }

    fn fits(&self, destination: &Destination) -> bool {
        let port = destination.authority.port;
        self.scheme
            .is_none_or(|scheme| scheme == destination.scheme)
            && match self.port {
                Port::Any => true,
                Port::Default => port == destination.scheme.default_port(),
                Port::Exactly(granted) => port == granted,
            }
    }

    fn names(&self, name: &str) -> bool {
        match &self.target {
            Target::Everything => true,
            Target::Name(granted) => name == granted,
            Target::Below(suffix) => name.ends_with(suffix),
            Target::Network(_) => false,
        }
    }

    /// Tells whether this entry for names grants an address of `kind` to `host`.
    fn grants_through_name(&self, host: &Host, kind: AddressKind) -> bool {
        let is_named = match host {
            Host::Name(name) => self.names(name),
            Host::Address(_) => self.target == Target::Everything,
        };
        is_named
            && match kind {
                AddressKind::Public => true,
                AddressKind::Private => self.is_private,
                AddressKind::Loopback => self.is_private || self.is_localhost(),
                AddressKind::Restricted => false,
            }
    }

    /// Tells whether the entry names this machine, as `*` does not.
    fn is_localhost(&self) -> bool {
        match &self.target {
            Target::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Target::Below(suffix) => suffix.ends_with(".localhost"),
            Target::Everything | Target::Network(_) => false,
        }
    }
}

fn parse_scheme(text: &str) -> Result<Scheme, EntryFault> {
    match text {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        _ => Err(EntryFault::Scheme {
            scheme: text.to_owned(),
        }),
    }
}

impl Target {
    fn parse(host: &str) -> Result<Self, EntryFault> {
        if host == "*" {
            return Ok(Self::Everything);
        }
        if let Some(suffix) = host.strip_prefix("*.") {
            return match Host::parse(suffix).map_err(EntryFault::Host)? {
                Host::Name(name) => Ok(Self::Below(format!(".{name}"))),
                Host::Address(_) => Err(EntryFault::Wildcard),
            };
        }
        if host.contains('*') {
            return Err(EntryFault::Wildcard);
        }
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Some((address, length)) = bare.unwrap_or(host).split_once('/') {
            return Self::parse_network(address, length, host);
        }
        match Host::parse(host).map_err(EntryFault::Host)? {
            Host::Name(name) => Ok(Self::Name(name)),
            Host::Address(address) => Ok(Self::Network(address.into())),
        }
    }

    fn parse_network(address: &str, length: &str, host: &str) -> Result<Self, EntryFault> {
        // A name before the slash is a URI with a path, not a network.
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(EntryFault::Path);
        };
        let network = || EntryFault::Network {
            network: host.to_owned(),
        };
        let length = length.parse::<u8>().map_err(|_| network())?;
        let network = IpNet::new(address, length).map_err(|_| network())?;
        Ok(Self::Network(network.trunc()))
    }
}
