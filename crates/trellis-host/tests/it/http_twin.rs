//! HTTP from one host to another, by its twin.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty, Full};
use tokio::sync::{mpsc, oneshot};
use trellis_core::{ErrorClass, LatticeName};
use trellis_engine::CallError;
use trellis_host::twins::{BodyFault, ChannelBody, HttpAnswerer, HttpService, RemoteHttp};
use trellis_tests::NatsServer;
use trellis_wire::dialect::StreamEncoder;
use trellis_wire::twins::http::{
    Body as WireBody, Fields, HandleResult, Method, Request as WireRequest, Scheme, Trailers,
};
use trellis_wire::twins::{from_wire, to_wire};
use trellis_wrpc::{CallOptions, IndexPath, Offer, ParamStreams, Returns, Target};

use crate::support::{Peer, ends, id, within};

const KIB: usize = 1 << 10;
const SOON: Duration = Duration::from_secs(20);

/// A body whose parts the test sends, which breaks off if the test says so.
struct Parts(mpsc::Receiver<Result<Frame<Bytes>, &'static str>>);

/// The end by which the test sends them. Dropping it ends the body.
type PartsSender = mpsc::Sender<Result<Frame<Bytes>, &'static str>>;

fn parts() -> (PartsSender, Parts) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Parts(receiver))
}

impl Body for Parts {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.0.poll_recv(context)
    }
}

/// A body that is there already.
fn of(parts: impl IntoIterator<Item = Result<Frame<Bytes>, &'static str>>) -> Parts {
    let parts: VecDeque<_> = parts.into_iter().collect();
    let (sender, receiver) = mpsc::channel(parts.len().max(1));
    for part in parts {
        sender.try_send(part).unwrap();
    }
    Parts(receiver)
}

fn data(bytes: impl Into<Bytes>) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(bytes.into()))
}

type AnswerBody = http_body_util::combinators::UnsyncBoxBody<Bytes, String>;
type Answered = Result<Response<AnswerBody>, CallError>;

fn boxed<B>(body: B) -> AnswerBody
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Send + 'static,
{
    body.map_err(|error| error.to_string()).boxed_unsync()
}

/// What stands for a component.
struct Answerer<F>(F);

impl<F> HttpAnswerer for Answerer<F>
where
    F: Fn(Request<ChannelBody>) -> BoxFuture<'static, Answered> + Send + Sync + 'static,
{
    type Body = AnswerBody;

    async fn answer(&self, request: Request<ChannelBody>) -> Answered {
        self.0(request).await
    }
}

/// A component `shop` on one host, and the HTTP server `web` of another.
struct Lab {
    caller: Peer,
    callee: Peer,
    service: HttpService,
    _nats: NatsServer,
}

impl Lab {
    async fn start<F, W>(answer: F) -> Self
    where
        F: Fn(Request<ChannelBody>) -> W + Send + Sync + 'static,
        W: Future<Output = Answered> + Send + 'static,
    {
        let nats = NatsServer::start();
        let callee = Peer::start(&nats, "a").await;
        let answerer = Answerer(move |request| answer(request).boxed());
        let lattice = LatticeName::default();
        let service = HttpService::open(&callee.server, &lattice, &id("shop"), answerer).await;
        callee.transport.settle().await.unwrap();
        Self {
            caller: Peer::start(&nats, "b").await,
            callee,
            service: service.unwrap().unwrap(),
            _nats: nats,
        }
    }

    fn remote(&self, target: &str, deadline: Duration) -> RemoteHttp {
        let client = self.caller.client.clone();
        RemoteHttp::new(client, ends("web", target), deadline).unwrap()
    }

    async fn send<B>(
        &self,
        request: Request<B>,
    ) -> Result<Response<ChannelBody>, trellis_wrpc::CallError>
    where
        B: Body<Data = Bytes, Error: std::fmt::Display + Send> + Send + Unpin + 'static,
    {
        within(self.remote("shop", SOON).send(request)).await
    }

    /// Waits until no call is open, as it must be when all is done.
    async fn is_idle(&self) {
        within(async {
            while self.caller.transport.calls_open() > 0 || self.callee.server.calls() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn post<B>(body: B) -> Request<B> {
    let request = Request::post("/cart?n=1").header("host", "shop.test");
    request.body(body).unwrap()
}

fn get() -> Request<Empty<Bytes>> {
    let request = Request::get("/").header("host", "shop.test");
    request.body(Empty::new()).unwrap()
}

async fn read(body: ChannelBody) -> Result<(Bytes, Option<HeaderMap>), BodyFault> {
    let collected = within(body.collect()).await?;
    let trailers = collected.trailers().cloned();
    Ok((collected.to_bytes(), trailers))
}

/// Answers with what was asked, part by part.
async fn echo(request: Request<ChannelBody>) -> Answered {
    let (head, body) = request.into_parts();
    let mut response = Response::new(boxed(body));
    let kept = head.headers.into_iter().filter_map(|(name, value)| {
        let name = name.filter(|name| name.as_str().starts_with("x-"))?;
        Some((name, value))
    });
    response.headers_mut().extend(kept);
    Ok(response)
}

#[tokio::test]
async fn a_small_request_and_its_answer_arrive_whole() {
    let lab = Lab::start(|request: Request<ChannelBody>| async move {
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "http://shop.test/cart?n=1");
        assert_eq!(request.headers()["x-user"], "7");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut response = Response::new(boxed(Full::new(body)));
        *response.status_mut() = StatusCode::CREATED;
        response
            .headers_mut()
            .append("set-cookie", "a=1".parse().unwrap());
        response
            .headers_mut()
            .append("set-cookie", "b=2".parse().unwrap());
        Ok(response)
    })
    .await;
    let mut request = post(Full::from("apples"));
    request.headers_mut().insert("x-user", "7".parse().unwrap());
    let response = lab.send(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    // All in one message.
    let whole = response.into_body().take_whole();
    assert_eq!(whole.as_deref(), Some(&b"apples"[..]));
    lab.is_idle().await;
}

#[tokio::test]
async fn what_only_reads_is_sent_again_when_its_host_is_lost_and_nothing_else_is() {
    let (begun, mut seen) = mpsc::unbounded_channel();
    let calls = AtomicUsize::new(0);
    let lab = Lab::start(move |_| {
        let is_first = calls.fetch_add(1, SeqCst).is_multiple_of(2);
        begun.send(()).unwrap();
        async move {
            match is_first {
                true => std::future::pending().await,
                false => Ok(Response::new(boxed(Full::from("again")))),
            }
        }
    })
    .await;
    let (answer, ()) = tokio::join!(lab.send(get()), lose_callee(&lab, &mut seen));
    let (body, _) = read(answer.unwrap().into_body()).await.unwrap();
    assert_eq!(body, "again");
    seen.recv().await.unwrap();

    let change = lab.send(post(of([data("apples")])));
    let (answer, ()) = tokio::join!(change, lose_callee(&lab, &mut seen));
    let error = answer.err().unwrap();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert!(error.may_have_run() && seen.try_recv().is_err());
}

/// Has the caller believe that the host is gone whose component has just begun to work.
async fn lose_callee(lab: &Lab, seen: &mut mpsc::UnboundedReceiver<()>) {
    seen.recv().await.unwrap();
    // Until the caller has heard who took its request.
    lab.callee.transport.settle().await.unwrap();
    lab.caller.transport.settle().await.unwrap();
    lab.caller.transport.peer_gone("a");
}

#[tokio::test]
async fn a_request_without_a_body_has_an_end() {
    let lab = Lab::start(|request: Request<ChannelBody>| async move {
        let body = request.into_body().collect().await.unwrap();
        assert!(body.trailers().is_none());
        assert!(body.to_bytes().is_empty());
        Ok(Response::new(boxed(Empty::new())))
    })
    .await;
    let response = lab.send(get()).await.unwrap();
    let (body, trailers) = read(response.into_body()).await.unwrap();
    assert_eq!((body, trailers), (Bytes::new(), None));
    lab.is_idle().await;
}

#[tokio::test]
async fn bodies_and_trailers_stream_both_ways() {
    let lab = Lab::start(echo).await;
    let part = Bytes::from(vec![7; 100 * KIB]);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "3".parse().unwrap());
    let (sender, body) = parts();
    let sent = {
        let (part, trailers) = (part.clone(), trailers.clone());
        async move {
            for _ in 0..40 {
                sender.send(Ok(Frame::data(part.clone()))).await.unwrap();
            }
            sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
        }
    };
    let received = async {
        let response = lab.send(post(body)).await.unwrap();
        read(response.into_body()).await.unwrap()
    };
    let ((), (bytes, found)) = tokio::join!(sent, received);
    assert_eq!(bytes.len(), 40 * part.len());
    assert!(bytes.iter().all(|byte| *byte == 7));
    assert_eq!(found, Some(trailers));
    lab.is_idle().await;
}

#[tokio::test]
async fn each_side_may_speak_before_the_other_has_ended() {
    let lab = Lab::start(echo).await;
    let (sender, body) = parts();
    let response = lab.send(post(body)).await.unwrap();
    let mut body = response.into_body();
    for word in ["one", "two"] {
        sender.send(data(word)).await.unwrap();
        let frame = within(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), word);
    }
    drop(sender);
    assert!(within(body.frame()).await.is_none());
    drop(body);
    lab.is_idle().await;
}

#[tokio::test]
async fn a_request_goes_on_while_nobody_reads_its_answer() {
    let (all, has_all) = oneshot::channel();
    let all = Arc::new(Mutex::new(Some(all)));
    let lab = Lab::start(move |request: Request<ChannelBody>| {
        let all = all.lock().unwrap().take().unwrap();
        async move {
            let (answer, body) = parts();
            tokio::spawn(async move {
                let asked = request.into_body().collect().await.unwrap().to_bytes();
                all.send(asked.len()).unwrap();
                answer.send(data("done")).await.unwrap();
            });
            Ok(Response::new(boxed(body)))
        }
    })
    .await;
    let (sender, body) = parts();
    let response = lab.send(post(body)).await.unwrap();
    within(async {
        for _ in 0..20 {
            sender.send(data(vec![0; 64 * KIB])).await.unwrap();
        }
    })
    .await;
    drop(sender);
    assert_eq!(within(has_all).await, Ok(20 * 64 * KIB));
    let (bytes, _) = read(response.into_body()).await.unwrap();
    assert_eq!(bytes, "done");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_short_success() {
    let lab = Lab::start(|request: Request<ChannelBody>| async move {
        let mut response = match request.uri().path() {
            "/broken" => Response::new(boxed(of([data("half"), Err("the disk is gone")]))),
            "/short" => Response::new(boxed(of([data("half")]))),
            "/long" => Response::new(boxed(of([data("more than was announced")]))),
            _ => Response::new(boxed(Full::from("small"))),
        };
        if request.uri().path() != "/broken" {
            let length = "8".parse().unwrap();
            response.headers_mut().insert("content-length", length);
        }
        Ok(response)
    })
    .await;
    let ask = async |path: &str| {
        let request = Request::get(path).header("host", "shop.test");
        let response = lab.send(request.body(Empty::new()).unwrap()).await;
        read(response.unwrap().into_body()).await.unwrap_err()
    };
    match ask("/broken").await {
        BodyFault::Call(error) => assert!(error.message().contains("the disk is gone")),
        other => panic!("{other:?}"),
    }
    for (path, had) in [("/short", 4), ("/long", 23), ("/whole", 5)] {
        let fault = ask(path).await;
        assert!(
            matches!(fault, BodyFault::Length { announced: 8, bytes } if bytes == had),
            "{path}: {fault:?}"
        );
    }
    let head = Request::head("/whole").header("host", "shop.test");
    let response = lab.send(head.body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-length"], "8"); // says how long it would be
    assert!(read(response.into_body()).await.is_ok());
    lab.is_idle().await;
}

#[tokio::test]
async fn a_request_that_breaks_off_is_no_short_request() {
    let (seen, mut faults) = mpsc::unbounded_channel();
    let lab = Lab::start(move |request: Request<ChannelBody>| {
        let seen = seen.clone();
        async move {
            let fault = request.into_body().collect().await.unwrap_err();
            seen.send(fault).unwrap();
            Ok(Response::new(boxed(Empty::new())))
        }
    })
    .await;
    let broken = of([data("half"), Err("the client is gone")]);
    assert_eq!(lab.send(post(broken)).await.unwrap().status(), 200);
    let fault = within(faults.recv()).await.unwrap();
    assert!(matches!(fault, BodyFault::Call(_)), "{fault:?}");

    let mut short = post(of([data("half")]));
    short
        .headers_mut()
        .insert("content-length", "8".parse().unwrap());
    assert_eq!(lab.send(short).await.unwrap().status(), 200);
    let fault = within(faults.recv()).await.unwrap();
    assert!(
        matches!(
            fault,
            BodyFault::Length {
                announced: 8,
                bytes: 4
            }
        ),
        "{fault:?}"
    );
}

#[tokio::test]
async fn every_class_of_failure_arrives_as_it_was() {
    let lab = Lab::start(|request: Request<ChannelBody>| async move {
        let name = &request.uri().path()[1..];
        let class = ErrorClass::ALL.into_iter().find(|it| it.name() == name);
        Err(CallError::new(class.unwrap(), "the reason".to_owned()))
    })
    .await;
    for class in ErrorClass::ALL {
        let request = Request::get(format!("/{}", class.name())).header("host", "shop.test");
        let failed = lab.send(request.body(Empty::<Bytes>::new()).unwrap()).await;
        assert_eq!(failed.err().map(|error| error.class()), Some(class));
    }
    lab.is_idle().await;
}

#[tokio::test]
async fn a_component_that_runs_nowhere_is_unavailable_at_once() {
    let lab = Lab::start(echo).await;
    let started = Instant::now();
    let failed = within(lab.remote("nobody", SOON).send(get())).await;
    let error = failed.err().unwrap();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert!(!error.may_have_run());
    assert!(started.elapsed() < SOON / 2);
    // Out of service is the same.
    let remote = lab.remote("shop", SOON);
    lab.service.leave().await;
    let failed = within(remote.send(get())).await;
    assert_eq!(failed.err().unwrap().class(), ErrorClass::Unavailable);
}

#[tokio::test]
async fn a_deadline_holds_for_request_and_answer() {
    let lab = Lab::start(|_| std::future::pending::<Answered>()).await;
    let remote = lab.remote("shop", Duration::from_millis(100));
    let failed = within(remote.send(get())).await;
    assert_eq!(failed.err().unwrap().class(), ErrorClass::Deadline);

    /// Says that it is small, and never comes.
    struct Stalled;
    impl Body for Stalled {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(10)
        }
    }
    let failed = within(remote.send(post(Stalled))).await;
    let error = failed.err().unwrap();
    assert_eq!(
        (error.class(), error.may_have_run()),
        (ErrorClass::Deadline, false)
    );
    lab.is_idle().await;
}

#[tokio::test]
async fn an_answer_that_stalls_ends_with_the_deadline() {
    let (stalled, body) = parts();
    let body = Arc::new(Mutex::new(Some(body)));
    let lab = Lab::start(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Ok(Response::new(boxed(body))) }
    })
    .await;
    let remote = lab.remote("shop", Duration::from_millis(500));
    let response = within(remote.send(get())).await.unwrap();
    let fault = read(response.into_body()).await.unwrap_err();
    assert!(matches!(fault, BodyFault::Call(_)), "{fault:?}");
    within(stalled.closed()).await;
    lab.is_idle().await;
}

#[tokio::test]
async fn whoever_goes_away_stops_the_work() {
    let (working, mut at_work) = mpsc::unbounded_channel();
    let lab = Lab::start(move |_| {
        let working = working.clone();
        async move {
            let (end, ended) = oneshot::channel::<Infallible>();
            working.send(ended).unwrap();
            let _end = end; // dropped with the work
            std::future::pending::<Answered>().await
        }
    })
    .await;
    let remote = lab.remote("shop", SOON);
    let call = tokio::spawn(async move { remote.send(get()).await.map(drop) });
    let ended = within(at_work.recv()).await.unwrap();
    call.abort();
    assert!(within(ended).await.is_err());
    lab.is_idle().await;
}

#[tokio::test]
async fn dropping_an_answer_stops_its_sender() {
    let (sender, body) = parts();
    let body = Arc::new(Mutex::new(Some(body)));
    let lab = Lab::start(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Ok(Response::new(boxed(body))) }
    })
    .await;
    let (asking, asked) = parts();
    let response = lab.send(post(asked)).await.unwrap();
    drop(response);
    within(sender.closed()).await;
    within(asking.closed()).await;
    lab.is_idle().await;
}

/// Calls as a gateway of wasmCloud 1.x does: everything on channels, nothing of ours in the headers.
#[tokio::test]
async fn a_gateway_of_1_x_is_served() {
    let lab = Lab::start(echo).await;
    let target = "wrpc:http/incoming-handler@0.1.0";
    let target = Target::new("default", "shop", target, "handle").unwrap();
    let request = WireRequest {
        body: WireBody::Pending,
        trailers: Trailers::Pending,
        method: Method::Post,
        path_with_query: Some("/"),
        scheme: Some(Scheme::Http),
        authority: Some("shop.test"),
        headers: Fields::default(),
    };
    let options = CallOptions {
        params: ParamStreams::Follow,
        offer: Offer::Legacy,
        ..CallOptions::new(SOON)
    };
    within(async {
        let target = target.returning(Returns::Value);
        let client = &lab.caller.client;
        let call = client
            .invoke(&target, to_wire(&(request,)).into(), options)
            .await;
        let call = call.unwrap();
        let mut wire = Vec::new();
        let mut encoder = StreamEncoder::default();
        encoder.bytes(b"apples", &mut wire);
        encoder.end(&mut wire);
        let mut body = call.param_writer(IndexPath::new(&[0, 0])).unwrap();
        let mut trailers = call.param_writer(IndexPath::new(&[0, 1])).unwrap();
        let write = async {
            body.write(wire.clone().into()).await.unwrap();
            body.finish().await.unwrap();
            let none = to_wire(&None::<Fields<'_>>);
            trailers.write(none.into()).await.unwrap();
            trailers.finish().await.unwrap();
        };
        let read = async {
            let is_whole = |bytes: &[u8]| from_wire::<HandleResult<'_>>(bytes).is_ok();
            let result = call.result_until(is_whole).await.unwrap();
            let response = from_wire::<HandleResult<'_>>(&result).unwrap().unwrap();
            assert_eq!((response.status, response.body), (200, WireBody::Pending));
            let mut reader = call.result_reader(IndexPath::new(&[0, 0]));
            let mut echoed = Vec::new();
            while let Some(bytes) = reader.next().await.unwrap() {
                echoed.extend_from_slice(&bytes);
            }
            let mut reader = call.result_reader(IndexPath::new(&[0, 1]));
            assert_eq!(reader.next().await.unwrap().as_deref(), Some(&[0][..]));
            echoed
        };
        let ((), echoed) = tokio::join!(write, read);
        assert_eq!(echoed, wire);
    })
    .await;
    lab.is_idle().await;
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_in_the_words_of_http() {
    let lab = Lab::start(echo).await;
    let target = "wrpc:http/incoming-handler@0.1.0";
    let target = Target::new("default", "shop", target, "handle").unwrap();
    for params in [vec![0xff; 20], vec![9, 9], {
        let request = WireRequest {
            body: WireBody::Pending,
            trailers: Trailers::Pending,
            method: Method::Other("not a method".to_owned()),
            path_with_query: Some("/"),
            scheme: None,
            authority: Some("shop.test"),
            headers: Fields::default(),
        };
        to_wire(&(request,))
    }] {
        let target = target.clone().returning(Returns::Value);
        let called = lab
            .caller
            .client
            .call(&target, params.into(), CallOptions::new(SOON));
        let answer = within(called).await.unwrap();
        assert!(from_wire::<HandleResult<'_>>(&answer).unwrap().is_err());
    }
}
