//! The servers that are put under load. Each prints its URL to stdout, and then serves until it is ended.

pub(crate) mod hyper;
pub(crate) mod proxy_handler;

use std::convert::Infallible;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use ::hyper::body::Incoming;
use ::hyper::server::conn::http1;
use ::hyper::service::Service;
use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A port of the system's choice on loopback.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Tells whoever started this server where it is.
fn announce(address: SocketAddr) -> Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "http://{address}/").context("nobody reads the URL")?;
    stdout.flush().context("nobody reads the URL")
}

/// Serves HTTP/1.1 with hyper alone: what a server costs that does nothing else.
pub(crate) async fn serve_http1<S, B>(service: S) -> Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = TcpListener::bind(ANY_PORT)
        .await
        .context("cannot listen on loopback")?;
    announce(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener
            .accept()
            .await
            .context("cannot accept a connection")?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            // Fails when the client closes in the middle, as load generators do at the end.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
