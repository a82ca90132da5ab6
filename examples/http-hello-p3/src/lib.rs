//! The smallest HTTP component on WASI 0.3: an asynchronous handler, so one instance can serve many requests
//! at the same time.
//!
//! It knows nothing of addresses or ports: the manifest says where it is served.

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

const GREETING: &[u8] = b"Hello from Trellis!\n";

struct Hello;

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let (mut body, body_reader) = wit_stream::new();
        let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(body_reader), trailers_reader);
        // Dropping the writer answers "no trailers", which is what the closure above returns. Now that the
        // host has the other end nobody waits for that.
        drop(trailers);
        spawn_local(async move {
            // What is left over was not read: the client has gone, and nobody is there to be told.
            let _unread = body.write_all(GREETING.to_vec()).await;
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Hello);
