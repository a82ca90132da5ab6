//! What a guest needs to send requests of its own: all of it is wasmtime-wasi-http's, but for the
//! headers, which are in our table.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::HttpResult;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::{
    self, Duration, ErrorCode, Method, RequestOptions, Scheme, StatusCode, Trailers,
};
use wasmtime_wasi_http::p2::body::{HostFutureTrailers, HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest,
};

use super::{REQUESTS_UNSENT_MAX, ServedView, hold};

impl outgoing_handler::Host for ServedView<'_> {
    fn handle(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> HttpResult<Resource<HostFutureIncomingResponse>> {
        self.tables.requests_unsent -= 1;
        outgoing_handler::Host::handle(&mut self.other, request, options)
    }
}

impl types::HostOutgoingRequest for ServedView<'_> {
    fn new(
        &mut self,
        headers: Resource<FieldMap>,
    ) -> wasmtime::Result<Resource<HostOutgoingRequest>> {
        hold(
            &mut self.tables.requests_unsent,
            REQUESTS_UNSENT_MAX,
            "requests of its own unsent",
        )?;
        let headers = self.take_fields(&headers)?.map;
        let headers = self.other.table.push(headers)?;
        types::HostOutgoingRequest::new(&mut self.other, headers)
    }

    fn headers(
        &mut self,
        id: Resource<HostOutgoingRequest>,
    ) -> wasmtime::Result<Resource<FieldMap>> {
        let headers = types::HostOutgoingRequest::headers(&mut self.other, id)?;
        self.adopt_fields(headers)
    }

    fn body(
        &mut self,
        id: Resource<HostOutgoingRequest>,
    ) -> wasmtime::Result<Result<Resource<HostOutgoingBody>, ()>> {
        types::HostOutgoingRequest::body(&mut self.other, id)
    }

    fn method(&mut self, id: Resource<HostOutgoingRequest>) -> wasmtime::Result<Method> {
        types::HostOutgoingRequest::method(&mut self.other, id)
    }

    fn set_method(
        &mut self,
        id: Resource<HostOutgoingRequest>,
        method: Method,
    ) -> wasmtime::Result<Result<(), ()>> {
        types::HostOutgoingRequest::set_method(&mut self.other, id, method)
    }

    fn path_with_query(
        &mut self,
        id: Resource<HostOutgoingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        types::HostOutgoingRequest::path_with_query(&mut self.other, id)
    }

    fn set_path_with_query(
        &mut self,
        id: Resource<HostOutgoingRequest>,
        path: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        types::HostOutgoingRequest::set_path_with_query(&mut self.other, id, path)
    }

    fn scheme(&mut self, id: Resource<HostOutgoingRequest>) -> wasmtime::Result<Option<Scheme>> {
        types::HostOutgoingRequest::scheme(&mut self.other, id)
    }

    fn set_scheme(
        &mut self,
        id: Resource<HostOutgoingRequest>,
        scheme: Option<Scheme>,
    ) -> wasmtime::Result<Result<(), ()>> {
        types::HostOutgoingRequest::set_scheme(&mut self.other, id, scheme)
    }

    fn authority(&mut self, id: Resource<HostOutgoingRequest>) -> wasmtime::Result<Option<String>> {
        types::HostOutgoingRequest::authority(&mut self.other, id)
    }

    fn set_authority(
        &mut self,
        id: Resource<HostOutgoingRequest>,
        authority: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        types::HostOutgoingRequest::set_authority(&mut self.other, id, authority)
    }

    fn drop(&mut self, id: Resource<HostOutgoingRequest>) -> wasmtime::Result<()> {
        self.tables.requests_unsent -= 1;
        types::HostOutgoingRequest::drop(&mut self.other, id)
    }
}

impl types::HostIncomingResponse for ServedView<'_> {
    fn status(&mut self, id: Resource<HostIncomingResponse>) -> wasmtime::Result<StatusCode> {
        types::HostIncomingResponse::status(&mut self.other, id)
    }

    fn headers(
        &mut self,
        id: Resource<HostIncomingResponse>,
    ) -> wasmtime::Result<Resource<FieldMap>> {
        let headers = types::HostIncomingResponse::headers(&mut self.other, id)?;
        self.adopt_fields(headers)
    }

    fn consume(
        &mut self,
        id: Resource<HostIncomingResponse>,
    ) -> wasmtime::Result<Result<Resource<HostIncomingBody>, ()>> {
        types::HostIncomingResponse::consume(&mut self.other, id)
    }

    fn drop(&mut self, id: Resource<HostIncomingResponse>) -> wasmtime::Result<()> {
        types::HostIncomingResponse::drop(&mut self.other, id)
    }
}

impl types::HostFutureTrailers for ServedView<'_> {
    fn subscribe(
        &mut self,
        id: Resource<HostFutureTrailers>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        types::HostFutureTrailers::subscribe(&mut self.other, id)
    }

    fn get(
        &mut self,
        id: Resource<HostFutureTrailers>,
    ) -> wasmtime::Result<Option<Result<Result<Option<Resource<Trailers>>, ErrorCode>, ()>>> {
        match types::HostFutureTrailers::get(&mut self.other, id)? {
            Some(Ok(Ok(Some(trailers)))) => {
                let trailers = self.adopt_fields(trailers)?;
                Ok(Some(Ok(Ok(Some(trailers)))))
            }
            other => Ok(other),
        }
    }

    fn drop(&mut self, id: Resource<HostFutureTrailers>) -> wasmtime::Result<()> {
        types::HostFutureTrailers::drop(&mut self.other, id)
    }
}

impl types::HostFutureIncomingResponse for ServedView<'_> {
    fn subscribe(
        &mut self,
        id: Resource<HostFutureIncomingResponse>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        types::HostFutureIncomingResponse::subscribe(&mut self.other, id)
    }

    fn get(
        &mut self,
        id: Resource<HostFutureIncomingResponse>,
    ) -> wasmtime::Result<Option<Result<Result<Resource<HostIncomingResponse>, ErrorCode>, ()>>>
    {
        types::HostFutureIncomingResponse::get(&mut self.other, id)
    }

    fn drop(&mut self, id: Resource<HostFutureIncomingResponse>) -> wasmtime::Result<()> {
        types::HostFutureIncomingResponse::drop(&mut self.other, id)
    }
}

impl types::HostRequestOptions for ServedView<'_> {
    fn new(&mut self) -> wasmtime::Result<Resource<RequestOptions>> {
        types::HostRequestOptions::new(&mut self.other)
    }

    fn connect_timeout(
        &mut self,
        id: Resource<RequestOptions>,
    ) -> wasmtime::Result<Option<Duration>> {
        types::HostRequestOptions::connect_timeout(&mut self.other, id)
    }

    fn set_connect_timeout(
        &mut self,
        id: Resource<RequestOptions>,
        duration: Option<Duration>,
    ) -> wasmtime::Result<Result<(), ()>> {
        types::HostRequestOptions::set_connect_timeout(&mut self.other, id, duration)
    }

    fn first_byte_timeout(
        &mut self,
        id: Resource<RequestOptions>,
    ) -> wasmtime::Result<Option<Duration>> {
        types::HostRequestOptions::first_byte_timeout(&mut self.other, id)
    }

    fn set_first_byte_timeout(
        &mut self,
        id: Resource<RequestOptions>,
        duration: Option<Duration>,
    ) -> wasmtime::Result<Result<(), ()>> {
        types::HostRequestOptions::set_first_byte_timeout(&mut self.other, id, duration)
    }

    fn between_bytes_timeout(
        &mut self,
        id: Resource<RequestOptions>,
    ) -> wasmtime::Result<Option<Duration>> {
        types::HostRequestOptions::between_bytes_timeout(&mut self.other, id)
    }

    fn set_between_bytes_timeout(
        &mut self,
        id: Resource<RequestOptions>,
        duration: Option<Duration>,
    ) -> wasmtime::Result<Result<(), ()>> {
        types::HostRequestOptions::set_between_bytes_timeout(&mut self.other, id, duration)
    }

    fn drop(&mut self, id: Resource<RequestOptions>) -> wasmtime::Result<()> {
        types::HostRequestOptions::drop(&mut self.other, id)
    }
}
