//! Heads of requests and responses, as `wrpc:http` writes them and as the `http` crate holds them. Pure.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Method, StatusCode, Uri, request, response};
use trellis_core::ErrorClass;
use trellis_wire::twins::http::{
    Body, ErrorCode, Fields, HandleResult, IncomingParams, Method as WireMethod, Request, Response,
    Scheme, Trailers,
};
use trellis_wire::twins::{Bytes as WireBytes, to_wire};

use super::is_whole;

/// What goes between two hops only: neither sent nor believed. Gateways of wasmCloud 1.x pass it on.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A body and its trailers, as far as they are part of the value.
#[derive(Clone, Copy)]
pub(super) enum Inline<'a> {
    /// Both come on their channels.
    Nothing,
    /// This is all of the body, and these are its trailers.
    All(&'a [u8], Option<&'a HeaderMap>),
}

impl<'a> Inline<'a> {
    fn body(self) -> Body<'a> {
        match self {
            Self::Nothing | Self::All([], _) => Body::Pending,
            Self::All(bytes, _) => Body::Whole(bytes),
        }
    }

    fn trailers(self) -> Trailers<'a> {
        match self {
            Self::Nothing => Trailers::Pending,
            Self::All(_, trailers) => Trailers::Ready(trailers.map(fields)),
        }
    }
}

/// What was found in a value: a head, and what of its body came with it.
pub(super) struct Found<H> {
    pub(super) head: H,
    /// All of the body. It is never empty.
    pub(super) whole: Option<Bytes>,
    /// The trailers, where they are known; then whether there are any.
    pub(super) trailers: Option<Option<HeaderMap>>,
}

/// A head that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadError {
    #[error("the method is none")]
    Method,
    #[error("the address is none")]
    Uri,
    #[error("a field is none")]
    Field,
    #[error("the status is none")]
    Status,
}

/// Writes the parameters of `handle`.
pub(super) fn write_request(head: &request::Parts, inline: Inline<'_>) -> Vec<u8> {
    let host = head.headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let request = Request {
        body: inline.body(),
        trailers: inline.trailers(),
        method: wire_method(&head.method),
        path_with_query: head.uri.path_and_query().map(PathAndQuery::as_str),
        // Hosts of 1.x fail without one.
        scheme: Some(wire_scheme(head.uri.scheme_str())),
        authority: head.uri.authority().map(Authority::as_str).or(host),
        headers: fields(&head.headers),
    };
    to_wire(&(request,))
}

/// Tells whether the parameters of `handle` are all there.
pub(super) fn has_request(params: &[u8]) -> bool {
    is_whole::<IncomingParams<'_>>(params)
}

/// Makes a head of a request that was read from `params`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn request(
    params: &Bytes,
    request: Request<'_>,
) -> Result<Found<request::Parts>, HeadError> {
    let Request {
        body,
        trailers,
        method,
        path_with_query,
        scheme,
        authority,
        headers,
    } = request;
    let headers = header_map(headers)?;
    let (mut head, ()) = http::Request::new(()).into_parts();
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    head.uri = uri(scheme, authority.or(host), path_with_query)?;
    head.method = method_of(method)?;
    head.headers = headers;
    found(params, head, body, trailers)
}

/// Writes the result of `handle`.
pub(super) fn write_response(head: &response::Parts, inline: Inline<'_>) -> Vec<u8> {
    let response = Response {
        body: inline.body(),
        trailers: inline.trailers(),
        status: head.status.as_u16(),
        headers: fields(&head.headers),
    };
    to_wire(&Ok::<_, ErrorCode>(response))
}

/// Tells whether the result of `handle` is all there.
pub(super) fn has_response(result: &[u8]) -> bool {
    is_whole::<HandleResult<'_>>(result)
}

/// Makes a head of a response that was read from `result`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn response(
    result: &Bytes,
    response: Response<'_>,
) -> Result<Found<response::Parts>, HeadError> {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = StatusCode::from_u16(response.status).map_err(|_| HeadError::Status)?;
    head.headers = header_map(response.headers)?;
    found(result, head, response.body, response.trailers)
}

fn found<H>(
    value: &Bytes,
    head: H,
    body: Body<'_>,
    trailers: Trailers<'_>,
) -> Result<Found<H>, HeadError> {
    Ok(Found {
        head,
        whole: match body {
            Body::Pending => None,
            // It stays in the message that it came in.
            Body::Whole(bytes) => Some(value.slice_ref(bytes)),
        },
        trailers: match trailers {
            Trailers::Pending => None,
            Trailers::Ready(fields) => Some(fields.map(header_map).transpose()?),
        },
    })
}

/// Writes fields: each name once, with all its values. Those between two hops stay behind.
pub(super) fn fields(headers: &HeaderMap) -> Fields<'_> {
    let values = |name| {
        let values = headers.get_all(name).iter();
        values.map(|value| WireBytes(value.as_bytes())).collect()
    };
    let names = headers.keys().filter(|name| !HOP_BY_HOP.contains(name));
    Fields(names.map(|name| (name.as_str(), values(name))).collect())
}

/// Reads fields, without those between two hops.
///
/// # Errors
/// A name or a value that no field has.
pub(super) fn header_map(fields: Fields<'_>) -> Result<HeaderMap, HeadError> {
    let mut headers = HeaderMap::new();
    for (name, values) in fields.0 {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeadError::Field)?;
        if HOP_BY_HOP.contains(&name) {
            continue;
        }
        for value in values {
            let value = HeaderValue::from_bytes(value.0).map_err(|_| HeadError::Field)?;
            let appended = headers.try_append(name.clone(), value);
            appended.map_err(|_| HeadError::Field)?;
        }
    }
    Ok(headers)
}

fn wire_method(method: &Method) -> WireMethod {
    match *method {
        Method::GET => WireMethod::Get,
        Method::HEAD => WireMethod::Head,
        Method::POST => WireMethod::Post,
        Method::PUT => WireMethod::Put,
        Method::DELETE => WireMethod::Delete,
        Method::CONNECT => WireMethod::Connect,
        Method::OPTIONS => WireMethod::Options,
        Method::TRACE => WireMethod::Trace,
        Method::PATCH => WireMethod::Patch,
        _ => WireMethod::Other(method.to_string()),
    }
}

fn method_of(method: WireMethod) -> Result<Method, HeadError> {
    Ok(match method {
        WireMethod::Get => Method::GET,
        WireMethod::Head => Method::HEAD,
        WireMethod::Post => Method::POST,
        WireMethod::Put => Method::PUT,
        WireMethod::Delete => Method::DELETE,
        WireMethod::Connect => Method::CONNECT,
        WireMethod::Options => Method::OPTIONS,
        WireMethod::Trace => Method::TRACE,
        WireMethod::Patch => Method::PATCH,
        WireMethod::Other(name) => {
            Method::from_bytes(name.as_bytes()).map_err(|_| HeadError::Method)?
        }
    })
}

fn wire_scheme(scheme: Option<&str>) -> Scheme {
    match scheme {
        None | Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(other) => Scheme::Other(other.to_owned()),
    }
}

fn uri(
    scheme: Option<Scheme>,
    authority: Option<&str>,
    path_with_query: Option<&str>,
) -> Result<Uri, HeadError> {
    let scheme = match &scheme {
        None | Some(Scheme::Http) => "http",
        Some(Scheme::Https) => "https",
        Some(Scheme::Other(name)) => name.as_str(),
    };
    // A path may be missing, as in `OPTIONS *` and `CONNECT`.
    let path = path_with_query.filter(|path| !path.is_empty());
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(authority.ok_or(HeadError::Uri)?)
        .path_and_query(path.unwrap_or("/"));
    uri.build().map_err(|_| HeadError::Uri)
}

/// Says in the words of `wasi:http` that a request is none.
pub(super) fn code_of_head(error: HeadError) -> ErrorCode {
    match error {
        HeadError::Method => ErrorCode::HttpRequestMethodInvalid,
        HeadError::Uri => ErrorCode::HttpRequestUriInvalid,
        HeadError::Field | HeadError::Status => ErrorCode::HttpProtocolError,
    }
}

/// Says in the words of `wasi:http` how a component failed; callers of 1.x know no others.
pub(super) fn code_of(class: ErrorClass, message: &str) -> ErrorCode {
    match class {
        ErrorClass::Trap => ErrorCode::InternalError(Some(message.to_owned())),
        ErrorClass::Deadline => ErrorCode::HttpResponseTimeout,
        ErrorClass::Cancelled => ErrorCode::ConnectionTerminated,
        ErrorClass::Unavailable => ErrorCode::DestinationUnavailable,
        ErrorClass::Overloaded => ErrorCode::ConnectionLimitReached,
        ErrorClass::Denied => ErrorCode::HttpRequestDenied,
    }
}

/// Returns the class of a failure that a host elsewhere told in the words of `wasi:http`.
pub(super) fn class_of(code: &ErrorCode) -> ErrorClass {
    match code {
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => ErrorClass::Deadline,
        ErrorCode::ConnectionTerminated => ErrorClass::Cancelled,
        ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::ConnectionRefused => ErrorClass::Unavailable,
        ErrorCode::ConnectionLimitReached => ErrorClass::Overloaded,
        ErrorCode::HttpRequestDenied => ErrorClass::Denied,
        _ => ErrorClass::Trap,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use trellis_wire::twins::from_wire;

    use super::*;

    fn sent_and_read(request: http::Request<()>) -> Result<request::Parts, HeadError> {
        let (head, ()) = request.into_parts();
        let params = Bytes::from(write_request(&head, Inline::All(b"", None)));
        assert!(has_request(&params));
        let (read,): IncomingParams<'_> = from_wire(&params).unwrap();
        let found = super::request(&params, read)?;
        assert_eq!((found.whole, found.trailers), (None, Some(None)));
        Ok(found.head)
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let request = http::Request::builder()
            .method("PURGE")
            .uri("/a?b=c")
            .header("host", "shop.test:80")
            .header("x-many", "1")
            .header("x-many", "2")
            .header("x-raw", HeaderValue::from_bytes(b"\xff").unwrap())
            .header("connection", "x-many")
            .header("transfer-encoding", "chunked");
        let head = sent_and_read(request.body(()).unwrap()).unwrap();
        assert_eq!(head.method, "PURGE");
        assert_eq!(head.uri, "http://shop.test:80/a?b=c");
        let many: Vec<_> = head.headers.get_all("x-many").iter().collect();
        assert_eq!(many, ["1", "2"]);
        assert_eq!(head.headers["x-raw"].as_bytes(), b"\xff");
        assert!(!head.headers.contains_key("connection"));
        assert!(!head.headers.contains_key("transfer-encoding"));
    }

    #[test]
    fn a_request_to_nobody_is_none() {
        let request = http::Request::builder().uri("/").body(()).unwrap();
        assert_eq!(sent_and_read(request).unwrap_err(), HeadError::Uri);
    }

    #[test]
    fn every_class_survives_the_words_of_http() {
        for class in ErrorClass::ALL {
            assert_eq!(class_of(&code_of(class, "why")), class);
        }
    }

    #[test]
    fn fields_that_are_none_are_refused() {
        for (name, value) in [("", &b"a"[..]), ("a b", b"a"), ("a", b"1\r\nb: 2")] {
            let fields = Fields(vec![(name, vec![WireBytes(value)])]);
            assert_eq!(header_map(fields).unwrap_err(), HeadError::Field);
        }
        let hop = Fields(vec![("Transfer-Encoding", vec![WireBytes(b"chunked")])]);
        assert!(header_map(hop).unwrap().is_empty());
        let upper = Fields(vec![("Accept", vec![WireBytes(b"a")])]);
        assert!(header_map(upper).unwrap().contains_key("accept"));
    }
}
