//! Bare hyper with the same answer: the most that any server of this run could reach.

use std::convert::Infallible;

use anyhow::Result;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;

use crate::guest::GREETING;

/// Serves the greeting.
pub(crate) async fn serve() -> Result<()> {
    let answer =
        async |_| Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(GREETING))));
    super::serve_http1(service_fn(answer)).await
}
