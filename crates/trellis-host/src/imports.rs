//! Finds what satisfies each import of a component.

use std::collections::BTreeMap;
use std::sync::Arc;

use trellis_capabilities::config::Config;
use trellis_capabilities::keyvalue::{KeyValue, KeyValueBackend, KeyValueLink, OpenLink};
use trellis_capabilities::logging::Logging;
use trellis_core::{ComponentId, WitInterface};
use trellis_engine::{
    Capability, Compiled, ComponentHandle, Import, Link, LinkSlot, LinkTarget, LocalTarget,
    RemoteTarget, Unsatisfied,
};

use crate::blueprint::{Blueprint, Fault, TargetKind, WiredLink};
use crate::built_in::BuiltIn;
use crate::error::StartError;
use crate::host::Platform;
use crate::report::{LinkReport, Tier};

/// The components of this host, as others see them.
pub(crate) type Neighbours = BTreeMap<ComponentId, Neighbour>;

/// A component of this host, as others see it.
#[derive(Clone)]
pub(crate) struct Neighbour {
    pub(crate) handle: Arc<ComponentHandle>,
    pub(crate) exports: Arc<[String]>,
}

/// The way to components on other hosts.
pub(crate) trait RemoteCalls: Send + Sync {
    /// Returns what answers the calls of `source` along `link` elsewhere.
    fn target(&self, source: &ComponentId, link: &WiredLink) -> Arc<dyn RemoteTarget>;

    /// Returns what answers those of them for which this host, which runs the target too, has no room.
    fn overflow(&self, source: &ComponentId, link: &WiredLink) -> Arc<dyn RemoteTarget>;

    /// Returns the key-value provider at the end of `link`.
    ///
    /// # Errors
    /// Why it cannot be addressed.
    fn key_value(
        &self,
        source: &ComponentId,
        link: &WiredLink,
    ) -> Result<Arc<dyn KeyValueBackend>, String>;

    /// Tells whether another host is known to run `id`.
    fn runs_elsewhere(&self, id: &ComponentId) -> bool;
}

/// What an import may lead to.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) neighbours: &'a Neighbours,
    /// None where this host is all there is.
    pub(crate) remote: Option<&'a dyn RemoteCalls>,
}

/// An import that leads to a component, wherever that runs now.
pub(crate) struct Slot {
    import: String,
    interface: WitInterface,
    slot: Arc<LinkSlot>,
}

/// The imports of one component, each with what satisfies it.
#[derive(Default)]
pub(crate) struct Bound {
    pub(crate) imports: Vec<Import>,
    pub(crate) slots: Vec<Slot>,
    /// The links to providers.
    pub(crate) links: Vec<LinkReport>,
    pub(crate) notes: Vec<String>,
}

/// Binds every import of `compiled` to what `blueprint` links it to; providers elsewhere are reached by
/// `remote`.
///
/// # Errors
/// Every link that cannot be had, or the first thing that is wrong with the machine.
pub(crate) async fn bind(
    platform: &Platform,
    blueprint: &Blueprint,
    compiled: &Compiled,
    remote: Option<&dyn RemoteCalls>,
) -> Result<Result<Bound, Vec<Fault>>, StartError> {
    let mut bound = Bound::default();
    let mut faults = Vec::new();
    for name in compiled.imports() {
        let Ok(interface) = name.parse::<WitInterface>() else {
            continue;
        };
        let binder = Binder {
            platform,
            blueprint,
            compiled,
            remote,
        };
        match binder.satisfy(&name, interface, &mut bound).await? {
            Ok(Some(capability)) => bound.imports.push(Import { name, capability }),
            Ok(None) => {}
            Err(fault) => faults.push(fault),
        }
    }
    Ok(if faults.is_empty() {
        Ok(bound)
    } else {
        Err(faults)
    })
}

struct Binder<'a> {
    platform: &'a Platform,
    blueprint: &'a Blueprint,
    compiled: &'a Compiled,
    remote: Option<&'a dyn RemoteCalls>,
}

type Satisfied = Result<Option<Arc<dyn Capability>>, Fault>;

impl Binder<'_> {
    async fn satisfy(
        &self,
        name: &str,
        interface: WitInterface,
        bound: &mut Bound,
    ) -> Result<Satisfied, StartError> {
        match (interface.namespace.as_str(), interface.package.as_str()) {
            ("wasi", "config") => {
                let config = Config::new(self.blueprint.config.clone());
                return Ok(Ok(Some(Arc::new(config))));
            }
            ("wasi", "logging") => return Ok(Ok(Some(Arc::new(Logging)))),
            _ => {}
        }
        let (link, fitting) = self.blueprint.link(&interface);
        if let Some(link) = link.filter(|_| fitting > 1) {
            bound.notes.push(format!(
                "{}: {interface} has {fitting} links; the one named {} is used",
                self.blueprint.id, link.name
            ));
        }
        let (capability, tier) = match link.map(|link| (link, link.kind)) {
            None | Some((_, TargetKind::Component)) => {
                return Ok(self.component_link(name, interface, link, bound));
            }
            Some((link, TargetKind::BuiltIn(BuiltIn::KeyValueMemory | BuiltIn::KeyValueRedb))) => {
                (Some(self.key_value(link).await?), Tier::BuiltIn)
            }
            // The engine provides wasi:http itself; the link only opens it.
            Some((_, TargetKind::BuiltIn(BuiltIn::HttpClient | BuiltIn::HttpServer))) => {
                (None, Tier::BuiltIn)
            }
            Some((link, TargetKind::KeyValueElsewhere)) => match self.key_value_elsewhere(link) {
                Ok(capability) => (Some(capability), Tier::Remote),
                Err(fault) => return Ok(Err(fault)),
            },
        };
        if let Some(link) = link {
            bound
                .links
                .push(report(&self.blueprint.id, name, link, tier));
        }
        Ok(Ok(capability))
    }

    /// Gives the import a slot, so that its link can be set and changed while the component runs.
    fn component_link(
        &self,
        name: &str,
        interface: WitInterface,
        link: Option<&WiredLink>,
        bound: &mut Bound,
    ) -> Satisfied {
        if trellis_engine::is_wasi(name) {
            return Ok(None);
        }
        let missing = Unsatisfied {
            import: name.to_owned(),
        };
        let text = (self.blueprint.explain)(&self.blueprint.id, &missing);
        let slot = LinkSlot::new(text.as_str());
        match (Link::new(self.compiled, name, slot.clone()), link) {
            (Ok(capability), _) => {
                if link.is_none() {
                    bound.notes.push(text);
                }
                bound.slots.push(Slot {
                    import: name.to_owned(),
                    interface,
                    slot,
                });
                Ok(Some(Arc::new(capability)))
            }
            (Err(_), None) => Ok(None),
            (Err(error), Some(link)) => Err(Fault {
                link: Some(link.span),
                message: format!("{name} cannot be linked: {error}"),
                hint: Some("pass the data itself, such as a list of bytes".to_owned()),
            }),
        }
    }

    async fn key_value(&self, link: &WiredLink) -> Result<Arc<dyn Capability>, StartError> {
        let backend = match link.kind {
            TargetKind::BuiltIn(BuiltIn::KeyValueMemory) => {
                self.platform.stores.memory(&link.target)
            }
            _ => self.platform.stores.embedded().await?,
        };
        let key_value = key_value_link(link);
        let bucket = key_value.bucket.clone();
        let opened = KeyValue::new(backend, key_value);
        let opened = opened.map_err(|source| StartError::Bucket {
            bucket: bucket.unwrap_or_else(|| "default".to_owned()),
            target: link.target.to_string(),
            source,
        })?;
        Ok(Arc::new(opened))
    }

    /// Leads to the key-value provider of a link wherever in the lattice it runs, now and later.
    fn key_value_elsewhere(&self, link: &WiredLink) -> Result<Arc<dyn Capability>, Fault> {
        let fault = |message| Fault {
            link: Some(link.span),
            message,
            hint: None,
        };
        let remote = self
            .remote
            .ok_or_else(|| fault(format!("provider {} is not started here", link.target)))?;
        let backend = remote.key_value(&self.blueprint.id, link).map_err(fault)?;
        let link = OpenLink::to_provider(backend, key_value_link(link));
        Ok(Arc::new(KeyValue::over(link)))
    }
}

fn key_value_link(link: &WiredLink) -> KeyValueLink {
    KeyValueLink {
        target: link.target.clone(),
        name: link.name.clone(),
        bucket: link.target_config.get("bucket").cloned(),
    }
}

/// Leads every slot of one component to where its link says, as far as that can be had.
///
/// # Errors
/// The links that lead nowhere; calls along them fail until that changes.
pub(crate) fn lead(
    blueprint: &Blueprint,
    slots: &[Slot],
    around: Surroundings<'_>,
) -> (Vec<LinkReport>, Vec<Fault>) {
    let (mut reports, mut faults) = (Vec::new(), Vec::new());
    for slot in slots {
        let Some(link) = blueprint.link(&slot.interface).0 else {
            slot.slot.set(LinkTarget::default());
            continue;
        };
        match target(blueprint, slot, link, around) {
            Ok((target, tier)) => {
                slot.slot.set(target);
                reports.push(report(&blueprint.id, &slot.import, link, tier));
            }
            Err(fault) => {
                slot.slot.set(LinkTarget::default());
                faults.push(fault);
            }
        }
    }
    (reports, faults)
}

fn target(
    blueprint: &Blueprint,
    slot: &Slot,
    link: &WiredLink,
    around: Surroundings<'_>,
) -> Result<(LinkTarget, Tier), Fault> {
    let Some(neighbour) = around.neighbours.get(&link.target) else {
        let remote = around.remote.ok_or_else(|| not_started(link))?;
        let remote = remote.target(&blueprint.id, link);
        let target = LinkTarget {
            local: None,
            remote: Some(remote),
        };
        return Ok((target, Tier::Remote));
    };
    let export = export(neighbour, &slot.import, &slot.interface, link)?;
    let overflow = around
        .remote
        .filter(|it| it.runs_elsewhere(&link.target))
        .map(|it| it.overflow(&blueprint.id, link));
    let target = LinkTarget {
        local: Some(LocalTarget {
            handle: neighbour.handle.clone(),
            interface: export.into(),
        }),
        remote: overflow,
    };
    Ok((target, Tier::Process))
}

/// Finds what a neighbour exports for an import.
fn export<'a>(
    neighbour: &'a Neighbour,
    import: &str,
    interface: &WitInterface,
    link: &WiredLink,
) -> Result<&'a str, Fault> {
    let fits = |export: &&String| {
        let offered = export.parse::<WitInterface>();
        offered.is_ok_and(|offered| interface.accepts(&offered))
    };
    let found = neighbour.exports.iter().find(fits);
    found.map(String::as_str).ok_or_else(|| Fault {
        link: Some(link.span),
        message: format!("{} does not export {import}", link.target),
        hint: Some(format!("it exports {}", neighbour.exports.join(", "))),
    })
}

fn not_started(link: &WiredLink) -> Fault {
    Fault {
        link: Some(link.span),
        message: format!("{} is not started here", link.target),
        hint: Some("give it instances".to_owned()),
    }
}

/// Finds the links between components that lead nowhere among `neighbours`, before anything is built.
pub(crate) fn check_targets(
    blueprint: &Blueprint,
    compiled: &Compiled,
    neighbours: &Neighbours,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for import in compiled.imports() {
        let Ok(interface) = import.parse::<WitInterface>() else {
            continue;
        };
        let Some(link) = blueprint.link(&interface).0 else {
            continue;
        };
        if link.kind != TargetKind::Component {
            continue;
        }
        let found = neighbours
            .get(&link.target)
            .ok_or_else(|| not_started(link))
            .and_then(|neighbour| export(neighbour, &import, &interface, link).map(drop));
        faults.extend(found.err());
    }
    faults
}

fn report(source: &ComponentId, import: &str, link: &WiredLink, tier: Tier) -> LinkReport {
    LinkReport {
        source: source.clone(),
        target: link.target.clone(),
        interface: import.to_owned(),
        name: link.name.clone(),
        tier,
    }
}

/// Names the command that links an import that nothing satisfies.
pub(crate) fn command_for_lattice(id: &ComponentId, missing: &Unsatisfied) -> String {
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
        "component {id} imports {import}, which no link provides; link it: \
         `trellis link put {id} TARGET {namespace} {package} --interface {name}`"
    )
}

/// Says what a manifest needs for an import that nothing satisfies.
pub(crate) fn lines_for_manifest(id: &ComponentId, missing: &Unsatisfied) -> String {
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
