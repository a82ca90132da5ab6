//! Outgoing HTTP: one client for each component binding, which reaches what its link grants and
//! nothing else.
//!
//! Knows no WebAssembly: the adapter of `wasi:http` turns guest types into [`http`] types and
//! [`ClientError`] into the error codes of WIT.
//!
//! A request is checked against the [`AllowList`] by name, then goes to a service on the same host
//! if one answers for its authority, or over a pooled connection. Every address that a name
//! resolves to is checked when the connection is opened. Redirects are never followed: the guest sees
//! them, and its next request is checked like any other.

use std::sync::Arc;

use http::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri};
use tokio::time::timeout;
use trellis_core::Limits;

mod address;
mod allow_list;
mod body;
mod connect;
mod destination;
mod error;
mod local;
mod pool;
#[cfg(test)]
mod tests;

pub use address::AddressKind;
pub use allow_list::{AllowList, Denial, ENTRIES_MAX, EntryError, EntryFault};
pub use body::{BodyError, RequestBody, ResponseBody};
pub use connect::{Resolve, SystemResolver, TlsTrust};
pub use destination::{Authority, Destination, DestinationError, Host, HostError, Scheme};
pub use error::ClientError;
pub use local::{LocalFailure, LocalMap, LocalService, LocalServices};
pub use pool::Timeouts;

use connect::Connector;
use pool::Pool;

/// Fields that belong to the connection, not to the request: the client writes them itself, and a
/// guest that could would confuse the server about where its request ends or whom it is for.
const CONNECTION_FIELDS: [HeaderName; 9] = [
    CONNECTION,
    HOST,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// What a client is made of.
pub struct ClientConfig {
    /// What the link grants.
    pub allow: AllowList,
    /// How many connections are open at once, in use or idle.
    pub connections_max: u32,
    /// The services on this host, shared by its clients.
    pub local: Arc<LocalServices>,
    /// What turns names into addresses, shared by the clients of a host.
    pub resolver: Arc<dyn Resolve>,
    /// Which certificates are trusted, shared by the clients of a host.
    pub tls: TlsTrust,
}

impl ClientConfig {
    /// Returns the config of a client without local services, with the resolver of the system and
    /// the default bound of connections.
    pub fn new(allow: AllowList, tls: TlsTrust) -> Self {
        Self {
            allow,
            connections_max: Limits::default().outgoing_connections_max,
            local: Arc::default(),
            resolver: Arc::new(SystemResolver::default()),
            tls,
        }
    }
}

/// Sends the HTTP requests of one component. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct HttpClient {
    allow: Arc<AllowList>,
    local: Arc<LocalServices>,
    pool: Arc<Pool>,
}

impl HttpClient {
    /// Makes a client; nothing is opened yet.
    pub fn new(config: ClientConfig) -> Self {
        let allow = Arc::new(config.allow);
        let connector = Connector {
            allow: allow.clone(),
            resolver: config.resolver,
            tls: config.tls,
        };
        Self {
            allow,
            local: config.local,
            pool: Pool::new(connector, config.connections_max),
        }
    }

    /// Sends `request`, whose URI is absolute, and returns the head of the response with the body
    /// still to come. Fields that belong to the connection are dropped, `host` is set from the URI.
    ///
    /// # Errors
    /// When the request is denied, nobody answers, or not in time. A request that may have reached
    /// the server is never sent twice.
    ///
    /// # Cancel safety
    /// When the future is dropped, the request is given up and its connection closed.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, ClientError> {
        let timeouts = timeouts.bounded();
        if *request.method() == Method::CONNECT {
            return Err(ClientError::Method);
        }
        let destination = Destination::of(request.uri()).map_err(ClientError::Uri)?;
        self.allow
            .check(&destination)
            .map_err(ClientError::Denied)?;
        for field in &CONNECTION_FIELDS {
            request.headers_mut().remove(field);
        }
        *request.uri_mut() = normal_uri(&destination, request.uri());
        match self.local.find(&destination.authority) {
            Some(service) => answer_locally(&*service, request, &destination, timeouts).await,
            None => self.pool.send(request, &destination, timeouts).await,
        }
    }
}

/// Returns `uri` with the scheme and authority exactly as they were checked.
fn normal_uri(destination: &Destination, uri: &Uri) -> Uri {
    let path = uri
        .path_and_query()
        .cloned()
        .unwrap_or(PathAndQuery::from_static("/"));
    Uri::builder()
        .scheme(destination.scheme.name())
        .authority(destination.authority_text())
        .path_and_query(path)
        .build()
        .expect("a host of letters, digits and dots, or an address, makes a URI")
}

async fn answer_locally(
    service: &dyn LocalService,
    mut request: Request<RequestBody>,
    destination: &Destination,
    timeouts: Timeouts,
) -> Result<Response<ResponseBody>, ClientError> {
    if let Ok(host) = HeaderValue::try_from(destination.authority_text()) {
        request.headers_mut().insert(HOST, host);
    }
    let response = timeout(timeouts.first_byte, service.call(request))
        .await
        .map_err(|_| ClientError::FirstByteTimeout)?
        .map_err(ClientError::Local)?;
    Ok(response.map(|body| ResponseBody::from_local(body, timeouts.between_bytes)))
}
