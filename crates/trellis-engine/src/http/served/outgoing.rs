//! Answers and their bodies.

use ::http::{HeaderMap, Response, StatusCode};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, Trailers};
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostOutgoingResponse, HostResponseOutparam};
use wasmtime_wasi_http::p2::{HttpError, HttpResult};

use super::fields::{Fields, HeldMap};
use super::{ANSWERS_UNSENT_MAX, OURS, ServedView, get, get_mut, hold, insert, ours, remove};
use crate::http::body_pipe::{BodyReader, FinishError, body_pipe};
use crate::http::content_length::declared_length;

/// What is behind an `outgoing-response`.
pub(super) struct OutgoingResponse {
    status: StatusCode,
    pub(super) headers: HeldMap,
    pub(super) body: Option<BodyReader>,
}

impl types::HostOutgoingResponse for ServedView<'_> {
    fn new(
        &mut self,
        headers: Resource<FieldMap>,
    ) -> wasmtime::Result<Resource<HostOutgoingResponse>> {
        let mut headers = self.take_fields(&headers)?;
        headers.map.set_immutable();
        self.tables.hold_fields(headers.bytes)?;
        let response = OutgoingResponse {
            status: StatusCode::OK,
            headers,
            body: None,
        };
        let number = insert(&mut self.tables.responses, response)?;
        Ok(Resource::new_own(number))
    }

    fn body(
        &mut self,
        id: Resource<HostOutgoingResponse>,
    ) -> wasmtime::Result<Result<Resource<HostOutgoingBody>, ()>> {
        let tables = &mut *self.tables;
        let response = get_mut(&mut tables.responses, id.rep())?;
        let (None, Ok(length)) = (&response.body, declared_length(&response.headers.map)) else {
            return Ok(Err(()));
        };
        hold(
            &mut tables.answers_unsent,
            ANSWERS_UNSENT_MAX,
            "answers with a body unsent",
        )?;
        let (writer, reader) = body_pipe(length);
        response.body = Some(reader);
        let number = insert(&mut tables.outgoing_bodies, writer)?;
        Ok(Ok(Resource::new_own(number | OURS)))
    }

    fn status_code(
        &mut self,
        id: Resource<HostOutgoingResponse>,
    ) -> wasmtime::Result<types::StatusCode> {
        Ok(get(&self.tables.responses, id.rep())?.status.into())
    }

    fn set_status_code(
        &mut self,
        id: Resource<HostOutgoingResponse>,
        status: types::StatusCode,
    ) -> wasmtime::Result<Result<(), ()>> {
        let response = get_mut(&mut self.tables.responses, id.rep())?;
        let Ok(status) = StatusCode::from_u16(status) else {
            return Ok(Err(()));
        };
        response.status = status;
        Ok(Ok(()))
    }

    fn headers(
        &mut self,
        id: Resource<HostOutgoingResponse>,
    ) -> wasmtime::Result<Resource<FieldMap>> {
        let headers = get(&self.tables.responses, id.rep())?.headers.clone();
        self.push_fields(Fields::Map(headers))
    }

    fn drop(&mut self, id: Resource<HostOutgoingResponse>) -> wasmtime::Result<()> {
        self.tables.remove_response(id.rep())?;
        Ok(())
    }
}

impl types::HostResponseOutparam for ServedView<'_> {
    fn set(
        &mut self,
        id: Resource<HostResponseOutparam>,
        answer: Result<Resource<HostOutgoingResponse>, ErrorCode>,
    ) -> wasmtime::Result<()> {
        let answer = match answer {
            Ok(response) => Ok(self.tables.remove_response(response.rep())?.into_answer()),
            Err(code) => Err(code),
        };
        remove(&mut self.tables.outparams, id.rep())?.put(answer);
        Ok(())
    }

    fn send_informational(
        &mut self,
        id: Resource<HostResponseOutparam>,
        status: u16,
        headers: Resource<FieldMap>,
    ) -> HttpResult<()> {
        types::HostResponseOutparam::send_informational(&mut self.other, id, status, headers)
    }

    fn drop(&mut self, id: Resource<HostResponseOutparam>) -> wasmtime::Result<()> {
        remove(&mut self.tables.outparams, id.rep())?;
        Ok(())
    }
}

impl OutgoingResponse {
    fn into_answer(self) -> Response<Option<BodyReader>> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.map.into();
        response
    }
}

impl types::HostOutgoingBody for ServedView<'_> {
    fn write(
        &mut self,
        id: Resource<HostOutgoingBody>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        let Some(number) = ours(&id) else {
            return types::HostOutgoingBody::write(&mut self.other, id);
        };
        match get(&self.tables.outgoing_bodies, number)?.open() {
            Some(stream) => Ok(Ok(self.other.table.push(stream)?)),
            None => Ok(Err(())),
        }
    }

    fn finish(
        &mut self,
        id: Resource<HostOutgoingBody>,
        trailers: Option<Resource<Trailers>>,
    ) -> HttpResult<()> {
        let trailers = trailers
            .map(|trailers| self.take_fields(&trailers))
            .transpose()
            .map_err(HttpError::trap)?;
        let Some(number) = ours(&id) else {
            let trailers = trailers.map(|held| self.other.table.push(held.map));
            let trailers = trailers.transpose()?;
            return types::HostOutgoingBody::finish(&mut self.other, id, trailers);
        };
        let bodies = &mut self.tables.outgoing_bodies;
        let mut body = remove(bodies, number).map_err(HttpError::trap)?;
        match body.finish(trailers.map(|held| HeaderMap::from(held.map))) {
            Ok(()) => Ok(()),
            Err(FinishError::WrongLength { written }) => {
                Err(ErrorCode::HttpResponseBodySize(Some(written)).into())
            }
            Err(error @ FinishError::StreamInUse) => Err(HttpError::trap(error)),
        }
    }

    fn drop(&mut self, id: Resource<HostOutgoingBody>) -> wasmtime::Result<()> {
        let Some(number) = ours(&id) else {
            return types::HostOutgoingBody::drop(&mut self.other, id);
        };
        let bodies = &mut self.tables.outgoing_bodies;
        if remove(bodies, number)?.is_in_use() {
            return Err(FinishError::StreamInUse.into());
        }
        Ok(())
    }
}
