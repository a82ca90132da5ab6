//! A gateway to test against, handlers to put behind it, and raw clients.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use trellis_core::ErrorClass;
use trellis_gateway::{
    Config, DrainReport, GatewayLimits, Handler, HandlerFuture, Refusal, RequestBody, ResponseBody,
    Route, RouteTable, ShutdownTrigger, shutdown_channel,
};

/// The smallest request.
pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// No step of a test takes this long, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Answer = Result<Response<ResponseBody>, Refusal>;

/// A handler from an async function.
pub(crate) struct Calls<F>(pub(crate) F);

impl<F, R> Handler for Calls<F>
where
    F: Fn(Request<RequestBody>) -> R + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    fn call(&self, request: Request<RequestBody>) -> HandlerFuture {
        Box::pin(self.0(request))
    }
}

pub(crate) fn handler<F, R>(call: F) -> Arc<dyn Handler>
where
    F: Fn(Request<RequestBody>) -> R + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    Arc::new(Calls(call))
}

/// Answers with the request's body, and keeps the heads it saw.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) seen: Arc<Mutex<Vec<http::request::Parts>>>,
}

impl Handler for Echo {
    fn call(&self, request: Request<RequestBody>) -> HandlerFuture {
        let (head, body) = request.into_parts();
        self.seen.lock().unwrap().push(head);
        Box::pin(async move {
            let body = body.collect().await;
            let body =
                body.map_err(|error| Refusal::new(ErrorClass::Cancelled, error.to_string()))?;
            Ok(Response::new(body.to_bytes().into()))
        })
    }
}

/// A handler that says when it is called and waits to be let go.
pub(crate) fn gated() -> (Arc<dyn Handler>, Arc<Semaphore>, Arc<Semaphore>) {
    let (called, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let inner = (Arc::clone(&called), Arc::clone(&go));
    let handler = handler(move |_| {
        let (called, go) = (Arc::clone(&inner.0), Arc::clone(&inner.1));
        async move {
            called.add_permits(1);
            go.acquire().await.unwrap().forget();
            Ok(Response::new("done".into()))
        }
    });
    (handler, called, go)
}

/// Answers every request with `text`.
pub(crate) fn says(text: &'static str) -> Arc<dyn Handler> {
    handler(move |_| async move { Ok(Response::new(Bytes::from_static(text.as_bytes()).into())) })
}

pub(crate) fn everywhere(handler: Arc<dyn Handler>) -> Vec<Route> {
    vec![route("app", None, "/", handler)]
}

pub(crate) fn route(
    name: &str,
    host: Option<&str>,
    path: &str,
    handler: Arc<dyn Handler>,
) -> Route {
    Route {
        name: name.into(),
        host: host.map(str::to_owned),
        path_prefix: path.into(),
        handler,
    }
}

/// A gateway that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) routes: Arc<ArcSwap<RouteTable>>,
    pub(crate) trigger: ShutdownTrigger,
    pub(crate) task: JoinHandle<DrainReport>,
}

pub(crate) async fn start(limits: GatewayLimits, routes: Vec<Route>) -> Running {
    start_with(limits, routes, |_| {}).await
}

pub(crate) async fn start_with(
    limits: GatewayLimits,
    routes: Vec<Route>,
    change: impl FnOnce(&mut Config),
) -> Running {
    let mut config = Config::new(([127, 0, 0, 1], 0).into());
    config.limits = limits;
    change(&mut config);
    let gateway = config.bind().await.unwrap();
    let address = gateway.local_addr();
    let routes = Arc::new(ArcSwap::from_pointee(RouteTable::new(routes).unwrap()));
    let (trigger, signal) = shutdown_channel();
    let task = tokio::spawn(gateway.run(Arc::clone(&routes), signal));
    Running {
        address,
        routes,
        trigger,
        task,
    }
}

impl Running {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `bytes` on a new connection and returns everything that comes back until it closes.
    pub(crate) async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // A gateway that refuses may close while we still write.
        let _ = stream.write_all(bytes.as_ref()).await;
        read_to_end(&mut stream).await
    }

    /// Sends a GET that closes, with `lines` in its head.
    pub(crate) async fn get(&self, path: &str, lines: &str) -> String {
        let host = if lines.contains("host:") {
            ""
        } else {
            "host: a.test\r\n"
        };
        self.exchange(format!(
            "GET {path} HTTP/1.1\r\n{host}{lines}connection: close\r\n\r\n"
        ))
        .await
    }
}

/// Reads until the other end closes or resets.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("the connection was not closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one response with a content-length.
pub(crate) async fn read_response(stream: &mut TcpStream) -> String {
    let read = async {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && body.len() >= header(head, "content-length").map_or(0, |it| it.parse().unwrap())
            {
                return text;
            }
            let read = stream.read_buf(&mut bytes).await.expect("an answer");
            assert!(read > 0, "closed after {text:?}");
        }
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("no answer")
}

/// Returns a header of a raw response.
pub(crate) fn header<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    response
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
}

/// Returns the statuses of all responses in `raw`.
pub(crate) fn statuses(raw: &str) -> Vec<u16> {
    raw.split("HTTP/1.")
        .skip(1)
        .filter_map(|part| part.get(2..5)?.parse().ok())
        .collect()
}

/// Limits whose timeouts end a test soon.
pub(crate) fn short() -> GatewayLimits {
    GatewayLimits {
        header_read_timeout: Duration::from_millis(400),
        keep_alive_timeout: Duration::from_millis(400),
        linger_timeout: Duration::from_millis(400),
        ..GatewayLimits::default()
    }
}

/// Tells when it is dropped.
pub(crate) struct Tells(pub(crate) tokio::sync::mpsc::UnboundedSender<&'static str>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}
