//! Requests for a component on the same host, answered without a socket.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use trellis_core::ErrorClass;

use super::body::RequestBody;
use super::destination::Authority;

/// Why a local service gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LocalFailure {
    /// The way in which the call failed.
    pub class: ErrorClass,
    /// What happened, for the log.
    pub message: String,
}

/// Something on this host that answers HTTP requests, such as a component behind the gateway.
///
/// The implementation bounds how many calls run, and how deep services call one another.
pub trait LocalService: Send + Sync + 'static {
    /// Answers `request`, whose URI is absolute and whose `host` field says the same.
    ///
    /// # Cancel safety
    /// When the caller goes away, the future is dropped.
    fn call(
        &self,
        request: Request<RequestBody>,
    ) -> BoxFuture<'static, Result<Response<RequestBody>, LocalFailure>>;
}

/// The services of one snapshot, by host and port. The scheme makes no difference: what stays in
/// the process needs no TLS.
pub type LocalMap = HashMap<Authority, Arc<dyn LocalService>>;

/// The services of this host, shared by the clients of all its components.
#[derive(Default)]
pub struct LocalServices {
    map: ArcSwap<LocalMap>,
}

impl LocalServices {
    /// Puts `map` in the place of the current services; requests under way end where they began.
    pub fn replace(&self, map: LocalMap) {
        self.map.store(Arc::new(map));
    }

    /// Returns the service for `authority`.
    pub(super) fn find(&self, authority: &Authority) -> Option<Arc<dyn LocalService>> {
        self.map.load().get(authority).cloned()
    }
}
