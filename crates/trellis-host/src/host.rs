//! The host itself: its platform, its gateways, its start and its end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use trellis_capabilities::http_client::{LocalServices, Resolve, SystemResolver, TlsTrust};
use trellis_capabilities::keyvalue::{
    EmbeddedBackend, KeyValueBackend, MemoryBackend, OpenOptions,
};
use trellis_core::ComponentId;
use trellis_engine::{ComponentHandle, Engine, EngineConfig, PoolReport};
use trellis_gateway::{
    Config as GatewayConfig, DrainReport, Gateway, GatewayLimits, RouteTable, ShutdownSignal,
};

use crate::deploy::{self, Loaded};
use crate::deployable::Deployable;
use crate::error::StartError;
use crate::progress::Observer;
use crate::report::{ApplicationReport, ComponentReport, HostReport};
use crate::routing::{self, PlannedRoute};
use crate::wiring::{self, WiredRoute, Wiring};

/// What all keys and values in memory of one provider may take. A quarter of a small machine.
const MEMORY_STORE_BYTES_MAX: usize = 256 << 20;

/// What a host is made with.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where durable state is kept.
    pub data_folder: PathBuf,
    /// Where compiled code is kept; none compiles at each start.
    pub cache_folder: Option<PathBuf>,
    /// Where a component answers HTTP whose link names no address.
    pub default_http: SocketAddr,
    /// The bounds of each gateway.
    pub gateway_limits: GatewayLimits,
    /// What all guests may use together, in bytes; none takes half of what the machine has.
    pub guest_memory_bytes_max: Option<u64>,
}

/// What components of all applications share.
pub(crate) struct Platform {
    pub(crate) engine: Engine,
    pub(crate) stores: Stores,
    pub(crate) local: Arc<LocalServices>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) tls: TlsTrust,
}

/// The key-value stores of a host, opened when first linked.
pub(crate) struct Stores {
    file: PathBuf,
    embedded: OnceCell<Arc<EmbeddedBackend>>,
    memory: Mutex<HashMap<ComponentId, Arc<MemoryBackend>>>,
}

impl Stores {
    /// Returns the store in memory of one provider.
    pub(crate) fn memory(&self, provider: &ComponentId) -> Arc<dyn KeyValueBackend> {
        let mut stores = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let store = stores
            .entry(provider.clone())
            .or_insert_with(|| Arc::new(MemoryBackend::new(MEMORY_STORE_BYTES_MAX)));
        store.clone()
    }

    /// Returns the durable store of the host.
    pub(crate) async fn embedded(&self) -> Result<Arc<dyn KeyValueBackend>, StartError> {
        let open = || async {
            let options = OpenOptions::new(&self.file);
            let store = tokio::task::spawn_blocking(move || EmbeddedBackend::open(options)).await;
            let store = store.map_err(|_| StartError::Internal {
                path: self.file.clone(),
            })?;
            Ok::<_, StartError>(Arc::new(store?))
        };
        Ok(self.embedded.get_or_try_init(open).await?.clone())
    }
}

/// A bound gateway and the routes that it will serve.
type RoutedGateway = (Gateway, Arc<ArcSwap<RouteTable>>);

/// A started host. Dropping it ends everything at once; [`Host::run`] ends in order.
pub struct Host {
    platform: Platform,
    gateways: Vec<RoutedGateway>,
    components: Vec<Arc<ComponentHandle>>,
    report: HostReport,
}

impl Host {
    /// Starts a host with `applications`: wires them, binds the addresses that they ask for, compiles
    /// and starts their components, and only then lets requests in.
    ///
    /// # Errors
    /// Everything that is wrong with the applications at once, or the first thing that is wrong with
    /// the machine. Nothing stays bound or running.
    ///
    /// # Cancel safety
    /// As on an error.
    pub async fn start(
        config: HostConfig,
        applications: Vec<Deployable>,
        observer: &dyn Observer,
    ) -> Result<Self, StartError> {
        let wiring =
            wiring::wire(&applications, config.default_http).map_err(StartError::Problems)?;
        let bound = bind(&wiring, &config).await?;
        let platform = platform(&config).await?;
        let Wiring {
            components,
            routes,
            notes,
        } = wiring;
        let loaded = deploy::load_all(&platform, &applications, components, observer).await?;
        let started = deploy::start_all(&platform, &applications, &loaded, observer).await?;
        check_handlers(&applications, &loaded, &routes)?;

        let planned = plan_routes(&loaded, &routes);
        let mut report = report(&applications, &loaded, notes);
        for (application, link) in started.links {
            report.applications[application].links.push(link);
        }
        for (application, note) in started.notes {
            report.applications[application].notes.push(note);
        }
        let gateways = open(&platform, bound, planned, &mut report)?;
        let components = loaded
            .into_iter()
            .map(|component| component.handle)
            .collect();
        Ok(Self {
            platform,
            gateways,
            components,
            report,
        })
    }

    /// Returns what runs.
    pub fn report(&self) -> &HostReport {
        &self.report
    }

    /// Returns how the instances of this host get their memory.
    pub fn pool(&self) -> PoolReport {
        self.platform.engine.pool()
    }

    /// Serves until `shutdown`, then drains its gateways and takes its components out of service.
    pub async fn run(self, mut shutdown: ShutdownSignal) -> DrainReport {
        let mut running = JoinSet::new();
        for (gateway, routes) in self.gateways {
            running.spawn(gateway.run(routes, shutdown.clone()));
        }
        if running.is_empty() {
            shutdown.draining().await;
        }
        let mut total = DrainReport::default();
        while let Some(ended) = running.join_next().await {
            match ended {
                Ok(report) => {
                    total.drained += report.drained;
                    total.aborted += report.aborted;
                }
                Err(error) => tracing::error!(%error, "a gateway ended unexpectedly"),
            }
        }
        for component in &self.components {
            component.withdraw();
        }
        total
    }
}

async fn platform(config: &HostConfig) -> Result<Platform, StartError> {
    let engine_config = EngineConfig {
        cache_folder: config.cache_folder.clone(),
        memory_bytes_max: config.guest_memory_bytes_max,
    };
    Ok(Platform {
        engine: Engine::new(engine_config)?,
        stores: Stores {
            file: config.data_folder.join("keyvalue.redb"),
            embedded: OnceCell::new(),
            memory: Mutex::default(),
        },
        local: Arc::default(),
        resolver: Arc::new(SystemResolver::default()),
        tls: TlsTrust::new([]).map_err(|error| StartError::Tls(error.into()))?,
    })
}

/// Binds every address first, so that a port in use is known before anything is compiled.
async fn bind(
    wiring: &Wiring,
    config: &HostConfig,
) -> Result<Vec<(SocketAddr, Gateway)>, StartError> {
    let mut bound: Vec<(SocketAddr, Gateway)> = Vec::new();
    for route in &wiring.routes {
        if bound.iter().any(|(address, _)| *address == route.address) {
            continue;
        }
        let gateway = GatewayConfig {
            limits: config.gateway_limits.clone(),
            ..GatewayConfig::new(route.address)
        };
        bound.push((route.address, gateway.bind().await?));
    }
    Ok(bound)
}

/// Refuses a route to a component that does not answer HTTP.
fn check_handlers(
    applications: &[Deployable],
    loaded: &[Loaded],
    routes: &[WiredRoute],
) -> Result<(), StartError> {
    let mut problems = Vec::new();
    for route in routes {
        let Some(target) = loaded.iter().find(|it| *it.handle.id() == route.component) else {
            continue;
        };
        if target
            .handle
            .generation()
            .is_some_and(|generation| generation.serves_http())
        {
            continue;
        }
        let exports = target.compiled.exports();
        let message = format!("component {} does not answer HTTP", route.component);
        let hint = if exports.is_empty() {
            "it exports nothing; it must export wasi:http/incoming-handler@0.2 or handler@0.3"
                .into()
        } else {
            format!("it exports {}", exports.join(", "))
        };
        let deployable = &applications[route.application];
        problems.push(wiring::problem(deployable, route.span, message, Some(hint)));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(StartError::Problems(problems))
    }
}

fn plan_routes(loaded: &[Loaded], routes: &[WiredRoute]) -> Vec<(usize, PlannedRoute)> {
    routes
        .iter()
        .filter_map(|route| {
            let component = loaded
                .iter()
                .find(|it| *it.handle.id() == route.component)?;
            let planned = PlannedRoute {
                address: route.address,
                host: route.host.clone(),
                path_prefix: route.path_prefix.clone(),
                component: component.handle.clone(),
            };
            Some((route.application, planned))
        })
        .collect()
}

fn report(applications: &[Deployable], loaded: &[Loaded], notes: Vec<Vec<String>>) -> HostReport {
    let mut reports: Vec<ApplicationReport> = applications
        .iter()
        .zip(notes)
        .map(|(deployable, notes)| ApplicationReport {
            name: deployable.application.name.to_string(),
            version: deployable.application.version.clone(),
            components: Vec::new(),
            links: Vec::new(),
            urls: Vec::new(),
            notes,
        })
        .collect();
    for component in loaded {
        reports[component.wired.application]
            .components
            .push(ComponentReport {
                id: component.handle.id().clone(),
                digest: component.artifact_digest.clone(),
                wasi: component.compiled.wasi_level().name(),
                from_cache: component.compiled.from_cache,
            });
    }
    HostReport {
        applications: reports,
        listening: Vec::new(),
    }
}

/// Gives each gateway its routes and tells the components' clients what is on this host.
fn open(
    platform: &Platform,
    bound: Vec<(SocketAddr, Gateway)>,
    planned: Vec<(usize, PlannedRoute)>,
    report: &mut HostReport,
) -> Result<Vec<RoutedGateway>, StartError> {
    let mut gateways = Vec::new();
    let mut local = Vec::new();
    for (asked, gateway) in bound {
        let address = gateway.local_addr();
        let mut routes = Vec::new();
        for (application, route) in planned.iter().filter(|(_, route)| route.address == asked) {
            report.applications[*application]
                .urls
                .push(routing::url(route, address));
            routes.push(route.clone());
        }
        let table = routing::table(&routes).map_err(|source| StartError::Routes {
            address,
            source: Box::new(source),
        })?;
        report.listening.push(address);
        gateways.push((gateway, Arc::new(ArcSwap::from_pointee(table))));
        local.push((address, routes));
    }
    platform.local.replace(routing::local_map(&local));
    Ok(gateways)
}
