//! HTTP requests into a component.

pub(crate) mod bodies;
mod body_pipe;
pub(crate) mod concurrent;
mod content_length;
mod response_body;
mod sequential;
pub(crate) mod served;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, HeaderName, Method, Request, Response};
use wasmtime_wasi_http::WasiBody;

pub use response_body::ResponseBody;

use self::content_length::declared_length;
use crate::call::count;
use crate::call_error::CallError;
use crate::component::{ComponentHandle, Generation, Permit};
use crate::figures::Tally;
use crate::guarded::Deadline;
use crate::instance_pool::HttpExport;

/// The header that carries the request's id. Whoever accepts the request sets it.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl ComponentHandle {
    /// Serves `request` with an instance of the component.
    ///
    /// The request must have an authority, in its URI or as a `host` header. The guest runs on the
    /// caller's task as far as it can.
    ///
    /// # Errors
    /// By class: unavailable when the component is not running or does not answer HTTP, overloaded
    /// when its queue is full, deadline and trap when it went over a limit or failed.
    ///
    /// # Cancel safety
    /// Dropping the future or the response body ends the guest's work for this request.
    pub async fn handle_http(
        &self,
        request: Request<WasiBody>,
    ) -> Result<Response<ResponseBody>, CallError> {
        self.admit().await?.handle_http(request).await
    }

    /// Takes room for one call if there is some now.
    ///
    /// # Errors
    /// Unavailable when the component is not running.
    pub fn try_admit(&self) -> Result<Option<Admitted>, CallError> {
        let generation = self.require()?;
        let deadline = Deadline::start(generation.pool.limits().deadline);
        let permit = Permit::try_enter(&generation, deadline);
        Ok(permit.map(|permit| Admitted { permit, deadline }))
    }

    /// Waits for room for one call, as long as a call may wait.
    ///
    /// # Errors
    /// Unavailable when the component is not running, overloaded when its queue is full, deadline when
    /// no room came in time.
    ///
    /// # Cancel safety
    /// A caller that goes away while it waits leaves the queue.
    pub async fn admit(&self) -> Result<Admitted, CallError> {
        let generation = self.require()?;
        let deadline = Deadline::start(generation.pool.limits().deadline);
        let permit = Permit::enter(generation, deadline).await?;
        Ok(Admitted { permit, deadline })
    }
}

/// Room for one call of a component, whose time runs. Dropping it gives the room back.
pub struct Admitted {
    permit: Permit,
    deadline: Deadline,
}

impl Admitted {
    /// Serves `request`; see [`ComponentHandle::handle_http`].
    ///
    /// # Errors
    /// As there, but for those of admission.
    ///
    /// # Cancel safety
    /// Dropping the future or the response body ends the guest's work for this request.
    pub fn handle_http(self, request: Request<WasiBody>) -> Handling {
        let Self {
            mut permit,
            deadline,
        } = self;
        let tally = permit.take_tally();
        let is_head = *request.method() == Method::HEAD;
        let inner = match permit.generation.pool.http() {
            Some(HttpExport::P2(_)) => {
                Inner::Sequential(sequential::serve(permit, deadline, request))
            }
            Some(HttpExport::P3(_)) => {
                Inner::Concurrent(Box::pin(concurrent::serve(permit, deadline, request)))
            }
            None => Inner::Failed(Some(serves_no_http(&permit.generation))),
        };
        Handling {
            inner,
            tally,
            is_head,
        }
    }
}

/// A request that a component is answering.
#[must_use = "a request is served by those who wait for it"]
pub struct Handling {
    inner: Inner,
    /// Counts the call, until its response has it.
    tally: Option<Tally>,
    is_head: bool,
}

enum Inner {
    Sequential(sequential::Serving),
    Concurrent(Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, CallError>> + Send>>),
    Failed(Option<CallError>),
}

impl Future for Handling {
    type Output = Result<Response<ResponseBody>, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(match &mut self.inner {
            Inner::Sequential(serving) => Pin::new(serving).poll(context),
            Inner::Concurrent(serving) => serving.as_mut().poll(context),
            Inner::Failed(error) => {
                Poll::Ready(Err(error.take().expect("an answer is polled for once")))
            }
        });
        Poll::Ready(match (response, self.tally.take()) {
            (Ok(response), Some(tally)) => Ok(counted(response, tally, self.is_head)),
            (response, tally) => {
                count(tally, &response);
                response
            }
        })
    }
}

/// Counts a call until the body of its response has ended.
fn counted(
    response: Response<ResponseBody>,
    tally: Tally,
    is_head: bool,
) -> Response<ResponseBody> {
    let (head, body) = response.into_parts();
    let has_body = !is_head && !matches!(head.status.as_u16(), 204 | 304);
    let length = || declared_length(&head.headers).ok().flatten();
    let body = body.counted(tally, has_body, length);
    Response::from_parts(head, body)
}

fn serves_no_http(generation: &Generation) -> CallError {
    CallError::new(
        trellis_core::ErrorClass::Unavailable,
        format!(
            "component {} exports no wasi:http handler; its exports are {}",
            generation.id,
            generation.compiled().exports().join(", ")
        ),
    )
}

/// Returns the id of a request.
fn request_id(headers: &HeaderMap) -> Option<::http::HeaderValue> {
    headers.get(&REQUEST_ID).cloned()
}
