//! What guests call: heads are made, taken apart and dropped together with their bodies.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::HeaderMap;
use bytes::Bytes;
use http_body_util::Empty;
use wasmtime::component::{
    Access, Accessor, FutureConsumer, FutureReader, Resource, Source, StreamReader,
};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p3::bindings::http::client;
use wasmtime_wasi_http::p3::bindings::http::types::{
    ErrorCode, Headers, HostRequestWithStore, HostResponseWithStore, Request, RequestOptions,
    Response,
};
use wasmtime_wasi_http::{FieldMap, WasiBody, WasiHttp, WasiHttpView};

use super::given::{Given, give};
use super::relayed::Relayed;
use super::sent::Told;
use super::written::{TrailersResult, Written};
use super::{Body, Http, Message, response_head};
use crate::http::content_length::declared_length;
use crate::state::State;

/// The result of reading or of sending a body.
type Outcome = Result<(), ErrorCode>;

/// Takes headers that a guest gives away; nobody changes them any more.
fn take_headers(state: &mut State, headers: Resource<Headers>) -> wasmtime::Result<FieldMap> {
    let mut headers = state.table().delete(headers)?;
    headers.set_immutable();
    Ok(headers)
}

/// Takes a body that a guest gives away, and what will tell the guest how sending it ended.
fn take_body(
    mut store: impl AsContextMut<Data = State>,
    headers: &HeaderMap,
    contents: Option<StreamReader<u8>>,
    mut trailers: FutureReader<TrailersResult>,
    message: Message,
) -> wasmtime::Result<(Body, FutureReader<Outcome>)> {
    let length = declared_length(headers)?;
    let contents = match contents.map(|contents| contents.try_into::<Given>(&mut store)) {
        Some(Ok(mut given)) => {
            // The body brings its own.
            trailers.close(&mut store)?;
            let (relayed, sent) = Relayed::new(&mut given, length, message);
            let sent = FutureReader::new(&mut store, Told(sent))?;
            return Ok((Body::Host(WasiBody::new(relayed)), sent));
        }
        Some(Err(contents)) => Some(contents),
        None => None,
    };
    let (written, shared) = Written::take(&mut store, contents, trailers, length, message)?;
    let sent = FutureReader::new(&mut store, Told(shared))?;
    Ok((Body::Guest(written), sent))
}

/// Gives the body of `head` to the guest. What the guest will say of it nobody needs to know.
fn give_body(
    mut store: impl AsContextMut<Data = State>,
    head: u32,
    said: FutureReader<Outcome>,
) -> wasmtime::Result<(StreamReader<u8>, FutureReader<TrailersResult>)> {
    said.pipe(&mut store, Unheeded)?;
    let body = store.as_context_mut().data_mut().bodies().take(head);
    let body = body.map_or_else(WasiBody::default, Body::into_wasi_body);
    give(store, body)
}

/// Takes a value for nobody.
struct Unheeded;

impl<D> FutureConsumer<D> for Unheeded {
    type Item = Outcome;

    fn poll_consume(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, Outcome>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        Poll::Ready(source.read(store, &mut None))
    }
}

impl HostRequestWithStore<State> for Http {
    fn new(
        mut store: Access<'_, State, Self>,
        headers: Resource<Headers>,
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<TrailersResult>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<(Resource<Request>, FutureReader<Outcome>)> {
        let headers = take_headers(store.data_mut(), headers)?;
        let (body, sent) = take_body(&mut store, &headers, contents, trailers, Message::Request)?;
        let state = store.data_mut();
        let options = match options {
            Some(options) => Some(state.table().delete(options)?.into_arc()),
            None => None,
        };
        let (head, _) = Request::new(
            ::http::Method::GET,
            None,
            None,
            None,
            headers,
            options,
            Empty::<Bytes>::new(),
        );
        let head = state.table().push(head)?;
        state.bodies().put(head.rep(), body);
        Ok((head, sent))
    }

    fn consume_body(
        mut store: Access<'_, State, Self>,
        request: Resource<Request>,
        said: FutureReader<Outcome>,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<TrailersResult>)> {
        let head = request.rep();
        store.data_mut().table().delete(request)?;
        give_body(store, head, said)
    }

    fn drop(
        mut store: Access<'_, State, Self>,
        request: Resource<Request>,
    ) -> wasmtime::Result<()> {
        let state = store.data_mut();
        state.bodies().take(request.rep());
        state.table().delete(request)?;
        Ok(())
    }
}

impl HostResponseWithStore<State> for Http {
    fn new(
        mut store: Access<'_, State, Self>,
        headers: Resource<Headers>,
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<TrailersResult>,
    ) -> wasmtime::Result<(Resource<Response>, FutureReader<Outcome>)> {
        let headers = take_headers(store.data_mut(), headers)?;
        let (body, sent) = take_body(&mut store, &headers, contents, trailers, Message::Response)?;
        let head = put_response(store.data_mut(), headers, body)?;
        Ok((head, sent))
    }

    fn consume_body(
        mut store: Access<'_, State, Self>,
        response: Resource<Response>,
        said: FutureReader<Outcome>,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<TrailersResult>)> {
        let head = response.rep();
        store.data_mut().table().delete(response)?;
        give_body(store, head, said)
    }

    fn drop(
        mut store: Access<'_, State, Self>,
        response: Resource<Response>,
    ) -> wasmtime::Result<()> {
        let state = store.data_mut();
        state.bodies().take(response.rep());
        state.table().delete(response)?;
        Ok(())
    }
}

fn put_response(
    state: &mut State,
    headers: FieldMap,
    body: Body,
) -> wasmtime::Result<Resource<Response>> {
    let mut view = state.http();
    let head = response_head(&mut view, headers);
    let head = view.table.push(head)?;
    state.bodies().put(head.rep(), body);
    Ok(head)
}

impl client::HostWithStore<State> for Http {
    async fn send(
        store: &Accessor<State, Self>,
        request: Resource<Request>,
    ) -> Result<Resource<Response>, TrappableError<ErrorCode>> {
        let trap = TrappableError::trap;
        let request = store
            .with(|mut store| with_body(store.data_mut(), request))
            .map_err(trap)?;
        let theirs = store.with_getter::<WasiHttp>(State::http);
        let sent = <WasiHttp as client::HostWithStore<State>>::send(&theirs, request).await;
        // Not inside of the closure: there an error code would become a trap.
        let response = sent?;
        store
            .with(|store| without_body(store, response))
            .map_err(trap)
    }
}

/// Puts the body of a request where `wasmtime-wasi-http` looks for it.
fn with_body(state: &mut State, request: Resource<Request>) -> wasmtime::Result<Resource<Request>> {
    let Some(body) = state.bodies().take(request.rep()) else {
        return Ok(request);
    };
    let head = state.table().delete(request)?;
    let (request, _) = Request::new(
        head.method,
        head.scheme,
        head.authority,
        head.path_with_query,
        head.headers,
        head.options,
        body.into_wasi_body(),
    );
    Ok(state.table().push(request)?)
}

/// Takes the body of a response from where `wasmtime-wasi-http` put it.
fn without_body(
    mut store: Access<'_, State, Http>,
    response: Resource<Response>,
) -> wasmtime::Result<Resource<Response>> {
    let mut response = store.data_mut().table().delete(response)?;
    // The answer to a HEAD request declares a length that its body has not: it stays unchecked.
    let headers = std::mem::take(&mut response.headers);
    let status = response.status;
    let told = async { Ok(()) };
    let body = response.into_http_with_getter(&mut store, told, State::http)?;
    let state = store.data_mut();
    let response = put_response(state, headers, Body::Host(body.into_body()))?;
    state.table().get_mut(&response)?.status = status;
    Ok(response)
}
