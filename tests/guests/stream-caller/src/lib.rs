//! Imports an interface with a stream and opens one.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/streams", world: "caller" });
}

use bindings::trellis_test::streams::api;
use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(_request: Request<Body>) -> Result<Response<Body>, Error> {
    drop(api::open(1));
    Ok(Response::new("opened\n".into()))
}
