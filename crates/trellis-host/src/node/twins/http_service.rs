//! A component of this host that answers HTTP, served to callers elsewhere:
//! `wrpc:http/incoming-handler@0.1.0`. The HTTP servers of wasmCloud 1.x call exactly this.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use trellis_control::HostId;
use trellis_core::{ComponentId, ErrorClass, LatticeName};
use trellis_engine::{CallError, ComponentHandle, OutgoingError, ResponseBody, WasiBody};
use trellis_wire::twins::http::{ErrorCode, IncomingParams};
use trellis_wire::twins::{from_wire, to_wire};
use trellis_wrpc::{Export, Handler, Invocation, Reply, ServeError, Served, Server};

use super::http_bodies::{self, BodyFault, ChannelBody, Channels, Outgoing};
use super::http_head;
use crate::node::serving::to_lattice;

/// The twin of `wasi:http/incoming-handler` and `wasi:http/handler`.
pub(super) const INTERFACE: &str = "wrpc:http/incoming-handler@0.1.0";
/// Its one function.
pub(super) const FUNCTION: &str = "handle";

/// What answers the requests that come over the lattice.
pub trait HttpAnswerer: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: std::fmt::Display + Send> + Send + Unpin + 'static;

    /// Answers `request`, whose URI is absolute.
    ///
    /// # Errors
    /// Why there is no answer, by class.
    fn answer(
        &self,
        request: Request<ChannelBody>,
    ) -> impl Future<Output = Result<Response<Self::Body>, CallError>> + Send;
}

impl HttpAnswerer for Arc<ComponentHandle> {
    type Body = ResponseBody;

    async fn answer(
        &self,
        request: Request<ChannelBody>,
    ) -> Result<Response<ResponseBody>, CallError> {
        let into_guest = |body: ChannelBody| WasiBody::new(body.map_err(|fault| name(&fault)));
        self.handle_http(request.map(into_guest)).await
    }
}

/// Names the failure of a request body as `wasi:http` does.
fn name(fault: &BodyFault) -> OutgoingError {
    match fault {
        BodyFault::Call(_) | BodyFault::Length { .. } => OutgoingError::ConnectionTerminated,
        _ => OutgoingError::HttpProtocolError,
    }
}

/// A component's HTTP in service. Dropping it takes it out.
pub struct HttpService {
    export: Export,
    handle: Served,
}

impl HttpService {
    /// Serves `answerer` as the component `id`. All hosts that serve the same share the requests.
    ///
    /// # Errors
    /// A connection that does not take the subscription.
    pub async fn open(
        server: &Server,
        lattice: &LatticeName,
        id: &ComponentId,
        answerer: impl HttpAnswerer,
    ) -> Result<Option<Self>, ServeError> {
        let export = Export::new(lattice.as_str(), id.as_str(), INTERFACE, FUNCTION);
        let export = match export {
            Ok(export) => export,
            Err(error) => {
                let component_id = id.as_str();
                tracing::warn!(component_id, %error, "HTTP is not served to other hosts");
                return Ok(None);
            }
        };
        let handle = server.serve(&export, ServedHttp::new(answerer)).await?;
        Ok(Some(Self { export, handle }))
    }

    /// Returns the subject of requests that are meant for `host` alone.
    pub(in crate::node) fn subject_at(&self, host: &HostId) -> Option<String> {
        self.export.subject_at(host.as_str()).ok()
    }

    /// Takes it out of service and waits until no more requests can come.
    pub async fn leave(self) {
        self.handle.leave().await;
    }
}

/// Answers requests that come over the lattice.
pub(in crate::node) struct ServedHttp<A> {
    answerer: A,
}

impl<A> ServedHttp<A> {
    pub(in crate::node) fn new(answerer: A) -> Self {
        Self { answerer }
    }
}

impl<A: HttpAnswerer> Handler for ServedHttp<A> {
    async fn handle(&self, invocation: Invocation) -> Result<Reply, trellis_wrpc::CallError> {
        let params = invocation.params_until(http_head::has_request).await?;
        let request = match read_request(&invocation, &params) {
            Ok(request) => request,
            Err(code) => return Ok(refusal(&code)),
        };
        let response = match self.answerer.answer(request).await {
            Ok(response) => response,
            Err(error) => {
                tell(&error, invocation.source_id());
                // Peers of 1.x know no errors but those of HTTP, which do not say whether anything ran.
                if invocation.is_of_ours() {
                    return Err(to_lattice(&error));
                }
                return Ok(refusal(&http_head::code_of(error.class, error.message())));
            }
        };
        let (head, body) = response.into_parts();
        let body = Outgoing::new(body).await?;
        let result = http_head::write_response(&head, body.inline());
        if body.channels() == Channels::None {
            return Ok(Reply::value(result));
        }
        let rest = async move { body.send(|path| invocation.result_writer(path)).await };
        Ok(Reply::with_rest(result, rest))
    }
}

/// Logs why there is no answer. Overload is not worth a line each: that would add to the load.
fn tell(error: &CallError, caller: Option<&str>) {
    let (class, message) = (error.class.name(), error.message());
    if error.class == ErrorClass::Overloaded {
        tracing::debug!(class, caller, "{message}");
    } else {
        tracing::warn!(class, caller, "{message}");
    }
}

fn read_request(
    invocation: &Invocation,
    params: &Bytes,
) -> Result<Request<ChannelBody>, ErrorCode> {
    let (request,): IncomingParams<'_> = from_wire(params).map_err(|error| {
        ErrorCode::InternalError(Some(format!("the request cannot be read: {error}")))
    })?;
    let mut found = http_head::request(params, request).map_err(http_head::code_of_head)?;
    let length = http_bodies::request_length(&found.head.headers);
    let body = ChannelBody::new(&mut found, length, |path| invocation.param_reader(path));
    Ok(Request::from_parts(found.head, body))
}

fn refusal(code: &ErrorCode) -> Reply {
    Reply::value(to_wire(&Err::<(), _>(code.clone())))
}
