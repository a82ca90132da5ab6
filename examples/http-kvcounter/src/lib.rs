//! Counts requests per path in a key-value store and answers with the count.
//!
//! It names interfaces only. Which store holds the numbers is a link in the manifest, so the same component
//! counts in memory, in a file or in Redis.

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "kvcounter", generate_all });
}

use bindings::wasi::keyvalue::{atomics, store};
use wstd::http::{Body, Error, Request, Response, StatusCode};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let path = request.uri().path();
    match count(path) {
        Ok(count) => Ok(Response::new(format!("Counter {path}: {count}\n").into())),
        Err(error) => Ok(Response::builder()
            .status(StatusCode::INTERNAL_SERVER_ERROR)
            .body(format!("cannot count {path}: {error:?}\n").into())?),
    }
}

/// Adds one to the count of `path` and returns it.
fn count(path: &str) -> Result<u64, store::Error> {
    let bucket = store::open("")?;
    atomics::increment(&bucket, path, 1)
}
