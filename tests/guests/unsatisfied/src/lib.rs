//! Imports an interface that nobody provides, and calls it when asked to: `/` answers `ok`, `/call` calls it.

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "unsatisfied" });
}

use bindings::trellis_test::missing::nothing;
use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    match request.uri().path() {
        "/call" => Ok(Response::new(
            format!("{}\n", nothing::answer("why?")).into(),
        )),
        _ => Ok(Response::new("ok\n".into())),
    }
}
