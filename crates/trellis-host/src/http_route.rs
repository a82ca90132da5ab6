//! From a request, at the gateway or of a component of this host, to what answers it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use trellis_capabilities::http_client::{LocalFailure, LocalService};
use trellis_core::{ComponentId, ErrorClass};
use trellis_engine::{Admitted, CallError, ComponentHandle, OutgoingError, WasiBody};
use trellis_gateway::{
    BodyError, Handler, HandlerFuture, REQUEST_ID, Refusal, RequestBody, ResponseBody,
};

/// The body of a request that a component of this host makes, and of the answer to it.
type LocalBody = trellis_capabilities::http_client::RequestBody;

/// What answers the requests of a route, wherever they come from.
pub(crate) trait HttpEntrance: Handler + LocalService {
    /// Returns the component that answers.
    fn component(&self) -> &ComponentId;
}

/// Serves a route with a component of this host.
pub(crate) struct HttpRoute {
    pub(crate) component: Arc<ComponentHandle>,
}

impl Handler for HttpRoute {
    fn call(&self, request: Request<RequestBody>) -> HandlerFuture {
        let component = self.component.clone();
        match component.try_admit() {
            // The guest's work is begun here, so that what is boxed next is small.
            Ok(Some(admitted)) => {
                let id = request.headers().get(REQUEST_ID).cloned();
                let handling = admitted.handle_http(request.map(into_guest));
                Box::pin(async move { finish(&component, id.as_ref(), handling.await) })
            }
            Ok(None) => Box::pin(async move {
                let admitted = component.admit().await;
                answer(&component, admitted, request).await
            }),
            Err(error) => Box::pin(async move { answer(&component, Err(error), request).await }),
        }
    }
}

/// Answers a request of a client with a component that has room for it, or says why it has none.
async fn answer(
    component: &ComponentHandle,
    admitted: Result<Admitted, CallError>,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, Refusal> {
    let id = request.headers().get(REQUEST_ID).cloned();
    let answered = match admitted {
        Ok(admitted) => admitted.handle_http(request.map(into_guest)).await,
        Err(error) => Err(error),
    };
    finish(component, id.as_ref(), answered)
}

/// Makes of what a component answered what its client gets.
fn finish(
    component: &ComponentHandle,
    id: Option<&HeaderValue>,
    answered: Result<Response<trellis_engine::ResponseBody>, CallError>,
) -> Result<Response<ResponseBody>, Refusal> {
    match answered {
        Ok(response) => Ok(response.map(into_client)),
        Err(error) => {
            log(component.id(), id, error.class, error.message());
            Err(refusal(error.class))
        }
    }
}

impl LocalService for HttpRoute {
    fn call(
        &self,
        request: Request<LocalBody>,
    ) -> BoxFuture<'static, Result<Response<LocalBody>, LocalFailure>> {
        let component = self.component.clone();
        Box::pin(async move { answer_local(component.admit().await, request).await })
    }
}

/// Answers a request of a component of this host, as [`answer`] does those of clients.
async fn answer_local(
    admitted: Result<Admitted, CallError>,
    request: Request<LocalBody>,
) -> Result<Response<LocalBody>, LocalFailure> {
    let request =
        request.map(|body| WasiBody::new(body.map_err(|_| OutgoingError::ConnectionTerminated)));
    let answered = match admitted {
        Ok(admitted) => admitted.handle_http(request).await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(response) => {
            Ok(response
                .map(|body| LocalBody::new(body.map_err(|error| format!("{error:?}").into()))))
        }
        Err(error) => Err(LocalFailure {
            class: error.class,
            message: error.message().to_owned(),
        }),
    }
}

impl HttpEntrance for HttpRoute {
    fn component(&self) -> &ComponentId {
        self.component.id()
    }
}

/// Serves a route with a component of this host, and with one elsewhere what this host would refuse.
pub(crate) struct HttpOverflow {
    pub(crate) here: HttpRoute,
    pub(crate) elsewhere: Arc<dyn HttpEntrance>,
}

impl Handler for HttpOverflow {
    fn call(&self, request: Request<RequestBody>) -> HandlerFuture {
        let (component, elsewhere) = (self.here.component.clone(), self.elsewhere.clone());
        Box::pin(async move {
            match component.admit().await {
                Err(error) if error.class == ErrorClass::Overloaded => {
                    Handler::call(&*elsewhere, request).await
                }
                admitted => answer(&component, admitted, request).await,
            }
        })
    }
}

impl LocalService for HttpOverflow {
    fn call(
        &self,
        request: Request<LocalBody>,
    ) -> BoxFuture<'static, Result<Response<LocalBody>, LocalFailure>> {
        let (component, elsewhere) = (self.here.component.clone(), self.elsewhere.clone());
        Box::pin(async move {
            match component.admit().await {
                Err(error) if error.class == ErrorClass::Overloaded => {
                    LocalService::call(&*elsewhere, request).await
                }
                admitted => answer_local(admitted, request).await,
            }
        })
    }
}

impl HttpEntrance for HttpOverflow {
    fn component(&self) -> &ComponentId {
        self.here.component()
    }
}

fn into_guest(body: RequestBody) -> WasiBody {
    if body.is_end_stream() {
        return WasiBody::new(Empty::new().map_err(|never| match never {}));
    }
    WasiBody::new(body.map_err(body_error))
}

/// Names the failure of a request body as `wasi:http` does.
fn body_error(error: BodyError) -> OutgoingError {
    match error {
        BodyError::TooLarge { .. } => OutgoingError::HttpRequestBodySize(None),
        BodyError::TooSlow { .. } => OutgoingError::ConnectionReadTimeout,
        _ => OutgoingError::ConnectionTerminated,
    }
}

fn into_client(body: trellis_engine::ResponseBody) -> ResponseBody {
    match body.into_whole() {
        Ok(bytes) => ResponseBody::Full(bytes),
        Err(body) => ResponseBody::boxed(body.map_err(|error| format!("{error:?}"))),
    }
}

/// A client learns the class; the cause is for the operator's log, found by the request's id.
pub(crate) fn refusal(class: ErrorClass) -> Refusal {
    Refusal::new(
        class,
        match class {
            ErrorClass::Trap => "the component failed",
            ErrorClass::Deadline => "the component did not answer in time",
            ErrorClass::Cancelled => "the request was cancelled",
            ErrorClass::Unavailable => "the component cannot answer now",
            ErrorClass::Overloaded => "the component has too many requests",
            ErrorClass::Denied => "a policy forbids this request",
        },
    )
}

pub(crate) fn log(
    component: &ComponentId,
    id: Option<&HeaderValue>,
    error: ErrorClass,
    message: &str,
) {
    let request_id = id.and_then(|id| id.to_str().ok());
    let (component_id, class) = (component.as_str(), error.name());
    // Overload is logged by its counters; a line for each refused request would add to the load.
    if error == ErrorClass::Overloaded {
        tracing::debug!(component_id, request_id, class, "{message}");
    } else {
        tracing::warn!(component_id, request_id, class, "{message}");
    }
}
