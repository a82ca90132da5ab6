//! Work on components: fetched, compiled and built on a task; switched to by the owner.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use trellis_core::{ComponentId, with_causes};
use trellis_node::{ComponentAction, ComponentSettings, ComponentWork, Input, Outcome, Serial};

use super::blueprints::{self, Said};
use super::rebuilds::Ticket;
use super::remote::LatticeCalls;
use super::serving::{self, Place, Service};
use super::{Done, Node};
use crate::blueprint::Blueprint;
use crate::catalog::Running;
use crate::deploy::{self, BuildError, Built, Code};
use crate::host::Platform;

/// How work on a component came out.
pub(super) struct ComponentDone {
    id: ComponentId,
    purpose: Purpose,
    result: Result<Ready, String>,
}

/// Why a component was built.
pub(super) enum Purpose {
    /// The machine asked for it.
    Work(Serial),
    /// Its links or its config changed.
    Rewired(Ticket),
    /// It ran when the lattice was last reached.
    Recalled,
}

/// A component that can be switched to.
struct Ready {
    settings: Option<ComponentSettings>,
    image: String,
    code: Code,
    blueprint: Blueprint,
    built: Built,
}

/// A component of the lattice that is to be made.
pub(super) struct Order {
    pub(super) id: ComponentId,
    pub(super) purpose: Purpose,
    pub(super) settings: ComponentSettings,
    /// Its code, where its image is loaded already.
    pub(super) code: Option<Code>,
    pub(super) blueprint: Blueprint,
}

impl Order {
    /// Makes it.
    pub(super) async fn fill(
        self,
        platform: &Arc<Platform>,
        calls: &LatticeCalls,
    ) -> ComponentDone {
        let Self {
            id,
            purpose,
            settings,
            code,
            blueprint,
        } = self;
        let made = make(platform, settings.image.clone(), code, blueprint, calls).await;
        let result = made.map(|ready| Ready {
            settings: Some(settings),
            ..ready
        });
        ComponentDone {
            id,
            purpose,
            result,
        }
    }
}

impl Node {
    /// Begins work on a component.
    pub(super) async fn component_work(&mut self, work: ComponentWork) {
        let ComponentWork { serial, id, action } = work;
        self.under_way.insert(id.clone(), serial);
        // What it was before counts no more once somebody has said what it is to be.
        self.recalling.remove(&id);
        match action {
            ComponentAction::Run(settings) | ComponentAction::Update(settings) => {
                self.build(serial, id, settings);
            }
            ComponentAction::Stop => {
                self.under_way.remove(&id);
                self.take_out(&id).await;
                self.input(Input::Finished(Outcome::ComponentStopped { serial }));
            }
        }
    }

    fn build(&mut self, serial: Serial, id: ComponentId, settings: ComponentSettings) {
        if let Err(missing) = self.machine.config(&settings.config) {
            self.under_way.remove(&id);
            let why = missing.to_string();
            self.input(Input::Finished(Outcome::ComponentFailed { serial, why }));
            return;
        }
        let blueprint = self.lattice_blueprint(&id, &settings);
        let known = self.host.catalog.get(&id);
        let code = known
            .filter(|it| it.image == settings.image)
            .map(|it| it.code.clone());
        let (platform, calls) = (self.host.platform.clone(), self.calls.clone());
        self.work.spawn(async move {
            let order = Order {
                id,
                purpose: Purpose::Work(serial),
                settings,
                code,
                blueprint,
            };
            Done::Component(Box::new(order.fill(&platform, &calls).await))
        });
    }

    /// Returns what the lattice says the component is to be run with.
    pub(super) fn lattice_blueprint(
        &self,
        id: &ComponentId,
        settings: &ComponentSettings,
    ) -> Blueprint {
        let built_ins = self
            .providers
            .iter()
            .map(|(id, provider)| (id.clone(), provider.built_in))
            .collect();
        let said = Said {
            links: self.machine.links_of(id).outbound,
            merged: &|names| self.machine.config_of_running(names),
            built_ins: &built_ins,
        };
        let (mut blueprint, notes) = blueprints::blueprint(id, settings, &said);
        for note in notes {
            tracing::warn!(component_id = id.as_str(), "{note}");
        }
        // What a manifest of this host says of the component still holds.
        let manifest = self.host.manifest_blueprint(id);
        if let Some(manifest) = manifest {
            blueprint.links.splice(0..0, manifest.links.iter().cloned());
            blueprint.allow = blueprint.allow.or_else(|| manifest.allow.clone());
            blueprint.reuse = manifest.reuse;
            if settings.config.is_empty() {
                blueprint.config.clone_from(&manifest.config);
            }
            if settings.limits.is_none() {
                blueprint.limits = trellis_core::Limits {
                    instances_max: blueprint.limits.instances_max,
                    ..manifest.limits.clone()
                };
            }
        }
        blueprint
    }

    /// Builds a component anew, without fetching it, because its blueprint changed.
    pub(super) fn rebuild(&mut self, id: &ComponentId, blueprint: Blueprint) {
        let Some(running) = self.host.catalog.get(id) else {
            return;
        };
        let (image, code) = (running.image.clone(), running.code.clone());
        let (platform, calls) = (self.host.platform.clone(), self.calls.clone());
        let ticket = self.rebuilds.begin(id, blueprint.clone());
        let id = id.clone();
        self.work.spawn(async move {
            let result = make(&platform, image, Some(code), blueprint, &calls).await;
            Done::Component(Box::new(ComponentDone {
                id,
                purpose: Purpose::Rewired(ticket),
                result,
            }))
        });
    }

    /// Switches to what was built, if it is still wanted.
    pub(super) async fn component_done(&mut self, done: ComponentDone) {
        let ComponentDone {
            id,
            purpose,
            result,
        } = done;
        if !self.is_wanted(&id, &purpose) {
            let component_id = id.as_str();
            tracing::debug!(component_id, "what was built is not wanted any more");
            return;
        }
        let switched = match result {
            Ok(ready) => self.switch_to(&id, ready).await,
            Err(why) => Err(why),
        };
        match purpose {
            Purpose::Work(serial) => {
                self.under_way.remove(&id);
                match switched {
                    Ok(digest) => self.tell_runs(serial, digest),
                    Err(why) => {
                        // What ran goes on, and its links may have changed meanwhile.
                        self.is_dirty = true;
                        self.input(Input::Finished(Outcome::ComponentFailed { serial, why }));
                    }
                }
            }
            Purpose::Recalled => {
                self.recalling.remove(&id);
                match switched {
                    Ok(digest) => self.adopt_recalled(&id, digest),
                    Err(why) => {
                        tracing::error!(component_id = id.as_str(), why, "does not run again");
                    }
                }
            }
            Purpose::Rewired(_) => {
                if let Err(why) = switched {
                    self.not_rewired(&id, &why);
                }
            }
        }
    }

    /// Tells whether what was built is still to be switched to: not when a command has decided otherwise
    /// while it was built.
    fn is_wanted(&self, id: &ComponentId, purpose: &Purpose) -> bool {
        match purpose {
            Purpose::Work(serial) => self.under_way.get(id) == Some(serial),
            Purpose::Recalled => self.recalling.contains(id),
            Purpose::Rewired(ticket) => self.rebuilds.is_wanted(id, *ticket),
        }
    }

    /// Says that a component runs on with links or config that it should not have any more, and has it built
    /// anew again: what it may reach may have been narrowed.
    fn not_rewired(&mut self, id: &ComponentId, why: &str) {
        let component_id = id.as_str();
        match self.rebuilds.failed(id, Instant::now()) {
            Some(pause) => tracing::error!(
                component_id,
                why,
                again_in_s = pause.as_secs(),
                "a component keeps its old links and config until it can be built anew"
            ),
            // It was switched to all the same.
            None => tracing::error!(component_id, why, "not served to other hosts"),
        }
        // What has changed once more while it was built need not wait.
        self.is_dirty = true;
    }

    /// Tells the machine that a component runs, as soon as other hosts can call it.
    fn tell_runs(&mut self, serial: Serial, digest: String) {
        let transport = self.transport.clone();
        self.work.spawn(async move {
            serving::settle(&transport).await;
            Done::Input(Box::new(Input::Finished(Outcome::ComponentRuns {
                serial,
                digest,
                signed: None,
            })))
        });
    }

    async fn switch_to(&mut self, id: &ComponentId, ready: Ready) -> Result<String, String> {
        let Ready {
            settings,
            image,
            code,
            blueprint,
            built,
        } = ready;
        let handle = self.host.catalog.handle(id);
        let is_same_code = self
            .host
            .catalog
            .get(id)
            .is_some_and(|it| it.code.digest == code.digest);
        let digest = code.digest.clone();
        for note in &built.notes {
            tracing::warn!(component_id = id.as_str(), "{note}");
        }
        let compiled = code.compiled.clone();
        let running = Running::new(image, code, handle.clone(), blueprint, built);
        self.host.catalog.prepare(running);
        self.rebuilds.overtaken(id);
        if let Some(settings) = settings {
            self.of_lattice.insert(id.clone(), settings);
        }
        // Its own links first, so that no call finds them unset.
        self.host.catalog.lead(Some(&*self.calls));
        self.host.catalog.publish(id);
        self.is_dirty = true;
        self.memory.touch();
        // Before the lattice was reached, subscriptions would only pile up.
        if self.was_reached && !(is_same_code && self.services.contains_key(id)) {
            let place = Place::new(&self.lattice, &self.host_id);
            let service = Service::open(&self.server, place, &handle, &compiled).await;
            let service = service.map_err(|error| with_causes(&error))?;
            // The old subscriptions end only now that the new ones stand.
            if let Some(old) = self.services.insert(id.clone(), service) {
                self.work.spawn(async move {
                    old.leave().await;
                    Done::Nothing
                });
            }
        }
        Ok(digest)
    }

    /// Takes a component out of service: first for others, then for this host.
    pub(super) async fn take_out(&mut self, id: &ComponentId) {
        if let Some(service) = self.services.remove(id) {
            service.leave().await;
        }
        self.host.catalog.remove(id);
        self.rebuilds.overtaken(id);
        self.of_lattice.remove(id);
        self.memory.touch();
        self.is_dirty = true;
    }
}

/// Fetches, compiles and builds a component.
async fn make(
    platform: &Arc<Platform>,
    image: String,
    code: Option<Code>,
    blueprint: Blueprint,
    calls: &LatticeCalls,
) -> Result<Ready, String> {
    let code = match code {
        Some(code) => code,
        None => {
            let path = blueprints::image_path(&image)?;
            deploy::load(platform, &path).await.map_err(told)?
        }
    };
    let built = deploy::build(platform, &blueprint, &code.compiled, Some(calls)).await;
    Ok(Ready {
        settings: None,
        built: built.map_err(told)?,
        image,
        code,
        blueprint,
    })
}

/// Puts everything that is wrong into one text.
fn told(error: BuildError) -> String {
    match error {
        BuildError::Machine(error) => with_causes(&error),
        BuildError::Faults(faults) => {
            let texts = faults.into_iter().map(|fault| match fault.hint {
                Some(hint) => format!("{}; {hint}", fault.message),
                None => fault.message,
            });
            texts.collect::<Vec<_>>().join("; ")
        }
    }
}
