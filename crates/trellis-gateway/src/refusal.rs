//! Answers that do not come from a handler's component: its refusals, and the gateway's own.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use trellis_core::ErrorClass;

use crate::response_body::ResponseBody;

/// The header that carries the class of a failed call.
const ERROR_CLASS: HeaderName = HeaderName::from_static("x-trellis-error");

/// Why a handler has no answer of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{class}: {message}")]
pub struct Refusal {
    /// The class; it decides the status.
    pub class: ErrorClass,
    /// One line for the client. It must not name what the client has no business knowing.
    pub message: Cow<'static, str>,
    /// When to try again. An overload without it gets the gateway's default.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Refuses with `class`, and `message` for the client.
    pub fn new(class: ErrorClass, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            class,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Adds the time after which a client should try again.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Returns the answer that a client sees.
    pub(crate) fn into_response(self, default_retry: Duration) -> Response<ResponseBody> {
        let status = StatusCode::from_u16(self.class.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = text(status, format!("{}: {}\n", self.class, self.message));
        let headers = response.headers_mut();
        headers.insert(ERROR_CLASS, HeaderValue::from_static(self.class.name()));
        let retry = match self.class {
            ErrorClass::Overloaded => Some(self.retry_after.unwrap_or(default_retry)),
            _ => self.retry_after,
        };
        if let Some(delay) = retry {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
        }
        response
    }
}

/// What the gateway itself holds against a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
    /// Whether the connection cannot be used any further.
    pub(crate) close: bool,
}

impl Rejection {
    /// A request that is not worth another on the same connection.
    pub(crate) const fn closing(status: StatusCode, text: &'static str) -> Self {
        Self {
            status,
            text,
            close: true,
        }
    }

    /// Returns the answer that a client sees.
    pub(crate) fn into_response(self) -> Response<ResponseBody> {
        text(self.status, Bytes::from_static(self.text.as_bytes()))
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Full(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Rounds up: a client that comes back early is refused again.
fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs() + u64::from(delay.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_becomes_status_class_and_text() {
        let answer = Refusal::new(ErrorClass::Trap, "wasm `unreachable` instruction executed")
            .into_response(Duration::from_secs(1));
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.headers()["x-trellis-error"], "trap");
        assert!(!answer.headers().contains_key(RETRY_AFTER));
        let ResponseBody::Full(text) = answer.into_body() else {
            panic!("not a full body")
        };
        assert_eq!(text, "trap: wasm `unreachable` instruction executed\n");
    }

    #[test]
    fn overload_always_says_when_to_come_back() {
        let retry = |refusal: Refusal| {
            let answer = refusal.into_response(Duration::from_millis(1_200));
            answer.headers().get(RETRY_AFTER).cloned()
        };
        let plain = Refusal::new(ErrorClass::Overloaded, "busy");
        assert_eq!(retry(plain.clone()), Some(HeaderValue::from_static("2")));
        let named = plain.with_retry_after(Duration::from_secs(7));
        assert_eq!(retry(named), Some(HeaderValue::from_static("7")));
    }
}
