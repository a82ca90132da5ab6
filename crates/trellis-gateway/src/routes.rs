//! The routing table: which handler answers for a host and a path. Immutable; swapped as a whole.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};

use crate::refusal::Refusal;
use crate::request_body::RequestBody;
use crate::response_body::ResponseBody;

/// The bytes of the longest host name that DNS allows, in text form.
const HOST_BYTES_MAX: usize = 253;

/// What a [`Handler`] returns: the one task of a request. Dropped when the client goes away.
pub type HandlerFuture =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Refusal>> + Send>>;

/// Answers the requests of one route.
pub trait Handler: Send + Sync + 'static {
    /// Answers `request`, whose head was checked and cleaned: it has a `host` header (unless an
    /// HTTP/1.0 client sent none), an `x-request-id`, and no hop-by-hop headers.
    ///
    /// # Cancel safety
    /// The future is dropped when the client goes away or the drain deadline passes.
    fn call(&self, request: Request<RequestBody>) -> HandlerFuture;
}

/// One entry of the routing table.
#[derive(Clone)]
pub struct Route {
    /// What the route belongs to; appears in errors and logs, never in an answer.
    pub name: String,
    /// The host it answers for, without port; `None` for every host.
    pub host: Option<String>,
    /// The path it answers for, with everything below it: `/` or `/shop`.
    pub path_prefix: String,
    /// What answers.
    pub handler: Arc<dyn Handler>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("name", &self.name)
            .field("host", &self.host)
            .field("path_prefix", &self.path_prefix)
            .finish_non_exhaustive()
    }
}

/// What a route answers for, in the one form in which two are compared: `/shop` and `/shop/` are the
/// same, and so are `Example.com` and `example.com.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoutePlace {
    /// `None` for every host.
    host: Option<Box<str>>,
    segments: Vec<Box<str>>,
}

impl RoutePlace {
    /// Reads the host and the path of the route that is called `name`.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn new(name: &str, host: Option<&str>, path_prefix: &str) -> Result<Self, RouteError> {
        let segments = segments_of_prefix(name, path_prefix)?;
        Ok(Self {
            host: host.map(|host| host_key(name, host)).transpose()?,
            segments: segments.into_iter().map(Into::into).collect(),
        })
    }
}

/// Why routes do not make a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Two routes answer for the same host and path.
    #[error("{first} and {second} both want path {path_prefix} of {}", host.as_deref().unwrap_or("every host"))]
    Conflict {
        /// The host of both.
        host: Option<String>,
        /// The path of both.
        path_prefix: String,
        /// The name of the route that came first.
        first: String,
        /// The name of the other.
        second: String,
    },
    /// A path prefix is not one.
    #[error("the path {path_prefix:?} of {name} is not a path of whole segments such as `/shop`")]
    PathPrefix {
        /// The name of the route.
        name: String,
        /// Its path as it was given.
        path_prefix: String,
    },
    /// A host is not one.
    #[error("the host {host:?} of {name} is not a host name or address without port")]
    Host {
        /// The name of the route.
        name: String,
        /// Its host as it was given.
        host: String,
    },
}

/// An immutable set of routes. The longest prefix of whole path segments wins; routes of the exact
/// host are looked at before those of every host.
#[derive(Default)]
pub struct RouteTable {
    hosts: HashMap<Box<str>, Segment>,
    every_host: Segment,
    count: usize,
}

/// One path segment, with the routes at it and below it.
#[derive(Default)]
struct Segment {
    route: Option<Route>,
    /// Sorted by name.
    below: Vec<(Box<str>, Segment)>,
}

impl RouteTable {
    /// Builds the table.
    ///
    /// # Errors
    /// When two routes have the same host and path, or one has no valid host or path.
    pub fn new(routes: Vec<Route>) -> Result<Self, RouteError> {
        let mut table = Self::default();
        for route in routes {
            table.insert(route)?;
        }
        Ok(table)
    }

    /// Returns the number of routes.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Tells whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the route that answers for `path` (raw, without query) on `host` (without port, in
    /// any case).
    pub fn find(&self, host: Option<&str>, path: &str) -> Option<&Route> {
        let of_host = match host {
            Some(host) if !self.hosts.is_empty() => self.host(host),
            _ => None,
        };
        of_host
            .and_then(|root| root.find(path))
            .or_else(|| self.every_host.find(path))
    }

    fn host(&self, host: &str) -> Option<&Segment> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let mut lower = [0; HOST_BYTES_MAX];
        let lower = lower.get_mut(..host.len())?;
        lower.copy_from_slice(host.as_bytes());
        lower.make_ascii_lowercase();
        self.hosts.get(std::str::from_utf8(lower).ok()?)
    }

    fn insert(&mut self, route: Route) -> Result<(), RouteError> {
        let place = RoutePlace::new(&route.name, route.host.as_deref(), &route.path_prefix)?;
        let root = match place.host {
            None => &mut self.every_host,
            Some(host) => self.hosts.entry(host).or_default(),
        };
        let mut segment = root;
        for name in place.segments {
            let at = match segment
                .below
                .binary_search_by(|(known, _)| known.cmp(&name))
            {
                Ok(at) => at,
                Err(at) => {
                    segment.below.insert(at, (name, Segment::default()));
                    at
                }
            };
            segment = &mut segment.below[at].1;
        }
        match &segment.route {
            Some(first) => Err(RouteError::Conflict {
                host: route.host.clone(),
                path_prefix: route.path_prefix.clone(),
                first: first.name.clone(),
                second: route.name,
            }),
            None => {
                segment.route = Some(route);
                self.count += 1;
                Ok(())
            }
        }
    }
}

impl Segment {
    /// Walks down `path` as far as there are routes; the work is bounded by the depth of the table,
    /// not by the length of what a client sent.
    fn find(&self, path: &str) -> Option<&Route> {
        let mut best = self.route.as_ref();
        if self.below.is_empty() {
            return best.filter(|_| path.starts_with('/'));
        }
        let mut segment = self;
        for name in path.strip_prefix('/')?.split('/') {
            let Ok(at) = segment
                .below
                .binary_search_by(|(known, _)| (**known).cmp(name))
            else {
                break;
            };
            segment = &segment.below[at].1;
            best = segment.route.as_ref().or(best);
        }
        best
    }
}

/// Splits the prefix of the route `name`; a slash at its end changes nothing.
fn segments_of_prefix<'a>(name: &str, path_prefix: &'a str) -> Result<Vec<&'a str>, RouteError> {
    let error = || RouteError::PathPrefix {
        name: name.to_owned(),
        path_prefix: path_prefix.to_owned(),
    };
    let path = path_prefix.strip_prefix('/').ok_or_else(error)?;
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    let odd = |c: char| !c.is_ascii_graphic() || matches!(c, '?' | '#');
    let segments: Vec<&str> = path.split('/').collect();
    if segments
        .iter()
        .any(|name| matches!(*name, "" | "." | "..") || name.contains(odd))
    {
        return Err(error());
    }
    Ok(segments)
}

/// Returns the host of the route `name` as the table knows it.
fn host_key(name: &str, host: &str) -> Result<Box<str>, RouteError> {
    let plain = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_address = plain.starts_with('[')
        && plain.ends_with(']')
        && plain[1..plain.len() - 1]
            .parse::<std::net::Ipv6Addr>()
            .is_ok();
    let is_name = !plain.is_empty()
        && plain.len() <= HOST_BYTES_MAX
        && plain
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if is_address || is_name {
        return Ok(plain.into());
    }
    Err(RouteError::Host {
        name: name.to_owned(),
        host: host.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    struct Nothing;
    impl Handler for Nothing {
        fn call(&self, _: Request<RequestBody>) -> HandlerFuture {
            Box::pin(async { Ok(Response::new(ResponseBody::empty())) })
        }
    }

    fn route(name: &str, host: Option<&str>, path_prefix: &str) -> Route {
        Route {
            name: name.to_owned(),
            host: host.map(str::to_owned),
            path_prefix: path_prefix.to_owned(),
            handler: Arc::new(Nothing),
        }
    }

    fn check(table: &RouteTable, host: Option<&str>, path: &str, expected: Option<&str>) {
        let found = table.find(host, path).map(|route| route.name.as_str());
        assert_eq!(found, expected, "{host:?} {path}");
    }

    #[test]
    fn exact_hosts_come_first_and_prefixes_are_whole_segments() {
        let table = RouteTable::new(vec![
            route("all", None, "/"),
            route("shop", None, "/shop/"),
            route("cart", None, "/shop/cart"),
            route("host", Some("Example.COM"), "/shop"),
        ])
        .unwrap();
        check(&table, None, "/", Some("all"));
        check(&table, None, "/shopping", Some("all"));
        check(&table, None, "/shop", Some("shop"));
        check(&table, None, "/shop/", Some("shop"));
        check(&table, None, "/shop/cart/1", Some("cart"));
        check(&table, Some("example.com"), "/shop/cart/1", Some("host"));
        check(&table, Some("EXAMPLE.com."), "/shop", Some("host"));
        check(&table, Some("example.com"), "/other", Some("all"));
        check(&table, Some(&"x".repeat(5_000)), "/other", Some("all"));
        check(&table, None, "*", None);
    }

    #[test]
    fn an_unknown_host_finds_nothing_where_every_route_has_one() {
        let table = RouteTable::new(vec![route("a", Some("a.test"), "/")]).unwrap();
        check(&table, Some("b.test"), "/", None);
        check(&table, None, "/", None);
        check(&table, Some("a.test"), "/", Some("a"));
    }

    #[test]
    fn a_conflict_names_both() {
        let error = RouteTable::new(vec![route("one", None, "/a"), route("two", None, "/a/")]);
        let text = error.err().unwrap().to_string();
        assert_eq!(text, "one and two both want path /a/ of every host");
    }

    #[test]
    fn bad_hosts_and_paths_are_refused() {
        for path in [
            "", "a", "/a//b", "/a/../b", "/./a", "/a?b", "/a b", "/ä", "//",
        ] {
            assert!(
                RouteTable::new(vec![route("r", None, path)]).is_err(),
                "{path:?} was taken"
            );
        }
        for host in ["", "a:80", "a/b", "a b", "*.a", "[::g]", "a@b"] {
            let bad = RouteTable::new(vec![route("r", Some(host), "/")]);
            assert!(bad.is_err(), "{host:?} was taken");
        }
        assert!(RouteTable::new(vec![route("r", Some("[::1]"), "/")]).is_ok());
    }

    proptest! {
        #[test]
        fn the_longest_prefix_wins(
            prefixes in proptest::collection::btree_set("(/[ab]{1,2}){0,4}", 0..12),
            path in "(/[ab]{0,2}){1,6}",
        ) {
            let full = |prefix: &str| if prefix.is_empty() { "/".to_owned() } else { prefix.to_owned() };
            let routes = prefixes.iter().map(|p| route(&full(p), None, &full(p))).collect();
            let table = RouteTable::new(routes).unwrap();
            let expected = prefixes
                .iter()
                .filter(|prefix| path == ***prefix || path.starts_with(&format!("{prefix}/")))
                .max_by_key(|prefix| prefix.len())
                .map(|prefix| full(prefix));
            let found = table.find(None, &path).map(|route| route.name.clone());
            prop_assert_eq!(found, expected);
        }
    }
}
