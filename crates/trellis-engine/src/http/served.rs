//! The side of `wasi:http/types@0.2` that serves requests: its resources live in the store's own
//! tables, as they came and without copies.
//!
//! What a guest needs to send requests of its own, and to read bodies, is wasmtime-wasi-http's. Where
//! both sides share a type of resource, the highest bit of its number tells whose it is.

mod delegated;
mod fields;
mod incoming;
mod outgoing;

use std::sync::{Arc, Mutex, PoisonError};

use ::http::{Request, Response};
use slab::Slab;
use trellis_core::ErrorClass;
use wasmtime::component::{HasData, Linker, Resource, ResourceTableError};
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode};
use wasmtime_wasi_http::p2::bindings::{LinkOptions, http};
use wasmtime_wasi_http::p2::body::HostFutureTrailers;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};
use wasmtime_wasi_http::{FieldMap, WasiBody, WasiHttpCtxView};

use self::fields::{Fields, HeldMap};
use self::incoming::{IncomingBody, IncomingRequest};
use self::outgoing::OutgoingResponse;
use super::body_pipe::{BodyReader, BodyWriter};
use crate::call_error::CallError;
use crate::state::State;

/// The most that the headers of one `fields` may take, as wasmtime-wasi-http counts it: names and
/// values with what they cost in memory.
pub(crate) const FIELDS_BYTES_MAX: usize = 128 << 10;

/// What all `fields` of a store may take together, those of answers that were not sent included: a
/// hundred times what a handler with many headers holds, and 128 `fields` of the greatest size.
const FIELDS_HELD_BYTES_MAX: usize = 16 << 20;

/// Answers with a body that a store may hold unsent. A handler sends one for each request; each may
/// have 2 MiB of its body waiting.
const ANSWERS_UNSENT_MAX: u32 = 16;

/// Requests of its own that a store may hold unsent. They leave the store when they are sent; each may
/// have headers of `FIELDS_BYTES_MAX` and 2 MiB of its body waiting.
const REQUESTS_UNSENT_MAX: u32 = 32;

/// Marks the numbers of resources that are in our tables, where a type has resources in both.
const OURS: u32 = 1 << 31;

/// What a guest answered.
pub(super) type Answer = Result<Response<Option<BodyReader>>, ErrorCode>;

/// Where an answer is put when the guest sets it, and found when the guest is looked after.
#[derive(Default)]
pub(super) struct AnswerSlot(Mutex<Option<Answer>>);

impl AnswerSlot {
    fn put(&self, answer: Answer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// Takes the answer, where there is one.
    pub(super) fn take(&self) -> Option<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The resources of one store. Each has a handle in the guest's table, whose size is bounded.
#[derive(Default)]
pub(crate) struct Tables {
    fields: Slab<Fields>,
    requests: Slab<IncomingRequest>,
    incoming_bodies: Slab<IncomingBody>,
    responses: Slab<OutgoingResponse>,
    outgoing_bodies: Slab<BodyWriter>,
    outparams: Slab<Arc<AnswerSlot>>,
    /// The future trailers of the request's body, in the table of wasmtime: the last that were asked for.
    finished: Option<u32>,
    /// What the headers in `fields` and `responses` take, or more.
    fields_bytes: usize,
    /// How many of `responses` have a body.
    answers_unsent: u32,
    /// How many requests the guest has made and not sent; they are in the table of wasmtime.
    requests_unsent: u32,
}

impl Tables {
    /// Takes a request, and makes the resources that a handler is called with.
    ///
    /// # Errors
    /// When the request names no host.
    pub(super) fn begin(
        &mut self,
        request: Request<WasiBody>,
        slot: Arc<AnswerSlot>,
    ) -> wasmtime::Result<(
        Resource<HostIncomingRequest>,
        Resource<HostResponseOutparam>,
    )> {
        let request = IncomingRequest::new(request)?;
        let request = Resource::new_own(insert(&mut self.requests, request)?);
        let outparam = Resource::new_own(insert(&mut self.outparams, slot)?);
        Ok((request, outparam))
    }

    /// Counts `bytes` of headers more.
    ///
    /// # Errors
    /// When they are more than a store may hold.
    fn hold_fields(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.fields_bytes += bytes; // at most 128 KiB for each handle
        if self.fields_bytes > FIELDS_HELD_BYTES_MAX {
            return Err(holds_too_much(format_args!(
                "headers of {} MiB in its fields",
                FIELDS_HELD_BYTES_MAX >> 20
            )));
        }
        Ok(())
    }

    /// Takes a response out of the table, with what it counted for.
    fn remove_response(&mut self, number: u32) -> wasmtime::Result<OutgoingResponse> {
        let response = remove(&mut self.responses, number)?;
        self.fields_bytes -= response.headers.bytes;
        self.answers_unsent -= u32::from(response.body.is_some());
        Ok(response)
    }

    /// Takes `fields` out of the table, with what they counted for.
    fn remove_fields(&mut self, number: u32) -> wasmtime::Result<Fields> {
        let fields = remove(&mut self.fields, number)?;
        self.fields_bytes -= fields.bytes();
        Ok(fields)
    }
}

/// Adds one to what is `held`.
///
/// # Errors
/// When those are more than `most`.
fn hold(held: &mut u32, most: u32, what: &str) -> wasmtime::Result<()> {
    *held += 1;
    if *held > most {
        return Err(holds_too_much(format_args!("{most} {what}")));
    }
    Ok(())
}

/// Ends a guest that has the host hold memory for it, outside of the memory that it is given.
fn holds_too_much(what: std::fmt::Arguments<'_>) -> wasmtime::Error {
    let text = format!("the component holds more than {what}, which is the most at a time");
    CallError::new(ErrorClass::Trap, text).into()
}

/// Adds the interfaces to a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let options = LinkOptions::default();
    http::types::add_to_linker::<_, Served>(linker, &(&options).into(), State::served)?;
    http::outgoing_handler::add_to_linker::<_, Served>(linker, State::served)
}

struct Served;

impl HasData for Served {
    type Data<'a> = ServedView<'a>;
}

/// What the host functions work on.
pub(crate) struct ServedView<'a> {
    pub(crate) tables: &'a mut Tables,
    /// For what wasmtime-wasi-http does.
    pub(crate) other: WasiHttpCtxView<'a>,
}

impl ServedView<'_> {
    /// Ends what a guest that has returned left open: nobody writes those bodies any more, and nobody
    /// reads those of its request. Returns whether that is possible: a body that the guest was reading
    /// lasts for as long as its instance, and has its connection wait.
    pub(super) fn end(&mut self) -> bool {
        let tables = &mut *self.tables;
        for (_, body) in &mut tables.outgoing_bodies {
            body.forsake();
        }
        for (_, request) in &mut tables.requests {
            request.abandon_body();
        }
        let bodies = tables.incoming_bodies.iter_mut();
        let bodies_read = bodies.filter_map(|(_, body)| body.abandon().err()).count();
        let finished = tables.finished.take().map(Resource::new_borrow);
        let is_read = |it| {
            matches!(
                self.other.table.get(&it),
                Ok(HostFutureTrailers::Waiting(_))
            )
        };
        bodies_read == 0 && !finished.is_some_and(is_read)
    }

    /// Takes `fields` out of our table, for wasmtime-wasi-http or for good.
    fn take_fields(&mut self, fields: &Resource<FieldMap>) -> wasmtime::Result<HeldMap> {
        let fields = self.tables.remove_fields(fields.rep())?;
        Ok(fields.into_map(self.other.hooks))
    }

    /// Takes fields that wasmtime-wasi-http made into our table.
    fn adopt_fields(&mut self, fields: Resource<FieldMap>) -> wasmtime::Result<Resource<FieldMap>> {
        let map = self.other.table.delete(fields)?;
        self.push_fields(Fields::Map(HeldMap::of(map)))
    }

    fn push_fields(&mut self, fields: Fields) -> wasmtime::Result<Resource<FieldMap>> {
        self.tables.hold_fields(fields.bytes())?;
        Ok(Resource::new_own(insert(&mut self.tables.fields, fields)?))
    }
}

fn insert<T>(table: &mut Slab<T>, it: T) -> wasmtime::Result<u32> {
    let number = u32::try_from(table.insert(it)).ok();
    Ok(number
        .filter(|number| number & OURS == 0)
        .ok_or(ResourceTableError::Full)?)
}

fn get<T>(table: &Slab<T>, number: u32) -> wasmtime::Result<&T> {
    Ok(table
        .get(number as usize)
        .ok_or(ResourceTableError::NotPresent)?)
}

fn get_mut<T>(table: &mut Slab<T>, number: u32) -> wasmtime::Result<&mut T> {
    Ok(table
        .get_mut(number as usize)
        .ok_or(ResourceTableError::NotPresent)?)
}

fn remove<T>(table: &mut Slab<T>, number: u32) -> wasmtime::Result<T> {
    Ok(table
        .try_remove(number as usize)
        .ok_or(ResourceTableError::NotPresent)?)
}

/// Returns the place in our table of a resource whose type has resources in both.
fn ours<T>(resource: &Resource<T>) -> Option<u32> {
    let number = resource.rep();
    (number & OURS != 0).then_some(number & !OURS)
}

impl types::Host for ServedView<'_> {
    fn convert_error_code(
        &mut self,
        error: wasmtime_wasi_http::p2::HttpError,
    ) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn convert_header_error(
        &mut self,
        error: wasmtime_wasi_http::p2::HeaderError,
    ) -> wasmtime::Result<types::HeaderError> {
        error.downcast()
    }

    fn http_error_code(
        &mut self,
        error: Resource<types::IoError>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        types::Host::http_error_code(&mut self.other, error)
    }
}
