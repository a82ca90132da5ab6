//! Requests and their bodies. A body that the guest does not ask for is never looked at.

use std::sync::Arc;

use ::http::Request;
use ::http::header::HOST;
use ::http::request::Parts;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynInputStream;
use wasmtime_wasi_http::p2::bindings::http::types::{self, Method, Scheme};
use wasmtime_wasi_http::p2::body::{HostFutureTrailers, HostIncomingBody};
use wasmtime_wasi_http::p2::types::HostIncomingRequest;
use wasmtime_wasi_http::{FieldMap, WasiBody};

use super::fields::Fields;
use super::{OURS, ServedView, get, get_mut, insert, ours, remove};

/// What is behind an `incoming-request`.
pub(super) struct IncomingRequest {
    parts: Arc<Parts>,
    body: Option<WasiBody>,
}

impl IncomingRequest {
    pub(super) fn new(request: Request<WasiBody>) -> wasmtime::Result<Self> {
        let (parts, body) = request.into_parts();
        if authority(&parts).is_none() {
            wasmtime::bail!("the request names no host, neither in its URI nor in a header");
        }
        Ok(Self {
            parts: Arc::new(parts),
            body: Some(body),
        })
    }

    /// Drops the body that the guest has not asked for.
    pub(super) fn abandon_body(&mut self) {
        self.body = None;
    }
}

fn authority(parts: &Parts) -> Option<&str> {
    match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(HOST)?.to_str().ok(),
    }
}

impl types::HostIncomingRequest for ServedView<'_> {
    fn method(&mut self, id: Resource<HostIncomingRequest>) -> wasmtime::Result<Method> {
        let request = get(&self.tables.requests, id.rep())?;
        Ok(request.parts.method.clone().into())
    }

    fn path_with_query(
        &mut self,
        id: Resource<HostIncomingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        let request = get(&self.tables.requests, id.rep())?;
        let path = request.parts.uri.path_and_query();
        Ok(path.map(|it| it.as_str().to_owned()))
    }

    fn scheme(&mut self, id: Resource<HostIncomingRequest>) -> wasmtime::Result<Option<Scheme>> {
        get(&self.tables.requests, id.rep())?;
        Ok(Some(Scheme::Http))
    }

    fn authority(&mut self, id: Resource<HostIncomingRequest>) -> wasmtime::Result<Option<String>> {
        let request = get(&self.tables.requests, id.rep())?;
        Ok(authority(&request.parts).map(str::to_owned))
    }

    fn headers(
        &mut self,
        id: Resource<HostIncomingRequest>,
    ) -> wasmtime::Result<Resource<FieldMap>> {
        let parts = get(&self.tables.requests, id.rep())?.parts.clone();
        self.push_fields(Fields::Request(parts))
    }

    fn consume(
        &mut self,
        id: Resource<HostIncomingRequest>,
    ) -> wasmtime::Result<Result<Resource<HostIncomingBody>, ()>> {
        let Some(body) = get_mut(&mut self.tables.requests, id.rep())?.body.take() else {
            return Ok(Err(()));
        };
        let number = insert(&mut self.tables.incoming_bodies, IncomingBody::Unread(body))?;
        Ok(Ok(Resource::new_own(number | OURS)))
    }

    fn drop(&mut self, id: Resource<HostIncomingRequest>) -> wasmtime::Result<()> {
        remove(&mut self.tables.requests, id.rep())?;
        Ok(())
    }
}

/// What is behind an `incoming-body` of a request.
pub(super) enum IncomingBody {
    Unread(WasiBody),
    /// The guest has its stream: wasmtime-wasi-http reads it.
    Read(Resource<HostIncomingBody>),
    /// The guest has forgotten it.
    Abandoned,
}

/// A body that is being read cannot be dropped.
pub(super) struct IsRead;

impl IncomingBody {
    /// Drops a body that the guest has not read.
    ///
    /// # Errors
    /// When it reads it.
    pub(super) fn abandon(&mut self) -> Result<(), IsRead> {
        match self {
            Self::Read(_) => Err(IsRead),
            Self::Unread(_) | Self::Abandoned => {
                *self = Self::Abandoned;
                Ok(())
            }
        }
    }
}

impl ServedView<'_> {
    /// Takes a body out of our table; wasmtime-wasi-http has it then.
    fn hand_over(
        &mut self,
        id: Resource<HostIncomingBody>,
    ) -> wasmtime::Result<Resource<HostIncomingBody>> {
        let Some(number) = ours(&id) else {
            return Ok(id);
        };
        match remove(&mut self.tables.incoming_bodies, number)? {
            IncomingBody::Unread(body) => Ok(self.other.table.push(HostIncomingBody::new(body))?),
            IncomingBody::Read(body) => Ok(body),
            IncomingBody::Abandoned => {
                let nothing = HostIncomingBody::new(WasiBody::default());
                Ok(self.other.table.push(nothing)?)
            }
        }
    }
}

impl types::HostIncomingBody for ServedView<'_> {
    fn stream(
        &mut self,
        id: Resource<HostIncomingBody>,
    ) -> wasmtime::Result<Result<Resource<DynInputStream>, ()>> {
        let Some(number) = ours(&id) else {
            return types::HostIncomingBody::stream(&mut self.other, id);
        };
        let place = get_mut(&mut self.tables.incoming_bodies, number)?;
        let IncomingBody::Unread(body) = place else {
            return Ok(Err(())); // its one stream is taken, or it is gone
        };
        let body = HostIncomingBody::new(std::mem::take(body));
        let body = self.other.table.push(body)?;
        let id = Resource::new_borrow(body.rep());
        *place = IncomingBody::Read(body);
        types::HostIncomingBody::stream(&mut self.other, id)
    }

    fn finish(
        &mut self,
        id: Resource<HostIncomingBody>,
    ) -> wasmtime::Result<Resource<HostFutureTrailers>> {
        let is_of_request = ours(&id).is_some();
        let body = self.hand_over(id)?;
        let trailers = types::HostIncomingBody::finish(&mut self.other, body)?;
        if is_of_request {
            self.tables.finished = Some(trailers.rep());
        }
        Ok(trailers)
    }

    fn drop(&mut self, id: Resource<HostIncomingBody>) -> wasmtime::Result<()> {
        if let Some(number) = ours(&id)
            && matches!(
                get(&self.tables.incoming_bodies, number)?,
                IncomingBody::Unread(_) | IncomingBody::Abandoned
            )
        {
            remove(&mut self.tables.incoming_bodies, number)?;
            return Ok(());
        }
        let body = self.hand_over(id)?;
        types::HostIncomingBody::drop(&mut self.other, body)
    }
}
