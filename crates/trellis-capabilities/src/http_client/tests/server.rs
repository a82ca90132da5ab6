//! A real server on loopback that counts what reaches it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A server; ends when dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    counts: Arc<Counts>,
    _task: JoinSet<()>,
}

struct Counts {
    accepted: AtomicUsize,
    requests: AtomicUsize,
    open: watch::Sender<usize>,
}

impl Server {
    /// Starts a server in the clear on a free port of 127.0.0.1.
    pub(super) async fn start() -> Self {
        Self::start_at("127.0.0.1:0", None).await
    }

    /// Starts a server at `address`, with TLS if an acceptor is given.
    pub(super) async fn start_at(address: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts {
            accepted: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            open: watch::Sender::new(0),
        });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, tls, counts.clone()));
        Self {
            address,
            counts,
            _task: task,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns how many connections were accepted.
    pub(super) fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Returns how many requests arrived.
    pub(super) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// Waits until `count` connections are open.
    pub(super) async fn wait_for_open(&self, count: usize) {
        self.counts
            .open
            .subscribe()
            .wait_for(|open| *open == count)
            .await
            .unwrap();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        counts.accepted.fetch_add(1, Ordering::SeqCst);
        counts.open.send_modify(|open| *open += 1);
        let (tls, counts) = (tls.clone(), counts.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, false, &counts).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        serve(stream, is_http2, &counts).await;
                    }
                }
            }
            counts.open.send_modify(|open| *open -= 1);
        });
    }
}

async fn serve<S>(stream: S, is_http2: bool, counts: &Arc<Counts>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let counts = counts.clone();
    let service = service_fn(move |request| {
        counts.requests.fetch_add(1, Ordering::SeqCst);
        async move { Ok::<_, Infallible>(answer(request).await) }
    });
    let io = TokioIo::new(stream);
    // What goes wrong on the way is seen by the client under test.
    let _ = if is_http2 {
        http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service)
            .await
    } else {
        http1::Builder::new().serve_connection(io, service).await
    };
}

async fn answer(request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let response = Response::builder();
    let response = match &*path {
        "/redirect" => response
            .status(StatusCode::FOUND)
            .header("location", "/elsewhere")
            .body(text("")),
        "/headers" => {
            let (head, _) = request.into_parts();
            response.body(text(format!(
                "{:?} {:?} {:?}",
                head.version, head.uri, head.headers
            )))
        }
        "/echo" => response.body(
            request
                .into_body()
                .map_err(std::io::Error::other)
                .boxed_unsync(),
        ),
        "/never" => std::future::pending().await,
        "/stall" => response.body(after_first_piece(None)),
        "/cut" => response.body(after_first_piece(Some(std::io::ErrorKind::Other.into()))),
        "/large-head" => response
            .header("x-large", "x".repeat(100_000))
            .body(text("")),
        "/many-fields" => {
            let fields = (0..500).fold(response, |it, n| it.header(format!("x-{n}"), "x"));
            fields.body(text(""))
        }
        "/close" => response.header("connection", "close").body(text("bye")),
        "/upgrade" => response
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("upgrade", "echo")
            .header("connection", "upgrade")
            .body(text("")),
        _ => response.body(text("hello")),
    };
    response.unwrap()
}

fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Returns a body of one piece and then `error`, or silence.
fn after_first_piece(error: Option<std::io::Error>) -> Body {
    let piece = stream::iter([Ok(Frame::data(Bytes::from_static(b"piece")))]);
    match error {
        Some(error) => StreamBody::new(piece.chain(stream::iter([Err(error)]))).boxed_unsync(),
        None => StreamBody::new(piece.chain(stream::pending())).boxed_unsync(),
    }
}
