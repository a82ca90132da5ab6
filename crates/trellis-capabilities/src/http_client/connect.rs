//! Opens connections: resolves, checks every address against the allow-list, connects to exactly
//! the addresses that were checked, and does the TLS handshake.
//!
//! The answer of DNS is asked for once for each connection and used as it was checked, so an answer
//! that changes afterwards changes nothing.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::allow_list::{AllowList, Denial};
use super::destination::{Destination, Host, Scheme};
use super::error::ClientError;

/// How many addresses of one name are tried: a name with more has them for balance, not for need.
const ADDRESSES_TRIED_MAX: usize = 4;

/// How many names are looked up at once by the system's resolver, which takes a thread for each; a
/// component that asks for slow names must not take the threads that others need.
const LOOKUPS_MAX: usize = 16;

/// Turns names into addresses.
pub trait Resolve: Send + Sync + 'static {
    /// Returns the addresses of `name`, the preferred one first.
    ///
    /// # Errors
    /// When the name has no address or nobody could be asked.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the operating system: its hosts file, its name servers.
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let (name, lookups) = (name.to_owned(), self.lookups.clone());
        Box::pin(async move {
            let permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
            tokio::task::spawn_blocking(move || {
                // Held by the thread: a caller that gives up does not free it.
                let _permit = permit;
                Ok((&*name, 0)
                    .to_socket_addrs()?
                    .map(|address| address.ip())
                    .collect())
            })
            .await
            .map_err(io::Error::other)?
        })
    }
}

/// Which certificates are trusted, shared by all clients of a host.
///
/// The authorities are those of Mozilla, compiled in: the same on every machine, and there on the
/// smallest container, which has no folder of certificates. Private authorities are added by name.
#[derive(Clone)]
pub struct TlsTrust {
    config: Arc<ClientConfig>,
}

impl TlsTrust {
    /// Trusts the public authorities and `extra`.
    ///
    /// # Errors
    /// When a certificate of `extra` is not one of an authority.
    pub fn new(
        extra: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        for certificate in extra {
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

/// A byte stream in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection, before HTTP is spoken on it.
pub(super) struct Opened {
    pub(super) stream: Box<dyn Stream>,
    pub(super) is_http2: bool,
}

/// Opens connections that one allow-list grants.
pub(super) struct Connector {
    pub(super) allow: Arc<AllowList>,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) tls: TlsTrust,
}

impl Connector {
    /// Opens a connection to `destination` before `deadline`.
    pub(super) async fn open(
        &self,
        destination: &Destination,
        deadline: Instant,
    ) -> Result<Opened, ClientError> {
        let addresses = self.granted_addresses(destination, deadline).await?;
        let stream = connect_any(destination, &addresses, deadline).await?;
        match destination.scheme {
            Scheme::Http => Ok(Opened {
                stream: Box::new(stream),
                is_http2: false,
            }),
            Scheme::Https => self.secure(destination, stream, deadline).await,
        }
    }

    async fn granted_addresses(
        &self,
        destination: &Destination,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, ClientError> {
        let found = match &destination.authority.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => match timeout_at(deadline, self.resolver.resolve(name)).await {
                Err(_) => return Err(ClientError::DnsTimeout { name: name.clone() }),
                Ok(Err(source)) => {
                    return Err(ClientError::Dns {
                        name: name.clone(),
                        source,
                    });
                }
                Ok(Ok(addresses)) => addresses,
            },
        };
        let mut denial = None;
        let granted: Vec<IpAddr> = found
            .into_iter()
            .filter(
                |address| match self.allow.check_address(destination, *address) {
                    Ok(()) => true,
                    Err(reason) => {
                        denial.get_or_insert(reason);
                        false
                    }
                },
            )
            .take(ADDRESSES_TRIED_MAX)
            .collect();
        if granted.is_empty() {
            Err(nothing_granted(destination, denial))
        } else {
            Ok(granted)
        }
    }

    async fn secure(
        &self,
        destination: &Destination,
        stream: TcpStream,
        deadline: Instant,
    ) -> Result<Opened, ClientError> {
        let name = match &destination.authority.host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|error| tls_error(destination, io::Error::other(error)))?,
        };
        let handshake = TlsConnector::from(self.tls.config.clone()).connect(name, stream);
        let stream = match timeout_at(deadline, handshake).await {
            Err(_) => return Err(connect_timeout(destination)),
            Ok(Err(error)) => return Err(tls_error(destination, error)),
            Ok(Ok(stream)) => stream,
        };
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Opened {
            stream: Box::new(stream),
            is_http2,
        })
    }
}

fn nothing_granted(destination: &Destination, denial: Option<Denial>) -> ClientError {
    match denial {
        Some(denial) => ClientError::Denied(denial),
        None => ClientError::Dns {
            name: destination.authority.host.to_string(),
            source: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
        },
    }
}

fn connect_timeout(destination: &Destination) -> ClientError {
    ClientError::ConnectTimeout {
        destination: destination.to_string(),
    }
}

fn tls_error(destination: &Destination, error: io::Error) -> ClientError {
    let destination = destination.to_string();
    let cause = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(source @ rustls::Error::InvalidCertificate(_)) => ClientError::TlsCertificate {
            destination,
            source: source.clone(),
        },
        _ => ClientError::Tls {
            destination,
            source: error,
        },
    }
}

/// Connects to the first of `addresses` that answers. Each gets an equal share of the time left, so
/// that a dead one does not spend it all.
async fn connect_any(
    destination: &Destination,
    addresses: &[IpAddr],
    deadline: Instant,
) -> Result<TcpStream, ClientError> {
    let port = destination.authority.port;
    let mut last_error = connect_timeout(destination);
    for (index, &address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let share = now + left / (addresses.len() - index) as u32;
        match timeout_at(share, TcpStream::connect(SocketAddr::new(address, port))).await {
            Ok(Ok(stream)) => {
                // A request is written at once; to wait for more to send would only delay it. A
                // socket that cannot do this works all the same.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(source)) => last_error = sort_connect_error(address, port, source),
            Err(_) => last_error = connect_timeout(destination),
        }
    }
    Err(last_error)
}

fn sort_connect_error(address: IpAddr, port: u16, source: io::Error) -> ClientError {
    match source.kind() {
        io::ErrorKind::ConnectionRefused => ClientError::Refused { address, port },
        _ => ClientError::Connect {
            address,
            port,
            source,
        },
    }
}
