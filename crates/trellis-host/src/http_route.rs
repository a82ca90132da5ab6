//! From a request at the gateway to a component.

use std::sync::Arc;

use http::Request;
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use trellis_core::ErrorClass;
use trellis_engine::{CallError, ComponentHandle, OutgoingError, WasiBody};
use trellis_gateway::{
    BodyError, Handler, HandlerFuture, REQUEST_ID, Refusal, RequestBody, ResponseBody,
};

/// Serves a route with a component.
pub(crate) struct HttpRoute {
    pub(crate) component: Arc<ComponentHandle>,
}

impl Handler for HttpRoute {
    fn call(&self, request: Request<RequestBody>) -> HandlerFuture {
        let component = self.component.clone();
        Box::pin(async move {
            let id = request.headers().get(REQUEST_ID).cloned();
            match component.handle_http(request.map(into_guest)).await {
                Ok(response) => Ok(response.map(into_client)),
                Err(error) => {
                    log(&component, id.as_ref(), &error);
                    Err(refusal(&error))
                }
            }
        })
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
fn refusal(error: &CallError) -> Refusal {
    Refusal::new(
        error.class,
        match error.class {
            ErrorClass::Trap => "the component failed",
            ErrorClass::Deadline => "the component did not answer in time",
            ErrorClass::Cancelled => "the request was cancelled",
            ErrorClass::Unavailable => "the component cannot answer now",
            ErrorClass::Overloaded => "the component has too many requests",
            ErrorClass::Denied => "a policy forbids this request",
        },
    )
}

fn log(component: &ComponentHandle, id: Option<&http::HeaderValue>, error: &CallError) {
    let request_id = id.and_then(|id| id.to_str().ok());
    let (component_id, class) = (component.id().as_str(), error.class.name());
    // Overload is logged by its counters; a line for each refused request would add to the load.
    if error.class == ErrorClass::Overloaded {
        tracing::debug!(component_id, request_id, class, "{}", error.message());
    } else {
        tracing::warn!(component_id, request_id, class, "{}", error.message());
    }
}
