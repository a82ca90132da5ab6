//! The providers of a host: those that it contains.

use trellis_core::ComponentId;
use trellis_node::{Input, Outcome, ProviderAction, ProviderSettings, ProviderWork, Serial};

use super::{Node, blueprints};
use crate::built_in::{BuiltIn, NAMES};

/// A built-in that was started as a provider.
pub(super) struct Provider {
    pub(super) serial: Serial,
    pub(super) built_in: BuiltIn,
    pub(super) settings: ProviderSettings,
    /// Why it does not serve at present, as the machine was told.
    pub(super) failing: Option<String>,
}

impl Provider {
    pub(super) fn new(serial: Serial, built_in: BuiltIn, settings: ProviderSettings) -> Self {
        Self {
            serial,
            built_in,
            settings,
            failing: None,
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
                self.providers.remove(&id);
                self.is_dirty = true;
                Outcome::ProviderStopped { serial }
            }
        };
        self.input(Input::Finished(outcome));
    }

    fn start_provider(
        &mut self,
        serial: Serial,
        id: ComponentId,
        settings: ProviderSettings,
    ) -> Outcome {
        let Some(built_in) = blueprints::built_in(&settings.image) else {
            let names = NAMES.map(|(name, _)| format!("builtin:{name}"));
            let why = format!(
                "provider {} cannot be run: this host runs only built-in providers, which are {}",
                settings.image,
                names.join(", ")
            );
            return Outcome::ProviderFailed { serial, why };
        };
        let provider = Provider::new(serial, built_in, settings);
        self.providers.insert(id, provider);
        self.is_dirty = true;
        Outcome::ProviderRuns {
            serial,
            signed: None,
        }
    }
}
