//! A component elsewhere in the lattice that answers HTTP, as what answers a route here:
//! `wrpc:http/incoming-handler@0.1.0`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
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
use super::http_replay::{KEPT_BYTES_MAX, Replay};
use super::http_service::{FUNCTION, INTERFACE};
use crate::blueprint::Retry;
use crate::http_route::{self, HttpEntrance};
use crate::node::runners::{Addresses, Failed, OtherHost, Runners, Way};

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
    addresses: Addresses,
    runners: Arc<Runners>,
    way: Way,
    deadline: Duration,
}

/// A request with everything that another attempt needs.
struct Asked<B> {
    method: Method,
    params: Bytes,
    body: Outgoing<Replay<B>>,
    /// The same body, to begin it again.
    replay: Replay<B>,
    deadline: Instant,
    retry: Retry,
}

impl RemoteHttp {
    /// Addresses the component at the end of a link, whose answers may take `deadline`. Nothing is sent
    /// yet.
    ///
    /// # Errors
    /// A name that no subject can have.
    pub fn new(client: Client, ends: LinkEnds, deadline: Duration) -> Result<Self, SubjectError> {
        Self::among(client, ends, deadline, (Arc::default(), Way::Anybody))
    }

    /// Addresses it as [`Self::new`] does. Requests go `way`, where `runners` are those other hosts that are
    /// known to run the component.
    ///
    /// # Errors
    /// As there.
    pub(in crate::node) fn among(
        client: Client,
        ends: LinkEnds,
        deadline: Duration,
        (runners, way): (Arc<Runners>, Way),
    ) -> Result<Self, SubjectError> {
        Ok(Self {
            link: Arc::new(Link {
                client,
                headers: ends.headers(),
                addresses: Addresses::new(ends.function(INTERFACE, FUNCTION)?),
                ends,
                runners,
                way,
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
    /// Where a host has no room for it another is asked. Where the host that worked on it is lost, it is sent
    /// once more if its method says that it changes nothing.
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
        let kept_bytes_max = match self.link.way {
            Way::Others => KEPT_BYTES_MAX,
            Way::Anybody => 0, // the first is not known to be full
        };
        let replay = Replay::new(body, kept_bytes_max);
        let body = timeout_at(deadline.into(), Outgoing::new(replay.clone())).await;
        let body = body.unwrap_or_else(|_| Err(late_request()))?;
        let params = http_head::write_request(&head, body.inline()).into();
        let retry = match head.method.is_safe() && body.is_whole() {
            true => Retry::Idempotent,
            false => Retry::Never,
        };
        let asked = Asked {
            method: head.method,
            params,
            body,
            replay,
            deadline,
            retry,
        };
        match self.link.way {
            Way::Anybody => self.ask_anybody(&asked).await,
            Way::Others => self.ask_others(&asked).await,
        }
    }

    /// Sends a request to whoever NATS chooses; where that one is full or lost, to the others that are known.
    async fn ask_anybody<B: Sendable>(&self, asked: &Asked<B>) -> Answer {
        let anybody = self.link.addresses.anybody();
        let error = match self.attempt(anybody, asked).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let attempt = |host: Option<Arc<OtherHost>>| -> BoxFuture<'_, Answer> {
            Box::pin(async move {
                match host {
                    Some(host) => self.attempt_at(&host, asked).await,
                    None => self.attempt(anybody, asked).await,
                }
            })
        };
        let may_begin_again = || asked.may_begin_again();
        let runners = &self.link.runners;
        runners
            .again(error, asked.retry, attempt, may_begin_again)
            .await
    }

    /// Sends a request to the other hosts that run the component, one after the other, until one has room.
    async fn ask_others<B: Sendable>(&self, asked: &Asked<B>) -> Answer {
        let mut lost = None;
        for host in self.link.runners.in_turn(None) {
            let error = match self.attempt_at(&host, asked).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let failed = Failed::of(&error, asked.retry);
            match failed {
                Failed::Refused if asked.may_begin_again() => {}
                Failed::Lost if lost.is_none() => lost = Some(error),
                _ => return Err(error),
            }
        }
        // Hosts of 1.x have no subject of their own. NATS may choose this host again.
        if self.link.runners.has_unaddressed() {
            match self.attempt(self.link.addresses.anybody(), asked).await {
                Err(error) if Failed::of(&error, Retry::Never) == Failed::Refused => {}
                answer => return answer,
            }
        }
        Err(lost.unwrap_or_else(no_room))
    }

    async fn attempt_at<B: Sendable>(&self, host: &Arc<OtherHost>, asked: &Asked<B>) -> Answer {
        let target = self.link.addresses.at(host)?;
        let answer = self.attempt(&target, asked).await;
        answer.inspect_err(|error| host.failed(error, &self.link.client))
    }

    /// Sends a request, from its beginning, and waits for the head of its response.
    async fn attempt<B: Sendable>(&self, target: &Target, asked: &Asked<B>) -> Answer {
        let options = CallOptions {
            headers: self.link.headers.clone(),
            params: match asked.body.channels() {
                Channels::None => ParamStreams::None,
                Channels::Body | Channels::Both => ParamStreams::Follow,
            },
            takers: self.link.runners.takers(),
            ..CallOptions::new(asked.deadline.saturating_duration_since(Instant::now()))
        };
        let params = asked.params.clone();
        let call = self.link.client.invoke(target, params, options).await?;
        let call = Arc::new(call);
        let mut sending = sending(&call, asked.body.clone());
        match answered(&call, &asked.method).await {
            Ok(response) => {
                asked.replay.forget();
                Ok(response.map(|body| body.beside(sending)))
            }
            Err(error) => {
                // The next attempt begins where nobody reads any more.
                sending.shutdown().await;
                Err(error)
            }
        }
    }
}

/// What a request comes to.
type Answer = Result<Response<ChannelBody>, CallError>;

/// The body of a request that can be sent.
trait Sendable: Body<Data = Bytes, Error: std::fmt::Display + Send> + Send + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error: std::fmt::Display + Send> + Send + Unpin + 'static> Sendable
    for B
{
}

impl<B: Sendable> Asked<B> {
    /// Begins the body again. Returns whether that can be had.
    fn may_begin_again(&self) -> bool {
        self.body.is_whole() || self.replay.rewind()
    }
}

/// Waits for the head of the response to a request.
async fn answered(call: &Arc<trellis_wrpc::Call>, method: &Method) -> Answer {
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
    let length = http_bodies::response_length(method, found.head.status, &found.head.headers);
    let body = ChannelBody::new(&mut found, length, |path| call.result_reader(path));
    Ok(Response::from_parts(found.head, body))
}

/// Says that a request was given to nobody.
fn no_room() -> CallError {
    CallError::before_start(
        ErrorClass::Overloaded,
        "no other host that is known to run the component has room",
    )
}

/// Says that the time was over before the request was complete; nobody was asked yet.
fn late_request() -> CallError {
    CallError::before_start(ErrorClass::Deadline, "the request did not come in time")
}

/// Begins to send what does not travel with the head. A failure needs no report here: the answer tells
/// what came of it, and a reader that wants no more is none.
fn sending<B: Sendable>(call: &Arc<trellis_wrpc::Call>, body: Outgoing<B>) -> JoinSet<()> {
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
