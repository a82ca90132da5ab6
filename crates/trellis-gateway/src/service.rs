//! The path of one request: check, route, admit, hand over, and make the answer fit to send.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use trellis_core::ErrorClass;

use crate::connection::{Admission, Connection};
use crate::http2_watch::Http2Watch;
use crate::refusal::{Refusal, Rejection};
use crate::request_body::{BODY_TOO_LARGE, BodyFault, RequestBody};
use crate::request_id::{REQUEST_ID, RequestIds};
use crate::response_body::{OutgoingBody, ResponseBody};
use crate::routes::{HandlerFuture, Route};
use crate::{request_head, response_head};

/// What a client hears when no route fits; the same for a wrong host and a wrong path.
const NOT_FOUND: Rejection = Rejection {
    status: StatusCode::NOT_FOUND,
    text: "not found: no application answers for this host and path\n",
    close: false,
};

/// Answers the requests of one connection.
pub(crate) struct Service {
    connection: Arc<Connection>,
    ids: RequestIds,
    /// HTTP/2 only.
    watch: Option<Arc<Http2Watch>>,
}

impl Service {
    pub(crate) fn new(connection: Arc<Connection>, watch: Option<Arc<Http2Watch>>) -> Self {
        let ids = RequestIds::new(connection.server().process_number(), connection.number());
        Self {
            connection,
            ids,
            watch,
        }
    }

    /// Takes `request` as far as its handler's future, or says why it is not taken.
    fn begin(
        &self,
        mut request: Request<Incoming>,
        id: &HeaderValue,
    ) -> Result<Handling, Declined> {
        let limits = self.connection.limits();
        let census = request_head::check(&request, limits)?;
        let host = request_head::host(&request)?;
        if request.body().size_hint().lower() > limits.request_body_bytes_max {
            return Err(BODY_TOO_LARGE.into());
        }
        let routes = self.connection.server().routes();
        let route = routes.find(host, request.uri().path()).ok_or(NOT_FOUND)?;
        let Some(admission) = self.connection.admit() else {
            return Err(Declined::Refused(Refusal::new(
                ErrorClass::Overloaded,
                "too many requests at once on this host",
            )));
        };
        request_head::clean(&mut request, census, self.connection.peer_is_trusted());
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let method_is_head = response_head::is_head(request.method());
        let fault = (!request.body().is_end_stream()).then(Arc::<BodyFault>::default);
        let request = request
            .map(|body| RequestBody::new(body, self.connection.peer(), limits, fault.clone()));
        let future = call(route, request)?;
        Ok(Handling {
            future,
            fault,
            admission: Some(admission),
            method_is_head,
        })
    }
}

/// Calls the handler of `route`; a panic in it is its own failure, not that of the connection.
fn call(route: &Route, request: Request<RequestBody>) -> Result<HandlerFuture, Refusal> {
    catch_unwind(AssertUnwindSafe(|| route.handler.call(request))).map_err(|_| {
        tracing::error!(route = route.name, "a handler panicked");
        panicked()
    })
}

fn panicked() -> Refusal {
    Refusal::new(ErrorClass::Trap, "the handler of this request failed")
}

/// Why a request is not handed over.
enum Declined {
    Rejected(Rejection),
    Refused(Refusal),
}

impl From<Rejection> for Declined {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Refusal> for Declined {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<OutgoingBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let id = self.ids.id_for(request.headers().get(REQUEST_ID));
        let is_http1 = request.version() < Version::HTTP_2;
        let method_is_head = response_head::is_head(request.method());
        let mut envelope = Envelope {
            id,
            is_http1,
            watch: self.watch.clone(),
        };
        let state = match self.begin(request, &envelope.id) {
            Ok(handling) => State::Handling(handling),
            Err(declined) => {
                let answer = Answer::of_gateway(declined, method_is_head, &self.connection);
                State::Answered(Some(envelope.seal(
                    answer,
                    None,
                    self.connection.is_draining(),
                )))
            }
        };
        Answering { state, envelope }
    }
}

/// The future of one answer.
pub(crate) struct Answering {
    state: State,
    envelope: Envelope,
}

enum State {
    Handling(Handling),
    Answered(Option<Response<OutgoingBody>>),
}

struct Handling {
    future: HandlerFuture,
    fault: Option<Arc<BodyFault>>,
    admission: Option<Admission>,
    method_is_head: bool,
}

impl Future for Answering {
    type Output = Result<Response<OutgoingBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let response = match &mut this.state {
            State::Answered(response) => response.take().expect("an answer is polled for once"),
            State::Handling(handling) => {
                let answer = ready!(handling.poll_answer(cx));
                let admission = handling.admission.take();
                let draining = admission
                    .as_ref()
                    .is_some_and(|it| it.connection().is_draining());
                let response = this.envelope.seal(answer, admission, draining);
                // The handler's future ends now, not when the last byte of the answer is sent.
                this.state = State::Answered(None);
                response
            }
        };
        Poll::Ready(Ok(response))
    }
}

impl Handling {
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx)));
        let connection = self
            .admission
            .as_ref()
            .expect("held until answered")
            .connection();
        // A client that broke its own request hears that, whatever the handler makes of it.
        if let Some(rejection) = self.fault.as_ref().and_then(|fault| fault.rejection()) {
            let declined = rejection.into();
            return Poll::Ready(Answer::of_gateway(
                declined,
                self.method_is_head,
                connection,
            ));
        }
        let declined = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(mut response))) => {
                match response_head::check(&mut response, self.method_is_head, connection.limits())
                {
                    Ok(announced) => {
                        return Poll::Ready(Answer {
                            response,
                            announced,
                            close: false,
                        });
                    }
                    Err(rejection) => {
                        tracing::warn!(reason = rejection.text.trim_end(), "response refused");
                        rejection.into()
                    }
                }
            }
            Ok(Poll::Ready(Err(refusal))) => refusal.into(),
            Err(_) => {
                tracing::error!("a handler panicked");
                panicked().into()
            }
        };
        Poll::Ready(Answer::of_gateway(
            declined,
            self.method_is_head,
            connection,
        ))
    }
}

/// A response with what is known about sending it.
struct Answer {
    response: Response<ResponseBody>,
    announced: Option<u64>,
    close: bool,
}

impl Answer {
    fn of_gateway(declined: Declined, method_is_head: bool, connection: &Connection) -> Self {
        let (mut response, close) = match declined {
            Declined::Rejected(rejection) => (rejection.into_response(), rejection.close),
            Declined::Refused(refusal) => (
                refusal.into_response(connection.limits().retry_after),
                false,
            ),
        };
        if method_is_head {
            *response.body_mut() = ResponseBody::empty();
        }
        Self {
            response,
            announced: None,
            close,
        }
    }
}

/// What every answer on its way out gets.
struct Envelope {
    id: HeaderValue,
    is_http1: bool,
    watch: Option<Arc<Http2Watch>>,
}

impl Envelope {
    fn seal(
        &mut self,
        answer: Answer,
        admission: Option<Admission>,
        draining: bool,
    ) -> Response<OutgoingBody> {
        let Answer {
            mut response,
            announced,
            close,
        } = answer;
        let headers = response.headers_mut();
        headers.insert(
            REQUEST_ID,
            std::mem::replace(&mut self.id, HeaderValue::from_static("")),
        );
        if self.is_http1 && (close || draining) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let watch = self.watch.take();
        response.map(|body| OutgoingBody::new(body, announced, watch, admission))
    }
}
