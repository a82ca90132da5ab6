//! From a blueprint to a running component: load, compile, bind, start, publish.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use trellis_artifact::{Artifact, Bounds, LoadError};
use trellis_capabilities::http_client::{ClientConfig, HttpClient};
use trellis_core::{Reuse, with_causes};
use trellis_engine::{
    Compiled, ComponentHandle, ComponentSpec, Generation, OutgoingHttp, WasiLevel,
};

use crate::blueprint::{Blueprint, Fault};
use crate::deployable::Deployable;
use crate::error::StartError;
use crate::host::Platform;
use crate::imports::{self, RemoteCalls, Slot};
use crate::outgoing::LinkedClient;
use crate::progress::{Observer, Progress};
use crate::report::LinkReport;
use crate::wiring::{WiredComponent, problem};

/// Components that are read and compiled at once. Each takes a thread that may block, and a thread keeps
/// the memory that it once needed; a few are enough to keep all cores busy.
const LOADS_MAX: usize = 4;

/// The code of a component.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) digest: String,
    pub(crate) compiled: Compiled,
}

/// A component of a manifest whose code is there.
pub(crate) struct Loaded {
    pub(crate) wired: WiredComponent,
    pub(crate) code: Code,
    pub(crate) handle: Arc<ComponentHandle>,
}

/// A generation that is ready to be published, and what it is bound to.
pub(crate) struct Built {
    pub(crate) generation: Arc<Generation>,
    pub(crate) slots: Vec<Slot>,
    /// The links to providers.
    pub(crate) links: Vec<LinkReport>,
    pub(crate) notes: Vec<String>,
}

/// Why a component cannot run.
pub(crate) enum BuildError {
    /// Something is wrong with it or its links.
    Faults(Vec<Fault>),
    /// Something is wrong with the machine.
    Machine(StartError),
}

impl From<StartError> for BuildError {
    fn from(error: StartError) -> Self {
        Self::Machine(error)
    }
}

impl From<Fault> for BuildError {
    fn from(fault: Fault) -> Self {
        Self::Faults(vec![fault])
    }
}

/// Loads and compiles every component; reports every one that cannot be.
pub(crate) async fn load_all(
    platform: &Platform,
    applications: &[Deployable],
    components: Vec<WiredComponent>,
    observer: &dyn Observer,
) -> Result<Vec<Loaded>, StartError> {
    let loads = components.into_iter().map(|wired| async move {
        let id = &wired.blueprint.id;
        observer.observe(Progress::Compiling(id.clone()));
        let code = match load(platform, &wired.path).await {
            Ok(code) => code,
            Err(error) => return Err((error, wired)),
        };
        observer.observe(Progress::Compiled {
            id: id.clone(),
            elapsed: code.compiled.elapsed,
            from_cache: code.compiled.from_cache,
        });
        let handle = ComponentHandle::new(id.clone());
        Ok(Loaded {
            wired,
            code,
            handle,
        })
    });
    let mut loaded = Vec::new();
    let mut problems = Vec::new();
    let mut results = stream::iter(loads).buffered(LOADS_MAX);
    while let Some(result) = results.next().await {
        match result {
            Ok(component) => loaded.push(component),
            Err((BuildError::Machine(error), _)) => return Err(error),
            Err((BuildError::Faults(faults), wired)) => {
                problems.extend(in_manifest(applications, &wired, faults));
            }
        }
    }
    if problems.is_empty() {
        Ok(loaded)
    } else {
        Err(StartError::Problems(problems))
    }
}

/// Gives faults their places in the manifest of `wired`.
pub(crate) fn in_manifest(
    applications: &[Deployable],
    wired: &WiredComponent,
    faults: Vec<Fault>,
) -> impl Iterator<Item = crate::error::Problem> {
    let deployable = &applications[wired.application];
    let image = wired.image_span;
    faults.into_iter().map(move |fault| {
        let span = fault.link.unwrap_or(image);
        problem(deployable, span, fault.message, fault.hint)
    })
}

/// Reads and compiles a component.
pub(crate) async fn load(platform: &Platform, path: &Path) -> Result<Code, BuildError> {
    let fault = |message, hint| Fault {
        link: None,
        message,
        hint,
    };
    let artifact = read(path.to_owned())
        .await?
        .map_err(|error| fault(with_causes(&error), error.hint()))?;
    let digest = *artifact.digest.as_bytes();
    let compiled = platform
        .engine
        .compile(artifact.bytes, digest)
        .await
        .map_err(|error| {
            let message = format!("{}: {}", path.display(), with_causes(&error));
            fault(message, None)
        })?;
    Ok(Code {
        digest: artifact.digest.to_string(),
        compiled,
    })
}

async fn read(path: PathBuf) -> Result<Result<Artifact, LoadError>, StartError> {
    let task_path = path.clone();
    tokio::task::spawn_blocking(move || trellis_artifact::load(&task_path, Bounds::default()))
        .await
        .map_err(|_| StartError::Internal { path })
}

/// Binds a component's imports and makes its first instance. Nothing is switched yet.
pub(crate) async fn build(
    platform: &Platform,
    blueprint: &Blueprint,
    compiled: &Compiled,
    remote: Option<&dyn RemoteCalls>,
) -> Result<Built, BuildError> {
    let bound = imports::bind(platform, blueprint, compiled, remote).await?;
    let bound = bound.map_err(BuildError::Faults)?;
    let spec = ComponentSpec {
        id: blueprint.id.clone(),
        limits: blueprint.limits.clone(),
        reuse: reuse(blueprint, compiled.wasi_level()),
        environment: Vec::new(),
        outgoing: outgoing(platform, blueprint),
        imports: bound.imports,
        explain_unsatisfied: blueprint.explain,
    };
    let deployed = platform.engine.deploy(compiled.clone(), spec).await;
    let generation = deployed.map_err(|error| Fault {
        link: None,
        message: with_causes(&error),
        hint: None,
    })?;
    let mut notes = bound.notes;
    notes.extend(
        generation
            .unsatisfied()
            .iter()
            .map(|missing| (blueprint.explain)(&blueprint.id, missing)),
    );
    Ok(Built {
        generation,
        slots: bound.slots,
        links: bound.links,
        notes,
    })
}

fn reuse(blueprint: &Blueprint, level: WasiLevel) -> Option<Reuse> {
    let overrides = blueprint.reuse.as_ref()?;
    Some(overrides.apply(match level {
        WasiLevel::P2 => Reuse::NEVER,
        WasiLevel::P3 => Reuse::CONCURRENT,
    }))
}

fn outgoing(platform: &Platform, blueprint: &Blueprint) -> Option<Arc<dyn OutgoingHttp>> {
    let allow = blueprint.allow.clone()?;
    let client = HttpClient::new(ClientConfig {
        connections_max: blueprint.limits.outgoing_connections_max,
        local: platform.local.clone(),
        resolver: platform.resolver.clone(),
        ..ClientConfig::new(allow, platform.tls.clone())
    });
    Some(Arc::new(LinkedClient(client)))
}
