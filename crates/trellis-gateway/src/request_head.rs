//! Checks the head of a request, and cleans it for the handler.

use std::net::Ipv6Addr;

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};

use crate::limits::GatewayLimits;
use crate::refusal::Rejection;

/// Headers between two neighbours, not between client and handler.
pub(crate) const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    http::header::PROXY_AUTHENTICATE,
    http::header::PROXY_AUTHORIZATION,
    http::header::TE,
    http::header::TRAILER,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Headers by which a proxy tells where a request came from.
const FORWARDED_PREFIX: &str = "x-forwarded-";

const fn bad(text: &'static str) -> Rejection {
    Rejection::closing(StatusCode::BAD_REQUEST, text)
}

/// What one pass over the headers found.
#[derive(Clone, Copy, Default)]
pub(crate) struct Census {
    bytes: usize,
    hop_by_hop: bool,
    forwarded: bool,
    upgrade: bool,
}

impl Census {
    /// Looks at every header once.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut census = Self::default();
        for (name, value) in headers {
            // ": " and the line end, as it would be written in HTTP/1.
            census.bytes += name.as_str().len() + value.len() + 4;
            match name.as_str() {
                "connection"
                | "keep-alive"
                | "proxy-connection"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "http2-settings" => census.hop_by_hop = true,
                "upgrade" => {
                    census.hop_by_hop = true;
                    census.upgrade = true;
                }
                "forwarded" => census.forwarded = true,
                other if other.starts_with(FORWARDED_PREFIX) => census.forwarded = true,
                _ => {}
            }
        }
        census
    }

    /// Tells whether the headers are more than `limits` allow.
    pub(crate) fn exceeds(&self, headers: &HeaderMap, limits: &GatewayLimits) -> bool {
        self.bytes > limits.header_bytes_max || headers.len() > limits.headers_max
    }

    /// Tells whether any header is hop-by-hop.
    pub(crate) fn has_hop_by_hop(&self) -> bool {
        self.hop_by_hop
    }
}

/// Checks everything about a head that does not depend on routes. Returns what [`clean`] needs.
pub(crate) fn check<B>(request: &Request<B>, limits: &GatewayLimits) -> Result<Census, Rejection> {
    let uri = request.uri();
    let target_bytes = uri.path_and_query().map_or(0, |it| it.as_str().len())
        + uri.authority().map_or(0, |it| it.as_str().len());
    if target_bytes > limits.uri_bytes_max {
        return Err(Rejection::closing(
            StatusCode::URI_TOO_LONG,
            "uri too long: the request target is longer than this gateway takes\n",
        ));
    }
    let census = Census::of(request.headers());
    if census.exceeds(request.headers(), limits) {
        return Err(Rejection::closing(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers too large: more or longer headers than this gateway takes\n",
        ));
    }
    if request.method() == Method::CONNECT {
        return Err(Rejection::closing(
            StatusCode::NOT_IMPLEMENTED,
            "not implemented: this gateway is no proxy and does not take CONNECT\n",
        ));
    }
    if census.upgrade {
        return Err(Rejection::closing(
            StatusCode::NOT_IMPLEMENTED,
            "not implemented: this gateway does not upgrade connections (WebSocket included); \
             HTTP/2 works by prior knowledge\n",
        ));
    }
    check_target(request)?;
    Ok(census)
}

fn check_target<B>(request: &Request<B>) -> Result<(), Rejection> {
    let uri = request.uri();
    if uri.authority().is_some() && !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(bad(
            "bad request: the request target is no path and no http URL\n",
        ));
    }
    if uri.path() == "*" && request.method() != Method::OPTIONS {
        return Err(bad("bad request: the target * is for OPTIONS only\n"));
    }
    Ok(())
}

/// Returns the host that a request names, without port; `None` where HTTP/1.0 names none.
pub(crate) fn host<B>(request: &Request<B>) -> Result<Option<&str>, Rejection> {
    let mut lines = request.headers().get_all(HOST).iter();
    let (line, second) = (lines.next(), lines.next());
    if second.is_some() {
        return Err(bad("bad request: more than one host header\n"));
    }
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    match (line, target) {
        (Some(line), target) => {
            let text = line
                .to_str()
                .map_err(|_| bad("bad request: malformed host\n"))?;
            if target.is_some_and(|target| !target.eq_ignore_ascii_case(text)) {
                return Err(bad(
                    "bad request: the host header differs from the target\n",
                ));
            }
            host_of_authority(text).map(Some)
        }
        (None, Some(target)) if request.version() != Version::HTTP_11 => {
            host_of_authority(target).map(Some)
        }
        (None, None) if request.version() == Version::HTTP_10 => Ok(None),
        (None, _) => Err(bad("bad request: no host header\n")),
    }
}

/// Takes the port off `authority`, and checks that the rest can be a host.
fn host_of_authority(authority: &str) -> Result<&str, Rejection> {
    let malformed = bad("bad request: malformed host\n");
    let (host, port) = match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((address, port)) => {
            address.parse::<Ipv6Addr>().map_err(|_| malformed)?;
            (&authority[..address.len() + 2], port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_is_sound = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() <= 5,
    };
    let is_name = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if host.is_empty() || !port_is_sound || !(is_name || host.starts_with('[')) {
        return Err(malformed);
    }
    Ok(host)
}

/// Removes what a handler must not see or believe, and adds what it may rely on.
pub(crate) fn clean<B>(request: &mut Request<B>, census: Census, peer_is_trusted: bool) {
    if census.forwarded && !peer_is_trusted {
        remove_forwarded(request.headers_mut());
    }
    if census.hop_by_hop {
        remove_hop_by_hop(request.headers_mut());
    }
    if request.version() == Version::HTTP_2 {
        clean_http2(request);
    }
}

/// Makes an HTTP/2 head look as HTTP/1 heads do: a host header, and cookies in one line.
fn clean_http2<B>(request: &mut Request<B>) {
    if !request.headers().contains_key(HOST)
        && let Some(authority) = request.uri().authority()
        && let Ok(value) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, value);
    }
    let mut crumbs = request.headers().get_all(COOKIE).iter();
    if crumbs.next().is_some() && crumbs.next().is_some() {
        let crumbs: Vec<&[u8]> = request
            .headers()
            .get_all(COOKIE)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if let Ok(value) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            request.headers_mut().insert(COOKIE, value);
        }
    }
}

fn remove_forwarded(headers: &mut HeaderMap) {
    headers.remove(http::header::FORWARDED);
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(FORWARDED_PREFIX))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

/// Removes the headers between neighbours, with those that `connection` names. Host and length are
/// not for a client to take away.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| {
            !name.eq_ignore_ascii_case("close") && !name.eq_ignore_ascii_case("keep-alive")
        })
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Removes from trailers what only counts in a head.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    remove_forwarded(trailers);
    for name in [HOST, CONTENT_LENGTH, crate::request_id::REQUEST_ID] {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_host(version: Version, target: &str, hosts: &[&str], expected: Option<Option<&str>>) {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let request = request.body(()).expect("a request");
        let found = check(&request, &GatewayLimits::default())
            .and_then(|_| host(&request))
            .ok();
        assert_eq!(found, expected, "{version:?} {target} {hosts:?}");
    }

    #[test]
    fn a_request_names_one_host() {
        use Version as V;
        check_host(V::HTTP_11, "/", &["a.test:8000"], Some(Some("a.test")));
        check_host(V::HTTP_11, "/", &["[::1]:8000"], Some(Some("[::1]")));
        check_host(V::HTTP_11, "/", &["127.0.0.1"], Some(Some("127.0.0.1")));
        check_host(
            V::HTTP_11,
            "http://A.test/x",
            &["a.test"],
            Some(Some("a.test")),
        );
        check_host(V::HTTP_10, "/", &[], Some(None));
        check_host(V::HTTP_2, "http://a.test/", &[], Some(Some("a.test")));
        check_host(V::HTTP_2, "http://a.test/", &["b.test"], None);
        check_host(V::HTTP_11, "/", &[], None);
        check_host(V::HTTP_11, "http://a.test/", &[], None);
        check_host(V::HTTP_11, "http://a.test/", &["b.test"], None);
        check_host(V::HTTP_11, "/", &["a.test", "a.test"], None);
        check_host(V::HTTP_11, "ftp://a.test/", &["a.test"], None);
        check_host(V::HTTP_11, "*", &["a.test"], None);
    }

    #[test]
    fn a_malformed_host_is_refused() {
        for host in [
            "", ":80", "a b", "a@b", "a/b", "a:b", "a:1:2", "a:123456", "[::g]", "[::1", "a,b",
            "[::1]x",
        ] {
            check_host(Version::HTTP_11, "/", &[host], None);
        }
    }

    #[test]
    fn cleaning_takes_what_is_not_for_the_handler() {
        let request = Request::builder()
            .uri("/")
            .header(HOST, "a.test")
            .header(CONNECTION, "close, x-secret, host")
            .header("x-secret", "1")
            .header("keep-alive", "5")
            .header("te", "trailers")
            .header("forwarded", "for=1")
            .header("x-forwarded-for", "1")
            .header("x-forwarded-whatever", "1")
            .header("accept", "*/*");
        let mut request = request.body(()).expect("a request");
        let census = Census::of(request.headers());
        clean(&mut request, census, true);
        assert_eq!(request.headers()["x-forwarded-for"], "1");
        clean(&mut request, census, false);
        let mut left: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "host"]);
    }
}
