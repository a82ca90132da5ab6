//! Imports an interface with a resource and counts with it.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/resources", world: "caller" });
}

use bindings::trellis_test::resources::api::Counter;
use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(_request: Request<Body>) -> Result<Response<Body>, Error> {
    let counter = Counter::new(41);
    Ok(Response::new(format!("{}\n", counter.next()).into()))
}
