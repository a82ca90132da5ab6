//! The smallest HTTP component: one function from a request to a response, on WASI 0.2.
//!
//! It knows nothing of addresses or ports: the manifest says where it is served.

use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(_request: Request<Body>) -> Result<Response<Body>, Error> {
    Ok(Response::new("Hello from Trellis!\n".into()))
}
