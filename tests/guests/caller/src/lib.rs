//! Sends every kind of WIT value to `callee` and checks that it comes back as it went.
//!
//! | Path | Deed |
//! |---|---|
//! | `/` | makes every round trip; `all N round trips are equal`, or 500 and the names of those that differ |
//! | `/nop?n=N` | calls `nop` N times |
//! | `/bytes?n=N&size=S` | sends S bytes there and back, N times |
//! | `/trap`, `/spin` | has the callee trap, or spin |
//! | `/count` | asks the callee instance how often it was asked |

mod bindings {
    wit_bindgen::generate!({
        path: "../wit/types",
        world: "caller",
        additional_derives: [PartialEq, Clone],
    });
}
mod round_trips;

use bindings::trellis_test::types::{bench, deeds};
use wstd::http::{Body, Error, Request, Response, StatusCode};
use wstd::time::Instant;

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let query = request.uri().query().unwrap_or_default();
    let times = number(query, "n").max(1);
    match request.uri().path() {
        "/" => round_trips(),
        "/nop" => measure(times, bench::nop),
        "/bytes" => bytes(times, number(query, "size")),
        "/trap" => text(deeds::trap),
        "/spin" => text(deeds::spin),
        "/count" => Ok(Response::new(format!("{}\n", deeds::count()).into())),
        _ => answer(StatusCode::NOT_FOUND, "no such deed\n".into()),
    }
}

/// The query parameter called `name`; a missing one is zero.
fn number(query: &str, name: &str) -> u64 {
    let mut values = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = values.find(|(candidate, _)| *candidate == name);
    found
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or_default()
}

fn answer(status: StatusCode, text: String) -> Result<Response<Body>, Error> {
    Ok(Response::builder().status(status).body(text.into())?)
}

fn text(deed: impl FnOnce()) -> Result<Response<Body>, Error> {
    deed();
    answer(StatusCode::OK, "done\n".into())
}

fn round_trips() -> Result<Response<Body>, Error> {
    let trips = round_trips::all();
    let different: Vec<&str> = trips
        .iter()
        .filter(|trip| !trip.equal)
        .map(|trip| trip.name)
        .collect();
    if different.is_empty() {
        return answer(
            StatusCode::OK,
            format!("all {} round trips are equal\n", trips.len()),
        );
    }
    answer(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("changed on the way: {}\n", different.join(", ")),
    )
}

/// Calls `deed` `times` times and answers with the nanoseconds of one call.
fn measure(times: u64, mut deed: impl FnMut()) -> Result<Response<Body>, Error> {
    let start = Instant::now();
    for _ in 0..times {
        deed();
    }
    let elapsed: std::time::Duration = start.elapsed().into();
    let each = elapsed.as_nanos() / u128::from(times);
    answer(StatusCode::OK, format!("{times} calls, {each} ns each\n"))
}

fn bytes(times: u64, size: u64) -> Result<Response<Body>, Error> {
    let sent = vec![7; usize::try_from(size).unwrap_or(usize::MAX)];
    let mut equal = true;
    let response = measure(times, || equal &= bench::echo_bytes(&sent) == sent);
    if equal {
        response
    } else {
        answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            "changed on the way\n".into(),
        )
    }
}
