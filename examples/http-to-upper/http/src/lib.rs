//! Answers each request with its path in upper case.
//!
//! It changes no case itself: it calls the interface `trellis-examples:text/upper`, and a link in the manifest
//! says which component answers the call. Where that component runs is not its business.

mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "needs-upper" });
}

use bindings::trellis_examples::text::upper::upper;
use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let text = upper(request.uri().path().trim_start_matches('/'));
    Ok(Response::new(format!("{text}\n").into()))
}
