//! Drives every capability by URL, so that a test can say over HTTP what a component should do.
//!
//! | Path | Deed |
//! |---|---|
//! | `/kv/get?bucket=B&key=K` | the value, or 404 |
//! | `/kv/set?bucket=B&key=K&value=V` | sets it |
//! | `/kv/delete?...`, `/kv/exists?...` | removes it; `true` or `false` |
//! | `/kv/list?bucket=B` | all keys, sorted, one per line, page after page |
//! | `/kv/increment?bucket=B&key=K&delta=N` | the sum |
//! | `/kv/set-many?bucket=B&a=1&b=2`, `/kv/get-many?...`, `/kv/delete-many?...` | all other parameters at once |
//! | `/config?key=K`, `/config-store?key=K` | the value, or 404; without key all pairs, sorted |
//! | `/log?level=L&context=C&message=M` | writes one line to the log |

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "prober", generate_all });
}
mod configuration;
mod keyvalue;
mod query;

use bindings::wasi::logging::logging::{self, Level};
use query::Query;
use wstd::http::{Body, Error, Request, Response, StatusCode};

/// A status and the text that goes with it.
type Answer = (StatusCode, String);

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let query = Query::of(request.uri().query().unwrap_or_default());
    let (status, text) = match request.uri().path() {
        "/config" => configuration::runtime(&query),
        "/config-store" => configuration::store(&query),
        "/log" => log(&query),
        path => match path.strip_prefix("/kv/") {
            Some(operation) => keyvalue::run(operation, &query),
            None => (StatusCode::NOT_FOUND, format!("no such deed: {path}")),
        },
    };
    Ok(Response::builder()
        .status(status)
        .body(format!("{text}\n").into())?)
}

fn log(query: &Query) -> Answer {
    let level = match query.text("level") {
        "trace" => Level::Trace,
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" => Level::Warn,
        "critical" => Level::Critical,
        _ => Level::Error,
    };
    logging::log(level, query.text("context"), query.text("message"));
    (StatusCode::OK, "logged".to_owned())
}
