//! What answers for which address, host and path.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use trellis_capabilities::http_client::{Authority, Host as HttpHost, LocalMap, LocalService};
use trellis_gateway::{Route, RouteError, RouteTable};

use crate::http_route::HttpEntrance;
use crate::outgoing::LocalEntrance;

/// One route, before its address is bound.
#[derive(Clone)]
pub(crate) struct PlannedRoute {
    pub(crate) address: SocketAddr,
    pub(crate) host: Option<String>,
    pub(crate) path_prefix: String,
    pub(crate) entrance: Arc<dyn HttpEntrance>,
}

/// Makes the table of one gateway.
pub(crate) fn table(routes: &[PlannedRoute]) -> Result<RouteTable, RouteError> {
    let routes = routes
        .iter()
        .map(|route| Route {
            name: format!("component {}", route.entrance.component()),
            host: route.host.clone(),
            path_prefix: route.path_prefix.clone(),
            handler: route.entrance.clone(),
        })
        .collect();
    RouteTable::new(routes)
}

/// Returns the URL under which a route answers on the address that was bound.
pub(crate) fn url(route: &PlannedRoute, bound: SocketAddr) -> String {
    let host = match &route.host {
        Some(host) => format!("{host}:{}", bound.port()),
        None if bound.ip().is_unspecified() => format!("localhost:{}", bound.port()),
        None => bound.to_string(),
    };
    format!("http://{host}{}", route.path_prefix)
}

/// Makes the map of authorities that are answered without a socket.
pub(crate) fn local_map(bound: &[(SocketAddr, Vec<PlannedRoute>)]) -> LocalMap {
    let mut entrances = HashMap::<Authority, Vec<(String, Arc<dyn HttpEntrance>)>>::new();
    for (address, routes) in bound {
        for route in routes {
            for host in names(route, *address) {
                let Ok(host) = HttpHost::parse(&host) else {
                    continue;
                };
                let authority = Authority {
                    host,
                    port: address.port(),
                };
                let entry = (route.path_prefix.clone(), route.entrance.clone());
                entrances.entry(authority).or_default().push(entry);
            }
        }
    }
    entrances
        .into_iter()
        .map(|(authority, routes)| {
            (
                authority,
                Arc::new(LocalEntrance::new(routes)) as Arc<dyn LocalService>,
            )
        })
        .collect()
}

/// Returns the host names under which a route is reached from this host.
fn names(route: &PlannedRoute, bound: SocketAddr) -> Vec<String> {
    match &route.host {
        Some(host) => vec![host.clone()],
        None => {
            let ip = match bound {
                SocketAddr::V4(address) => address.ip().to_string(),
                SocketAddr::V6(address) => format!("[{}]", address.ip()),
            };
            vec!["localhost".to_owned(), ip]
        }
    }
}
