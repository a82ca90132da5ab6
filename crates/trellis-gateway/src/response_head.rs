//! Checks and cleans the head of a handler's response: what goes out is one response, or a 502.

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method, Response, StatusCode};

use crate::limits::GatewayLimits;
use crate::refusal::Rejection;
use crate::request_head::{self, Census};
use crate::response_body::ResponseBody;

const fn bad(text: &'static str) -> Rejection {
    Rejection {
        status: StatusCode::BAD_GATEWAY,
        text,
        close: false,
    }
}

/// Checks `response`, removes what is not the handler's to say, and returns the announced length of
/// a body whose own length is not known.
pub(crate) fn check(
    response: &mut Response<ResponseBody>,
    method_is_head: bool,
    limits: &GatewayLimits,
) -> Result<Option<u64>, Rejection> {
    let status = response.status();
    if !(200..600).contains(&status.as_u16()) {
        return Err(bad(
            "bad gateway: the component answered with an impossible status\n",
        ));
    }
    let headers = response.headers_mut();
    let census = Census::of(headers);
    if census.exceeds(headers, limits) {
        return Err(bad(
            "bad gateway: the component answered with too many headers\n",
        ));
    }
    if census.has_hop_by_hop() {
        request_head::remove_hop_by_hop(headers);
    }
    let announced = announced_length(headers)?;
    check_length(response, method_is_head, announced)
}

/// Returns the one content-length, where there is one.
fn announced_length(headers: &HeaderMap) -> Result<Option<u64>, Rejection> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    let error = bad("bad gateway: the component answered with a malformed content-length\n");
    if lines.next().is_some() || !line.as_bytes().iter().all(u8::is_ascii_digit) {
        return Err(error);
    }
    let text = line.to_str().map_err(|_| error)?;
    text.parse().map(Some).map_err(|_| error)
}

/// Makes length and body agree.
fn check_length(
    response: &mut Response<ResponseBody>,
    method_is_head: bool,
    announced: Option<u64>,
) -> Result<Option<u64>, Rejection> {
    let bodiless = matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if bodiless || method_is_head {
        let length = response
            .body()
            .exact_length()
            .filter(|_| method_is_head && !bodiless);
        if let (Some(length), None) = (length, announced)
            && length > 0
        {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        if response.status() == StatusCode::NO_CONTENT {
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        *response.body_mut() = ResponseBody::empty();
        return Ok(None);
    }
    match (response.body().exact_length(), announced) {
        (Some(length), Some(announced)) if length != announced => Err(bad(
            "bad gateway: the component announced another length than it sent\n",
        )),
        (Some(_), _) | (_, None) => Ok(None),
        (None, announced) => Ok(announced),
    }
}

/// Tells whether a response to `method` has a head only.
pub(crate) fn is_head(method: &Method) -> bool {
    method == Method::HEAD
}

/// Removes from trailers what only counts in a head.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    request_head::remove_hop_by_hop(trailers);
    trailers.remove(CONTENT_LENGTH);
    trailers.remove(HOST);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &'static str, headers: &[(&str, &str)], expected: Result<(), u16>) {
        let mut response = Response::new(ResponseBody::from(body));
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("a name");
            response
                .headers_mut()
                .append(name, value.parse().expect("a value"));
        }
        let found = super::check(&mut response, false, &GatewayLimits::default());
        let found = found.map(|_| ()).map_err(|it| it.status.as_u16());
        assert_eq!(found, expected, "{headers:?}");
    }

    #[test]
    fn lengths_are_one_and_true() {
        check("abc", &[], Ok(()));
        check("abc", &[("content-length", "3")], Ok(()));
        for bad in ["4", "2", "+3", "", "3, 3", "0x3", "99999999999999999999"] {
            check("abc", &[("content-length", bad)], Err(502));
        }
        check(
            "abc",
            &[("content-length", "3"), ("content-length", "3")],
            Err(502),
        );
    }

    #[test]
    fn hop_by_hop_headers_are_taken_off() {
        let mut response = Response::new(ResponseBody::from("x"));
        for name in [
            "transfer-encoding",
            "connection",
            "keep-alive",
            "upgrade",
            "x-mine",
        ] {
            response
                .headers_mut()
                .insert(name, "x-mine".parse().expect("a value"));
        }
        super::check(&mut response, false, &GatewayLimits::default()).expect("a sound response");
        assert!(response.headers().is_empty());
    }

    #[test]
    fn impossible_statuses_and_floods_of_headers_are_refused() {
        for status in [100, 101, 199, 600, 999] {
            let mut response = Response::new(ResponseBody::empty());
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            assert!(super::check(&mut response, false, &GatewayLimits::default()).is_err());
        }
        let many: Vec<String> = (0..101).map(|n| format!("x-{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "1")).collect();
        check("", &many, Err(502));
    }
}
