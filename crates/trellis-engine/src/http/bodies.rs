//! Bodies of WASI 0.3: our own implementation of what `wasi:http` does with them. The heads of requests
//! and responses stay those of `wasmtime-wasi-http`; a body lies beside its head, under the same number.
//!
//! A body that a guest writes is collected in one place that its store and its reader share, without
//! a channel and without a task, from the moment the guest makes its head. So a guest that does not
//! wait has written everything when it returns, and its answer is known whole.

mod error_code;
mod given;
mod host;
mod relayed;
mod sent;
mod written;

use std::collections::HashMap;

use ::http::Response;
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::Empty;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi_http::p3::bindings::http::{client, types};
use wasmtime_wasi_http::{FieldMap, WasiBody, WasiHttpCtxView, WasiHttpView, p3};

pub(crate) use self::written::Writing;
use self::written::Written;
use crate::http::concurrent::Head;
use crate::state::State;

/// Adds `wasi:http` of WASI 0.3 to a linker.
///
/// # Errors
/// When the linker has it already.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<State, Http>(linker, State::http)?;
    client::add_to_linker::<State, Http>(linker, State::http)
}

/// The host side of `wasi:http`.
struct Http;

impl HasData for Http {
    type Data<'a> = WasiHttpCtxView<'a>;
}

/// Where the bytes of a body come from.
pub(crate) enum Body {
    /// A guest writes them.
    Guest(Written),
    /// The network, or whatever else is outside of the store.
    Host(WasiBody),
}

impl Body {
    /// Returns all of it where a guest wrote it and has ended.
    ///
    /// # Errors
    /// The body itself where there is more to come, or where it comes from elsewhere.
    pub(crate) fn into_whole(self) -> Result<Bytes, Self> {
        match self {
            Self::Guest(written) => written.into_whole().map_err(Self::Guest),
            Self::Host(_) => Err(self),
        }
    }

    /// Returns the writing side, where a guest has it.
    pub(crate) fn writing(&self) -> Option<Writing> {
        match self {
            Self::Guest(written) => Some(written.writing()),
            Self::Host(_) => None,
        }
    }

    /// Makes one that a guest has not ended.
    #[cfg(test)]
    pub(crate) fn unfinished() -> Self {
        Self::Guest(Written::unfinished())
    }

    /// Makes it a body like any other.
    pub(crate) fn into_wasi_body(self) -> WasiBody {
        match self {
            Self::Guest(written) => WasiBody::new(written),
            Self::Host(body) => body,
        }
    }
}

/// The bodies of a store by the numbers of their heads. A head without a body here has an empty one. As
/// many as there are resources at most.
#[derive(Default)]
pub(crate) struct Bodies(HashMap<u32, Body>);

impl Bodies {
    fn put(&mut self, head: u32, body: Body) {
        self.0.insert(head, body);
    }

    fn take(&mut self, head: u32) -> Option<Body> {
        self.0.remove(&head)
    }

    /// Tells whether no head of the store has a body.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Which of two messages a body belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Request,
    Response,
}

impl Message {
    /// Says that a body is not as long as its head declares.
    fn wrong_size(self, bytes: u64) -> types::ErrorCode {
        match self {
            Self::Request => types::ErrorCode::HttpRequestBodySize(Some(bytes)),
            Self::Response => types::ErrorCode::HttpResponseBodySize(Some(bytes)),
        }
    }
}

impl State {
    /// Gives an incoming request to the guest.
    ///
    /// # Errors
    /// When the guest holds too many resources.
    pub(crate) fn push_request(
        &mut self,
        head: Head,
        body: WasiBody,
    ) -> wasmtime::Result<Resource<p3::Request>> {
        let uri = head.uri.into_parts();
        let (request, _) = p3::Request::new(
            head.method,
            uri.scheme,
            uri.authority,
            uri.path_and_query,
            head.fields,
            None,
            Empty::new(),
        );
        let request = self.table().push(request)?;
        if !body.is_end_stream() {
            self.bodies().put(request.rep(), Body::Host(body));
        }
        Ok(request)
    }

    /// Takes the guest's answer.
    ///
    /// # Errors
    /// When the resource is none of this store.
    pub(crate) fn take_response(
        &mut self,
        response: Resource<p3::Response>,
    ) -> wasmtime::Result<Response<Body>> {
        let body = self.bodies().take(response.rep());
        let head = self.table().delete(response)?;
        let body = body.unwrap_or_else(|| Body::Host(WasiBody::default()));
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers.into();
        Ok(response)
    }
}

/// Makes the head of a response.
fn response_head(view: &mut WasiHttpCtxView<'_>, headers: FieldMap) -> p3::Response {
    let empty = Response::new(Empty::<Bytes>::new());
    let (mut head, _) = p3::Response::from_http(view.hooks, empty);
    head.headers = headers;
    head
}
