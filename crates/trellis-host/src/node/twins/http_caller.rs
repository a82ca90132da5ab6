//! A component elsewhere in the lattice that answers HTTP, as what answers a route here:
//! `wrpc:http/incoming-handler@0.1.0`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tracing::Instrument as _;
use trellis_capabilities::http_client::{LocalFailure, LocalService};
use trellis_core::{ComponentId, ErrorClass};
use trellis_gateway::{Handler, HandlerFuture, REQUEST_ID, RequestBody, ResponseBody};
use trellis_wire::twins::from_wire;
use trellis_wire::twins::http::HandleResult;
use trellis_wrpc::{CallError, CallOptions, Client, Headers, ParamStreams, SubjectError, Target};

use super::LinkEnds;
use super::http_bodies::{self, ChannelBody, Channels, Outgoing};
use super::http_head;
use super::http_service::{FUNCTION, INTERFACE};
use crate::http_route::{self, HttpEntrance};

/// The longest that a request may take, its bodies included, unless its link says less: the longest
/// execution that hosts of wasmCloud 1.x allow by default. Hosts of ours end theirs sooner, by the limits
/// of the component.
pub(crate) const REQUEST_DEADLINE: Duration = Duration::from_secs(600);

/// A component elsewhere, as one link of an HTTP server reaches it. Cheap to clone.
#[derive(Clone)]
pub struct RemoteHttp {
    link: Arc<Link>,
}

struct Link {
    client: Client,
    ends: LinkEnds,
    headers: Headers,
    target: Target,
    deadline: Duration,
}

impl RemoteHttp {
    /// Addresses the component at the end of a link, whose answers may take `deadline`. Nothing is sent
    /// yet.
    ///
    /// # Errors
    /// A name that no subject can have.
    pub fn new(client: Client, ends: LinkEnds, deadline: Duration) -> Result<Self, SubjectError> {
        Ok(Self {
            link: Arc::new(Link {
                client,
                headers: ends.headers(),
                target: ends.function(INTERFACE, FUNCTION)?,
                ends,
                deadline: deadline.min(REQUEST_DEADLINE),
            }),
        })
    }

    /// Returns the ends of the link.
    pub fn ends(&self) -> &LinkEnds {
        &self.link.ends
    }

    /// Sends a request and waits for the head of its response. What is left of the request's body is sent
    /// as long as the response is kept.
    ///
    /// # Errors
    /// What the component or its host answered, or what kept an answer from coming.
    ///
    /// # Cancel safety
    /// Dropping the future or the body of the response cancels the call.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<ChannelBody>, CallError>
    where
        B: Body<Data = Bytes, Error: std::fmt::Display + Send> + Send + Unpin + 'static,
    {
        let deadline = Instant::now() + self.link.deadline;
        let (head, body) = request.into_parts();
        let body = timeout_at(deadline.into(), Outgoing::new(body)).await;
        let body = body.unwrap_or_else(|_| Err(late_request()))?;
        let params = http_head::write_request(&head, body.inline());
        let options = CallOptions {
            headers: self.link.headers.clone(),
            params: match body.channels() {
                Channels::None => ParamStreams::None,
                Channels::Body | Channels::Both => ParamStreams::Follow,
            },
            ..CallOptions::new(deadline.saturating_duration_since(Instant::now()))
        };
        let target = &self.link.target;
        let call = self
            .link
            .client
            .invoke(target, params.into(), options)
            .await?;
        let call = Arc::new(call);
        let sending = sending(&call, body);
        let result = call.result_until(http_head::has_response).await?;
        let mut found = match from_wire::<HandleResult<'_>>(&result) {
            Ok(Ok(response)) => http_head::response(&result, response)
                .map_err(|error| CallError::new(ErrorClass::Trap, error.to_string()))?,
            Ok(Err(code)) => {
                let text = format!("the answer is the error {code:?}");
                return Err(CallError::new(http_head::class_of(&code), text));
            }
            Err(error) => {
                let text = format!("the answer cannot be read: {error}");
                return Err(CallError::new(ErrorClass::Trap, text));
            }
        };
        let length =
            http_bodies::response_length(&head.method, found.head.status, &found.head.headers);
        let body = ChannelBody::new(&mut found, length, |path| call.result_reader(path));
        Ok(Response::from_parts(found.head, body.beside(sending)))
    }
}

/// Says that the time was over before the request was complete; nobody was asked yet.
fn late_request() -> CallError {
    CallError::before_start(ErrorClass::Deadline, "the request did not come in time")
}

/// Begins to send what does not travel with the head. A failure needs no report here: the answer tells
/// what came of it, and a reader that wants no more is none.
fn sending<B>(call: &Arc<trellis_wrpc::Call>, body: Outgoing<B>) -> JoinSet<()>
where
    B: Body<Data = Bytes, Error: std::fmt::Display + Send> + Send + Unpin + 'static,
{
    let mut sending = JoinSet::new();
    if body.channels() != Channels::None {
        let call = call.clone();
        let work = async move {
            if let Err(error) = body.send(|path| call.param_writer(path)).await {
                tracing::debug!(%error, "the body of a request was not sent to its end");
            }
        };
        sending.spawn(work.in_current_span());
    }
    sending
}

impl Handler for RemoteHttp {
    fn call(&self, request: Request<RequestBody>) -> HandlerFuture {
        let remote = self.clone();
        Box::pin(async move {
            let id = request.headers().get(REQUEST_ID).cloned();
            match remote.send(request).await {
                Ok(response) => Ok(response.map(into_client)),
                Err(error) => {
                    let (class, message) = (error.class(), error.message());
                    http_route::log(remote.component(), id.as_ref(), class, message);
                    Err(http_route::refusal(class))
                }
            }
        })
    }
}

fn into_client(mut body: ChannelBody) -> ResponseBody {
    match body.take_whole() {
        Some(bytes) => ResponseBody::Full(bytes),
        None => ResponseBody::boxed(body),
    }
}

/// The body of a request that a component of this host makes, and of the answer to it.
type LocalBody = trellis_capabilities::http_client::RequestBody;

impl LocalService for RemoteHttp {
    fn call(
        &self,
        request: Request<LocalBody>,
    ) -> BoxFuture<'static, Result<Response<LocalBody>, LocalFailure>> {
        let remote = self.clone();
        Box::pin(async move {
            match remote.send(request).await {
                Ok(response) => Ok(response.map(|body| LocalBody::new(body.map_err(Into::into)))),
                Err(error) => Err(LocalFailure {
                    class: error.class(),
                    message: error.message().to_owned(),
                }),
            }
        })
    }
}

impl HttpEntrance for RemoteHttp {
    fn component(&self) -> &ComponentId {
        &self.link.ends.target
    }
}
