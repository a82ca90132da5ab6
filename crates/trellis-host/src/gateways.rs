//! The gateways of a host: bound when a route asks for their address, closed when none does any more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use trellis_capabilities::http_client::LocalServices;
use trellis_gateway::{
    BindError, Config, DrainReport, Gateway, GatewayLimits, PeerRange, RouteError, RouteTable,
    ShutdownTrigger, shutdown_channel,
};

use crate::host::HostConfig;
use crate::routing::{self, PlannedRoute};

/// Why an address does not serve its routes.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Two routes want the same.
    #[error("two routes on {address} collide")]
    Routes {
        /// Where.
        address: SocketAddr,
        /// Which.
        #[source]
        source: Box<RouteError>,
    },
}

/// Every gateway of a host, by the address that was asked for.
pub(crate) struct Gateways {
    limits: GatewayLimits,
    trusted_peers: Vec<PeerRange>,
    local: Arc<LocalServices>,
    open: BTreeMap<SocketAddr, OpenGateway>,
    running: JoinSet<DrainReport>,
    ended: DrainReport,
}

struct OpenGateway {
    bound: SocketAddr,
    routes: Arc<ArcSwap<RouteTable>>,
    planned: Vec<PlannedRoute>,
    trigger: Arc<ShutdownTrigger>,
}

/// A bound address that serves nothing yet.
pub(crate) struct BoundGateway {
    asked: SocketAddr,
    gateway: Gateway,
}

impl BoundGateway {
    /// Returns the address as it was asked for, perhaps without a port.
    pub(crate) fn asked(&self) -> SocketAddr {
        self.asked
    }
}

/// Cuts off what is in flight in every gateway that was open when it was made.
pub(crate) struct AbortHandle(Vec<Arc<ShutdownTrigger>>);

impl AbortHandle {
    pub(crate) fn abort(&self) {
        self.0.iter().for_each(|trigger| trigger.abort());
    }
}

impl Gateways {
    pub(crate) fn new(config: &HostConfig, local: Arc<LocalServices>) -> Self {
        Self {
            limits: config.gateway_limits.clone(),
            trusted_peers: config.trusted_peers.clone(),
            local,
            open: BTreeMap::new(),
            running: JoinSet::new(),
            ended: DrainReport::default(),
        }
    }

    /// Binds `address`, without serving anything there yet.
    ///
    /// # Errors
    /// When it cannot be had.
    pub(crate) async fn bind(&self, address: SocketAddr) -> Result<BoundGateway, BindError> {
        let config = Config {
            limits: self.limits.clone(),
            trusted_peers: self.trusted_peers.clone(),
            ..Config::new(address)
        };
        let gateway = config.bind().await?;
        Ok(BoundGateway {
            asked: address,
            gateway,
        })
    }

    /// Serves `planned` where it was bound.
    ///
    /// # Errors
    /// When two routes collide.
    pub(crate) fn open(
        &mut self,
        bound: BoundGateway,
        planned: Vec<PlannedRoute>,
    ) -> Result<SocketAddr, GatewayError> {
        let BoundGateway { asked, gateway } = bound;
        let table = table(asked, &planned)?;
        let routes = Arc::new(ArcSwap::from_pointee(table));
        let (trigger, signal) = shutdown_channel();
        let address = gateway.local_addr();
        self.running.spawn(gateway.run(routes.clone(), signal));
        let opened = OpenGateway {
            bound: address,
            routes,
            planned,
            trigger: Arc::new(trigger),
        };
        self.open.insert(asked, opened);
        self.tell_local();
        Ok(address)
    }

    /// Serves exactly `wanted`: binds what is new, swaps the routes of what is there and drains what is
    /// wanted no more. Returns what could not be had, by address.
    pub(crate) async fn serve(
        &mut self,
        wanted: BTreeMap<SocketAddr, Vec<PlannedRoute>>,
    ) -> BTreeMap<SocketAddr, GatewayError> {
        let mut failed = BTreeMap::new();
        self.open.retain(|address, gateway| {
            let stays = wanted.contains_key(address);
            if !stays {
                gateway.trigger.drain();
            }
            stays
        });
        for (address, planned) in wanted {
            if let Err(error) = self.serve_one(address, planned).await {
                failed.insert(address, error);
            }
        }
        self.tell_local();
        failed
    }

    async fn serve_one(
        &mut self,
        address: SocketAddr,
        planned: Vec<PlannedRoute>,
    ) -> Result<(), GatewayError> {
        if let Some(gateway) = self.open.get_mut(&address) {
            gateway.routes.store(Arc::new(table(address, &planned)?));
            gateway.planned = planned;
            return Ok(());
        }
        let bound = self.bind(address).await?;
        self.open(bound, planned).map(|_| ())
    }

    /// Tells the components' clients what is answered on this host without a socket.
    fn tell_local(&self) {
        let open = self.open.values();
        let routes: Vec<_> = open.map(|it| (it.bound, it.planned.clone())).collect();
        self.local.replace(routing::local_map(&routes));
    }

    /// Lets what is in flight finish and closes every gateway.
    pub(crate) async fn drain(&mut self) -> DrainReport {
        for gateway in self.open.values() {
            gateway.trigger.drain();
        }
        while let Some(ended) = self.running.join_next().await {
            match ended {
                Ok(report) => {
                    self.ended.drained += report.drained;
                    self.ended.aborted += report.aborted;
                }
                Err(error) => tracing::error!(%error, "a gateway ended unexpectedly"),
            }
        }
        self.ended
    }

    /// Returns what cuts off what is in flight.
    pub(crate) fn abort_handle(&self) -> AbortHandle {
        AbortHandle(self.open.values().map(|it| it.trigger.clone()).collect())
    }
}

fn table(address: SocketAddr, planned: &[PlannedRoute]) -> Result<RouteTable, GatewayError> {
    routing::table(planned).map_err(|source| GatewayError::Routes {
        address,
        source: Box::new(source),
    })
}
