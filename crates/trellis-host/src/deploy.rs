//! From wired components to running ones: load, compile, link, start, publish.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use trellis_artifact::{Artifact, Bounds, LoadError};
use trellis_capabilities::config::Config;
use trellis_capabilities::http_client::{ClientConfig, HttpClient};
use trellis_capabilities::keyvalue::{KeyValue, KeyValueLink};
use trellis_capabilities::logging::Logging;
use trellis_core::{ComponentId, Limits, Reuse, WitInterface, with_causes};
use trellis_engine::{
    Capability, Compiled, ComponentHandle, ComponentSpec, Generation, Import, OutgoingHttp,
    ProcessLink, Unsatisfied, WasiLevel,
};

use crate::built_in::BuiltIn;
use crate::deployable::Deployable;
use crate::error::StartError;
use crate::host::Platform;
use crate::outgoing::LinkedClient;
use crate::progress::{Observer, Progress};
use crate::report::{LinkReport, Tier};
use crate::wiring::{TargetKind, WiredComponent, WiredLink, problem};

/// Components that are read and compiled at once. Each takes a thread that may block, and a thread keeps
/// the memory that it once needed; a few are enough to keep all cores busy.
const LOADS_MAX: usize = 4;

/// A component whose code is there.
pub(crate) struct Loaded {
    pub(crate) wired: WiredComponent,
    pub(crate) artifact_digest: String,
    pub(crate) compiled: Compiled,
    pub(crate) handle: Arc<ComponentHandle>,
}

/// Loads and compiles every component; reports every one that cannot be.
pub(crate) async fn load_all(
    platform: &Platform,
    applications: &[Deployable],
    components: Vec<WiredComponent>,
    observer: &dyn Observer,
) -> Result<Vec<Loaded>, StartError> {
    let loads = components
        .into_iter()
        .map(|wired| load(platform, applications, wired, observer));
    let mut loaded = Vec::new();
    let mut problems = Vec::new();
    let mut results = stream::iter(loads).buffered(LOADS_MAX);
    while let Some(result) = results.next().await {
        match result {
            Ok(component) => loaded.push(component),
            Err(StartError::Problems(more)) => problems.extend(more),
            Err(error) => return Err(error),
        }
    }
    if problems.is_empty() {
        Ok(loaded)
    } else {
        Err(StartError::Problems(problems))
    }
}

async fn load(
    platform: &Platform,
    applications: &[Deployable],
    wired: WiredComponent,
    observer: &dyn Observer,
) -> Result<Loaded, StartError> {
    let deployable = &applications[wired.application];
    let fail = |message, hint| {
        StartError::Problems(vec![problem(deployable, wired.image_span, message, hint)])
    };
    let artifact = read(wired.path.clone())
        .await?
        .map_err(|error| fail(with_causes(&error), error.hint()))?;
    observer.observe(Progress::Compiling(wired.entry.id.clone()));
    let digest = *artifact.digest.as_bytes();
    let compiled = platform
        .engine
        .compile(artifact.bytes, digest)
        .await
        .map_err(|error| {
            fail(
                format!("{}: {}", wired.path.display(), with_causes(&error)),
                None,
            )
        })?;
    observer.observe(Progress::Compiled {
        id: wired.entry.id.clone(),
        elapsed: compiled.elapsed,
        from_cache: compiled.from_cache,
    });
    Ok(Loaded {
        handle: ComponentHandle::new(wired.entry.id.clone()),
        artifact_digest: artifact.digest.to_string(),
        compiled,
        wired,
    })
}

async fn read(path: PathBuf) -> Result<Result<Artifact, LoadError>, StartError> {
    let task_path = path.clone();
    tokio::task::spawn_blocking(move || trellis_artifact::load(&task_path, Bounds::default()))
        .await
        .map_err(|_| StartError::Internal { path })
}

/// Links and starts every component, then publishes them all.
pub(crate) async fn start_all(
    platform: &Platform,
    applications: &[Deployable],
    loaded: &[Loaded],
    observer: &dyn Observer,
) -> Result<Started, StartError> {
    let by_id: HashMap<&ComponentId, &Loaded> = loaded
        .iter()
        .map(|component| (component.handle.id(), component))
        .collect();
    let mut started = Started::default();
    let mut problems = Vec::new();
    let mut generations = Vec::new();
    for component in loaded {
        let deployable = &applications[component.wired.application];
        match start(
            platform,
            deployable,
            component,
            &by_id,
            &mut started,
            observer,
        )
        .await
        {
            Ok(generation) => generations.push((component, generation)),
            Err(StartError::Problems(more)) => problems.extend(more),
            Err(error) => return Err(error),
        }
    }
    if !problems.is_empty() {
        return Err(StartError::Problems(problems));
    }
    for (component, generation) in generations {
        for missing in generation.unsatisfied() {
            let text = explain_unsatisfied(component.handle.id(), missing);
            started.notes.push((component.wired.application, text));
        }
        component.handle.publish(generation);
        observer.observe(Progress::Ready(component.handle.id().clone()));
    }
    Ok(started)
}

/// What starting found out.
#[derive(Default)]
pub(crate) struct Started {
    /// The links in force, with the index of their application.
    pub(crate) links: Vec<(usize, LinkReport)>,
    /// What a person should know, with the index of the application.
    pub(crate) notes: Vec<(usize, String)>,
}

async fn start(
    platform: &Platform,
    deployable: &Deployable,
    component: &Loaded,
    by_id: &HashMap<&ComponentId, &Loaded>,
    started: &mut Started,
    observer: &dyn Observer,
) -> Result<Arc<Generation>, StartError> {
    let wired = &component.wired;
    let imports = Imports {
        platform,
        deployable,
        component,
        by_id,
    }
    .resolve(started)
    .await?;
    observer.observe(Progress::Starting(wired.entry.id.clone()));
    let spec = ComponentSpec {
        id: wired.entry.id.clone(),
        limits: limits(wired),
        reuse: reuse(wired, component.compiled.wasi_level()),
        environment: Vec::new(),
        outgoing: outgoing(platform, wired),
        imports,
        explain_unsatisfied,
    };
    platform
        .engine
        .deploy(component.compiled.clone(), spec)
        .await
        .map_err(|error| {
            StartError::Problems(vec![problem(
                deployable,
                wired.image_span,
                with_causes(&error),
                None,
            )])
        })
}

/// Takes the limits of the manifest; `instances` of the scaler stands in for a limit of that name.
fn limits(wired: &WiredComponent) -> Limits {
    let mut limits = Limits::default();
    if let Some(instances) = wired.entry.instances() {
        limits.instances_max = instances;
    }
    wired.entry.limits.apply(limits)
}

fn reuse(wired: &WiredComponent, level: WasiLevel) -> Option<Reuse> {
    let overrides = wired.entry.reuse.as_ref()?;
    Some(overrides.apply(match level {
        WasiLevel::P2 => Reuse::NEVER,
        WasiLevel::P3 => Reuse::CONCURRENT,
    }))
}

fn outgoing(platform: &Platform, wired: &WiredComponent) -> Option<Arc<dyn OutgoingHttp>> {
    let allow = wired.allow.clone()?;
    let client = HttpClient::new(ClientConfig {
        connections_max: limits(wired).outgoing_connections_max,
        local: platform.local.clone(),
        resolver: platform.resolver.clone(),
        ..ClientConfig::new(allow, platform.tls.clone())
    });
    Some(Arc::new(LinkedClient(client)))
}

/// Finds what satisfies each import of one component.
struct Imports<'a> {
    platform: &'a Platform,
    deployable: &'a Deployable,
    component: &'a Loaded,
    by_id: &'a HashMap<&'a ComponentId, &'a Loaded>,
}

impl Imports<'_> {
    async fn resolve(&self, started: &mut Started) -> Result<Vec<Import>, StartError> {
        let mut imports = Vec::new();
        let mut problems = Vec::new();
        for name in self.component.compiled.imports() {
            let Ok(interface) = name.parse::<WitInterface>() else {
                continue;
            };
            match self.satisfy(&name, &interface, started).await {
                Ok(Some(capability)) => imports.push(Import { name, capability }),
                Ok(None) => {}
                Err(StartError::Problems(more)) => problems.extend(more),
                Err(error) => return Err(error),
            }
        }
        if problems.is_empty() {
            Ok(imports)
        } else {
            Err(StartError::Problems(problems))
        }
    }

    async fn satisfy(
        &self,
        name: &str,
        interface: &WitInterface,
        started: &mut Started,
    ) -> Result<Option<Arc<dyn Capability>>, StartError> {
        match (interface.namespace.as_str(), interface.package.as_str()) {
            ("wasi", "config") => {
                return Ok(Some(Arc::new(Config::new(
                    self.component.wired.config.clone(),
                ))));
            }
            ("wasi", "logging") => return Ok(Some(Arc::new(Logging))),
            _ => {}
        }
        let Some(link) = self.link(interface, started) else {
            return Ok(None);
        };
        let capability: Option<Arc<dyn Capability>> = match link.kind {
            TargetKind::Component => Some(self.component_link(name, link)?),
            TargetKind::BuiltIn(BuiltIn::KeyValueMemory | BuiltIn::KeyValueRedb) => {
                Some(self.key_value(link).await?)
            }
            // The engine provides wasi:http itself; the link only opens it.
            TargetKind::BuiltIn(BuiltIn::HttpClient | BuiltIn::HttpServer) => None,
        };
        let tier = match link.kind {
            TargetKind::Component => Tier::Process,
            TargetKind::BuiltIn(_) => Tier::BuiltIn,
        };
        let report = LinkReport {
            source: self.component.handle.id().clone(),
            target: link.target.clone(),
            interface: name.to_owned(),
            name: link.name.clone(),
            tier,
        };
        started
            .links
            .push((self.component.wired.application, report));
        Ok(capability)
    }

    /// Returns the link for `interface`: the one named `default`, else the first.
    fn link(&self, interface: &WitInterface, started: &mut Started) -> Option<&WiredLink> {
        let links = &self.component.wired.links;
        let fitting: Vec<&WiredLink> = links
            .iter()
            .filter(|link| interface.accepts(&link.interface))
            .collect();
        let link = fitting
            .iter()
            .find(|link| link.name.as_str() == "default")
            .or(fitting.first())?;
        if fitting.len() > 1 {
            started.notes.push((
                self.component.wired.application,
                format!(
                    "{}: {interface} has {} links; the one named {} is used",
                    self.component.handle.id(),
                    fitting.len(),
                    link.name
                ),
            ));
        }
        Some(link)
    }

    fn component_link(
        &self,
        import: &str,
        link: &WiredLink,
    ) -> Result<Arc<dyn Capability>, StartError> {
        let problem = |message, hint| {
            StartError::Problems(vec![problem(self.deployable, link.span, message, hint)])
        };
        let Some(target) = self.by_id.get(&link.target) else {
            let hint = "give it instances".to_owned();
            return Err(problem(
                format!("{} is not started here", link.target),
                Some(hint),
            ));
        };
        let wanted: Option<WitInterface> = import.parse().ok();
        let exports = target.compiled.exports();
        let export = exports.iter().find(|export| {
            let offered = export.parse::<WitInterface>();
            wanted
                .as_ref()
                .zip(offered.as_ref().ok())
                .is_some_and(|(w, o)| w.accepts(o))
        });
        let Some(export) = export else {
            let hint = format!("it exports {}", exports.join(", "));
            return Err(problem(
                format!("{} does not export {import}", link.target),
                Some(hint),
            ));
        };
        let caller = &self.component.compiled;
        ProcessLink::new(caller, import, target.handle.clone(), export.clone())
            .map(|link| Arc::new(link) as Arc<dyn Capability>)
            .map_err(|error| {
                let hint = "pass the data itself, such as a list of bytes".to_owned();
                problem(format!("{import} cannot be linked: {error}"), Some(hint))
            })
    }

    async fn key_value(&self, link: &WiredLink) -> Result<Arc<dyn Capability>, StartError> {
        let backend = match link.kind {
            TargetKind::BuiltIn(BuiltIn::KeyValueMemory) => {
                self.platform.stores.memory(&link.target)
            }
            _ => self.platform.stores.embedded().await?,
        };
        let bucket = link.target_config.get("bucket").cloned();
        let error = |source| StartError::Bucket {
            bucket: bucket.clone().unwrap_or_else(|| "default".to_owned()),
            target: link.target.to_string(),
            source,
        };
        let key_value = KeyValueLink {
            target: link.target.clone(),
            name: link.name.clone(),
            bucket: bucket.clone(),
        };
        Ok(Arc::new(KeyValue::new(backend, key_value).map_err(error)?))
    }
}

/// Says what a manifest needs for an import that nothing satisfies.
fn explain_unsatisfied(id: &ComponentId, missing: &Unsatisfied) -> String {
    let import = &missing.import;
    let Ok(interface) = import.parse::<WitInterface>() else {
        return format!("component {id} imports {import}, which no link provides");
    };
    let WitInterface {
        namespace,
        package,
        interface: name,
        ..
    } = &interface;
    format!(
        "component {id} imports {import}, which no link provides; add to its traits:\n\
         \x20   - type: link\n\
         \x20     properties:\n\
         \x20       target: {{ name: NAME-OF-THE-PROVIDER }}\n\
         \x20       namespace: {namespace}\n\
         \x20       package: {package}\n\
         \x20       interfaces: [{name}]"
    )
}
