//! The host itself: its platform, its gateways, its start and its end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use trellis_capabilities::http_client::{LocalServices, Resolve, SystemResolver, TlsTrust};
use trellis_capabilities::keyvalue::{
    EmbeddedBackend, KeyValueBackend, MemoryBackend, OpenOptions,
};
use trellis_core::ComponentId;
use trellis_engine::{Engine, EngineConfig, PoolReport};
use trellis_gateway::{DrainReport, GatewayLimits, PeerRange, ShutdownSignal};

use crate::blueprint::Blueprint;
use crate::catalog::{Catalog, Running};
use crate::deploy::{self, BuildError, Loaded};
use crate::deployable::Deployable;
use crate::error::StartError;
use crate::gateways::{BoundGateway, Gateways};
use crate::http_route::HttpRoute;
use crate::imports::{self, Neighbour, Neighbours};
use crate::progress::{Observer, Progress};
use crate::report::{ApplicationReport, ComponentReport, HostReport};
use crate::routing::{self, PlannedRoute};
use crate::wiring::{self, WiredComponent, WiredRoute, Wiring};

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
    /// Peers of the gateways whose `forwarded` and `x-forwarded-*` headers are believed.
    pub trusted_peers: Vec<PeerRange>,
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

/// A started host. Dropping it ends everything at once; [`Host::run`] ends in order.
pub struct Host {
    pub(crate) platform: Arc<Platform>,
    pub(crate) catalog: Catalog,
    pub(crate) gateways: Gateways,
    /// What the manifests that the host was started with say of each component.
    manifest: HashMap<ComponentId, Blueprint>,
    pub(crate) data_folder: PathBuf,
    pub(crate) cache_folder: Option<PathBuf>,
    /// Where a component answers HTTP whose link names no address.
    pub(crate) default_http: SocketAddr,
    /// Time for what is in flight when the host stops.
    pub(crate) drain_deadline: Duration,
    /// The routes of the applications that the host was started with.
    pub(crate) routes: Vec<PlannedRoute>,
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
        let local = Arc::default();
        let gateways = Gateways::new(&config, Arc::clone(&local));
        let bound = bind(&gateways, &wiring).await?;
        let platform = Arc::new(platform(&config, local)?);
        let Wiring {
            components,
            routes,
            notes,
        } = wiring;
        let loaded = deploy::load_all(&platform, &applications, components, observer).await?;
        let mut report = report(&applications, &loaded, notes);
        let mut host = Self {
            catalog: Catalog::default(),
            manifest: HashMap::new(),
            data_folder: config.data_folder,
            cache_folder: config.cache_folder,
            default_http: config.default_http,
            drain_deadline: config.gateway_limits.drain_deadline,
            routes: Vec::new(),
            report: HostReport::default(),
            platform,
            gateways,
        };
        host.start_all(&applications, &loaded, &mut report, observer)
            .await?;
        check_handlers(&applications, &loaded, &routes)?;
        host.open(bound, plan_routes(&loaded, &routes), &mut report)?;
        host.report = report;
        Ok(host)
    }

    /// Builds every component, leads their links and publishes them together.
    async fn start_all(
        &mut self,
        applications: &[Deployable],
        loaded: &[Loaded],
        report: &mut HostReport,
        observer: &dyn Observer,
    ) -> Result<(), StartError> {
        let mut problems = Vec::new();
        let neighbours = neighbours(loaded);
        for component in loaded {
            let WiredComponent {
                blueprint,
                application,
                ..
            } = &component.wired;
            let code = &component.code.compiled;
            let faults = imports::check_targets(blueprint, code, &neighbours);
            if !faults.is_empty() {
                problems.extend(deploy::in_manifest(applications, &component.wired, faults));
                continue;
            }
            observer.observe(Progress::Starting(blueprint.id.clone()));
            let built =
                deploy::build(&self.platform, blueprint, &component.code.compiled, None).await;
            let built = match built {
                Ok(built) => built,
                Err(BuildError::Machine(error)) => return Err(error),
                Err(BuildError::Faults(faults)) => {
                    problems.extend(deploy::in_manifest(applications, &component.wired, faults));
                    continue;
                }
            };
            report.applications[*application]
                .notes
                .extend(built.notes.iter().cloned());
            self.manifest
                .insert(blueprint.id.clone(), blueprint.clone());
            self.catalog.prepare(Running::new(
                component.wired.path.display().to_string(),
                component.code.clone(),
                component.handle.clone(),
                blueprint.clone(),
                built,
            ));
        }
        for (id, faults) in self.catalog.lead(None) {
            let wired = loaded.iter().map(|it| &it.wired);
            for wired in wired.filter(|it| it.blueprint.id == id) {
                problems.extend(deploy::in_manifest(applications, wired, faults.clone()));
            }
        }
        if !problems.is_empty() {
            return Err(StartError::Problems(problems));
        }
        for component in loaded {
            let id = &component.wired.blueprint.id;
            self.catalog.publish(id);
            observer.observe(Progress::Ready(id.clone()));
            let links = self.catalog.links(id);
            report.applications[component.wired.application]
                .links
                .extend(links.cloned());
        }
        Ok(())
    }

    /// Gives each bound gateway its routes.
    fn open(
        &mut self,
        bound: Vec<BoundGateway>,
        planned: Vec<(usize, PlannedRoute)>,
        report: &mut HostReport,
    ) -> Result<(), StartError> {
        for gateway in bound {
            let asked = gateway.asked();
            let routes = planned.iter().filter(|(_, route)| route.address == asked);
            let routes: Vec<_> = routes.cloned().collect();
            let address = self.gateways.open(
                gateway,
                routes.iter().map(|(_, route)| route.clone()).collect(),
            )?;
            for (application, route) in routes {
                report.applications[application]
                    .urls
                    .push(routing::url(&route, address));
                self.routes.push(route);
            }
            report.listening.push(address);
        }
        Ok(())
    }

    /// Returns what a manifest that the host was started with says of a component.
    pub(crate) fn manifest_blueprint(&self, id: &ComponentId) -> Option<&Blueprint> {
        self.manifest.get(id)
    }

    /// Returns what the host was started with.
    pub fn report(&self) -> &HostReport {
        &self.report
    }

    /// Returns how the instances of this host get their memory.
    pub fn pool(&self) -> PoolReport {
        self.platform.engine.pool()
    }

    /// Serves until `shutdown`, then drains its gateways and takes its components out of service.
    pub async fn run(mut self, mut shutdown: ShutdownSignal) -> DrainReport {
        shutdown.draining().await;
        self.end(shutdown).await
    }

    /// Lets what is in flight finish, unless `shutdown` becomes an abort.
    pub(crate) async fn end(&mut self, mut shutdown: ShutdownSignal) -> DrainReport {
        let mut abort = std::pin::pin!(shutdown.aborting());
        let aborted = self.gateways.abort_handle();
        let report = {
            let mut drain = std::pin::pin!(self.gateways.drain());
            tokio::select! {
                report = &mut drain => report,
                () = &mut abort => {
                    aborted.abort();
                    drain.await
                }
            }
        };
        self.catalog.withdraw_all();
        report
    }
}

fn platform(config: &HostConfig, local: Arc<LocalServices>) -> Result<Platform, StartError> {
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
        local,
        resolver: Arc::new(SystemResolver::default()),
        tls: TlsTrust::new([]).map_err(|error| StartError::Tls(error.into()))?,
    })
}

/// Binds every address first, so that a port in use is known before anything is compiled.
async fn bind(gateways: &Gateways, wiring: &Wiring) -> Result<Vec<BoundGateway>, StartError> {
    let mut bound: Vec<BoundGateway> = Vec::new();
    for route in &wiring.routes {
        if bound.iter().any(|it| it.asked() == route.address) {
            continue;
        }
        let gateway = gateways.bind(route.address).await?;
        bound.push(gateway);
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
        let generation = target.handle.generation();
        if generation.is_some_and(|generation| generation.serves_http()) {
            continue;
        }
        let exports = target.code.compiled.exports();
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

fn neighbours(loaded: &[Loaded]) -> Neighbours {
    let all = loaded.iter().map(|component| {
        let neighbour = Neighbour {
            handle: component.handle.clone(),
            exports: component.code.compiled.exports().into(),
        };
        (component.handle.id().clone(), neighbour)
    });
    all.collect()
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
                entrance: Arc::new(HttpRoute {
                    component: component.handle.clone(),
                }),
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
                digest: component.code.digest.clone(),
                wasi: component.code.compiled.wasi_level().name(),
                from_cache: component.code.compiled.from_cache,
            });
    }
    HostReport {
        applications: reports,
        listening: Vec::new(),
    }
}
