//! What the machine knows, for the shell to read.

use trellis_control::{ComponentSpec, Config, HostMode, MissingConfig};
use trellis_core::ComponentId;

use super::Machine;
use crate::effect::{ComponentSettings, ProviderSettings};
use crate::input::Incarnation;
use crate::mirror::LinksOf;
use crate::time::Millis;

impl Machine {
    /// Returns the mode.
    pub fn mode(&self) -> HostMode {
        self.mode.mode
    }

    /// Returns why the host is in its mode, for people.
    pub fn mode_why(&self) -> &str {
        &self.mode.why
    }

    /// Returns since when the host is in its mode.
    pub fn mode_since(&self) -> Millis {
        self.mode.since
    }

    /// Tells whether this host should be in the queue groups of links, claims and config. While it
    /// would refuse, others answer if it leaves them.
    pub fn takes_shared_requests(&self) -> bool {
        self.permits.store && self.mirror.is_read()
    }

    /// Returns the links of a component or provider, whether it runs here or not.
    pub fn links_of(&self, id: &ComponentId) -> LinksOf<'_> {
        self.mirror.links_of(id.as_str())
    }

    /// Merges the config entries `names` for something that starts: each must exist.
    ///
    /// # Errors
    /// Every name that does not exist.
    pub fn config(&self, names: &[String]) -> Result<Config, MissingConfig> {
        self.mirror.resolve(names)
    }

    /// Merges the config entries `names` for something that runs: one that is gone counts as empty.
    pub fn config_of_running(&self, names: &[String]) -> Config {
        self.mirror.merged(names)
    }

    /// Returns every spec of the lattice with its id, such as to keep for the next start.
    pub fn specs(&self) -> impl Iterator<Item = (&str, &ComponentSpec)> {
        self.mirror.specs()
    }

    /// Returns every config entry of the lattice with its name.
    pub fn configs(&self) -> impl Iterator<Item = (&str, &Config)> {
        self.mirror.configs()
    }

    /// Returns which bucket the specs are of, and up to which change; `None` before any is known.
    pub fn specs_incarnation(&self) -> Option<Incarnation> {
        self.mirror.specs_incarnation()
    }

    /// Returns which bucket the config entries are of, and up to which change; `None` before any is
    /// known.
    pub fn configs_incarnation(&self) -> Option<Incarnation> {
        self.mirror.configs_incarnation()
    }

    /// Tells whether a component or provider runs.
    pub fn runs(&self, id: &ComponentId) -> bool {
        self.components.runs_here(id) || self.providers.runs_here(id)
    }

    /// Returns the components that run.
    pub fn components(&self) -> impl Iterator<Item = (&ComponentId, &ComponentSettings)> {
        self.components.running()
    }

    /// Returns the providers that serve.
    pub fn providers(&self) -> impl Iterator<Item = (&ComponentId, &ProviderSettings)> {
        self.providers.running()
    }
}
