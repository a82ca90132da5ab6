//! The providers of a host: those that it contains.

use std::sync::Arc;

use trellis_capabilities::keyvalue::{KeyValueBackend, KeyValueLink, OpenLink};
use trellis_control::Link;
use trellis_core::{ComponentId, LinkName, with_causes};
use trellis_node::{Input, Outcome, ProviderAction, ProviderSettings, ProviderWork, Serial};

use super::twins::{Caller, Callers, KeyValueService};
use super::{Done, Node, blueprints, serving};
use crate::built_in::{BuiltIn, NAMES};
use crate::host::Platform;

/// A built-in that was started as a provider.
pub(super) struct Provider {
    pub(super) serial: Serial,
    pub(super) built_in: BuiltIn,
    pub(super) settings: ProviderSettings,
    /// Why it does not serve at present, as the machine was told.
    pub(super) failing: Option<String>,
    /// Its store, where it is one and is open.
    store: Option<ServedStore>,
}

/// A key-value provider in service.
struct ServedStore {
    backend: Arc<dyn KeyValueBackend>,
    service: KeyValueService,
    /// The links that it answers.
    admitted: Vec<Admission>,
}

/// A link by which a store is called.
#[derive(Clone, PartialEq, Eq)]
struct Admission {
    source: ComponentId,
    interfaces: Vec<String>,
    link: KeyValueLink,
}

/// Why a store is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// It was started, and runs from then on.
    Started,
    /// It runs since the host recalled it, for this host alone so far.
    Recalled,
}

/// How opening a store came out.
pub(super) struct StoreOpened {
    id: ComponentId,
    serial: Serial,
    opening: Opening,
    result: Result<(Arc<dyn KeyValueBackend>, KeyValueService), String>,
}

impl Provider {
    pub(super) fn new(serial: Serial, built_in: BuiltIn, settings: ProviderSettings) -> Self {
        Self {
            serial,
            built_in,
            settings,
            failing: None,
            store: None,
        }
    }
}

impl Node {
    /// Starts or stops a provider.
    pub(super) fn provider_work(&mut self, work: ProviderWork) {
        let ProviderWork { serial, id, action } = work;
        self.memory.touch();
        let outcome = match action {
            ProviderAction::Start(settings) => self.start_provider(serial, id, settings),
            ProviderAction::Stop => {
                self.stop_provider(&id);
                Some(Outcome::ProviderStopped { serial })
            }
        };
        if let Some(outcome) = outcome {
            self.input(Input::Finished(outcome));
        }
    }

    /// Starts a built-in. One that has to be opened tells later how that came out.
    fn start_provider(
        &mut self,
        serial: Serial,
        id: ComponentId,
        settings: ProviderSettings,
    ) -> Option<Outcome> {
        let Some(built_in) = blueprints::built_in(&settings.image) else {
            let names = NAMES.map(|(name, _)| format!("builtin:{name}"));
            let why = format!(
                "provider {} cannot be run: this host runs only built-in providers, which are {}",
                settings.image,
                names.join(", ")
            );
            return Some(Outcome::ProviderFailed { serial, why });
        };
        let provider = Provider::new(serial, built_in, settings);
        self.providers.insert(id.clone(), provider);
        self.is_dirty = true;
        // Before the lattice was reached, subscriptions would only pile up.
        if self.was_reached && is_store(built_in) {
            self.open_store(serial, id, built_in, Opening::Started);
            return None;
        }
        Some(Outcome::ProviderRuns {
            serial,
            signed: None,
        })
    }

    /// Opens a store and serves it to other hosts; nobody is admitted yet.
    fn open_store(&mut self, serial: Serial, id: ComponentId, built_in: BuiltIn, opening: Opening) {
        let platform = self.host.platform.clone();
        let (server, lattice) = (self.server.clone(), self.lattice.name().clone());
        let transport = self.transport.clone();
        self.work.spawn(async move {
            let result = async {
                let backend = backend(&platform, built_in, &id).await?;
                let service = KeyValueService::open(&server, &lattice, &id, Callers::default());
                let service = service.await.map_err(|error| with_causes(&error))?;
                serving::settle(&transport).await;
                Ok((backend, service))
            };
            let result = result.await;
            Done::Store(Box::new(StoreOpened {
                id,
                serial,
                opening,
                result,
            }))
        });
    }

    /// Takes a store into service that was opened, if it is still wanted.
    pub(super) fn store_opened(&mut self, opened: StoreOpened) {
        let StoreOpened {
            id,
            serial,
            opening,
            result,
        } = opened;
        let provider = self.providers.get_mut(&id);
        let Some(provider) = provider.filter(|it| it.serial == serial) else {
            return; // stopped, or started anew
        };
        let outcome = match result {
            Ok((backend, service)) => {
                provider.store = Some(ServedStore {
                    backend,
                    service,
                    admitted: Vec::new(),
                });
                (opening == Opening::Started).then_some(Outcome::ProviderRuns {
                    serial,
                    signed: None,
                })
            }
            Err(why) => {
                self.providers.remove(&id);
                Some(match opening {
                    Opening::Started => Outcome::ProviderFailed { serial, why },
                    Opening::Recalled => Outcome::ProviderExited {
                        serial,
                        reason: why,
                        restart_in_ms: None,
                    },
                })
            }
        };
        self.is_dirty = true;
        self.memory.touch();
        self.converge_stores();
        if let Some(outcome) = outcome {
            self.input(Input::Finished(outcome));
        }
    }

    /// Serves to other hosts the stores that so far served this host alone.
    pub(super) fn serve_recalled_stores(&mut self) {
        let unserved: Vec<_> = self
            .providers
            .iter()
            .filter(|(_, it)| is_store(it.built_in) && it.store.is_none())
            .map(|(id, it)| (it.serial, id.clone(), it.built_in))
            .collect();
        for (serial, id, built_in) in unserved {
            self.open_store(serial, id, built_in, Opening::Recalled);
        }
    }

    fn stop_provider(&mut self, id: &ComponentId) {
        self.is_dirty = true;
        let stopped = self.providers.remove(id);
        if let Some(store) = stopped.and_then(|provider| provider.store) {
            self.work.spawn(async move {
                store.service.leave().await;
                Done::Nothing
            });
        }
    }

    /// Admits to every store those who have a link to it now, and nobody else.
    pub(super) fn converge_stores(&mut self) {
        for (id, provider) in &mut self.providers {
            let Some(store) = &mut provider.store else {
                continue;
            };
            let links = self.machine.links_of(id).inbound;
            let config = |link: &Link| self.machine.config_of_running(&link.target_config);
            let wanted: Vec<Admission> = links
                .into_iter()
                .filter_map(|link| {
                    let bucket = config(link).get("bucket").cloned();
                    admission(id, link, bucket)
                })
                .collect();
            if wanted != store.admitted {
                store.service.admit(callers(&store.backend, &wanted));
                store.admitted = wanted;
            }
        }
    }
}

fn is_store(built_in: BuiltIn) -> bool {
    matches!(built_in, BuiltIn::KeyValueMemory | BuiltIn::KeyValueRedb)
}

async fn backend(
    platform: &Platform,
    built_in: BuiltIn,
    id: &ComponentId,
) -> Result<Arc<dyn KeyValueBackend>, String> {
    if built_in == BuiltIn::KeyValueMemory {
        return Ok(platform.stores.memory(id));
    }
    let embedded = platform.stores.embedded().await;
    embedded.map_err(|error| with_causes(&error))
}

/// Reads a link to the store `id`; none where it opens nothing of key-value.
fn admission(id: &ComponentId, link: &Link, bucket: Option<String>) -> Option<Admission> {
    let package = (link.wit_namespace.as_str(), link.wit_package.as_str());
    if package != ("wasi", "keyvalue") {
        return None;
    }
    Some(Admission {
        source: ComponentId::new(&link.source_id).ok()?,
        interfaces: link.interfaces.clone(),
        link: KeyValueLink {
            target: id.clone(),
            name: LinkName::new(&link.name).ok()?,
            bucket,
        },
    })
}

/// Opens every link; one that cannot be opened stays denied.
fn callers(backend: &Arc<dyn KeyValueBackend>, admitted: &[Admission]) -> Callers {
    let open = |admission: &Admission| {
        let Admission {
            source,
            interfaces,
            link,
        } = admission.clone();
        let (name, provider_id) = (link.name.clone(), link.target.clone());
        match OpenLink::new(backend.clone(), link) {
            Ok(link) => Some(Caller {
                source,
                name,
                interfaces,
                link,
            }),
            Err(error) => {
                let (source, provider_id) = (source.as_str(), provider_id.as_str());
                tracing::warn!(provider_id, source, link = name.as_str(), %error, "a link is denied");
                None
            }
        }
    };
    Callers::new(admitted.iter().filter_map(open))
}
