//! What runs on a host and how it is linked, for people and programs.

use std::net::SocketAddr;

use trellis_core::{ComponentId, LinkName};

/// How a call along a link travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// A direct call of a provider that the host contains.
    BuiltIn,
    /// From store to store on this host.
    Process,
    /// Over the lattice.
    Remote,
}

impl Tier {
    /// Returns the name of the tier.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Process => "process",
            Self::Remote => "remote",
        }
    }

    /// Returns why the link has this tier.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BuiltIn => "the target is a provider that this host contains",
            Self::Process => "the target is a component on this host",
            Self::Remote => "the target does not run on this host",
        }
    }
}

/// Everything that was started together.
#[derive(Clone, Debug, Default)]
pub struct HostReport {
    /// The applications.
    pub applications: Vec<ApplicationReport>,
    /// The addresses that the host listens on.
    pub listening: Vec<SocketAddr>,
}

/// One running application.
#[derive(Clone, Debug)]
pub struct ApplicationReport {
    /// Its name.
    pub name: String,
    /// Its version, where the manifest has one.
    pub version: Option<String>,
    /// Its components.
    pub components: Vec<ComponentReport>,
    /// Its links.
    pub links: Vec<LinkReport>,
    /// Where it answers HTTP.
    pub urls: Vec<String>,
    /// What a person should know though nothing failed.
    pub notes: Vec<String>,
}

/// One running component.
#[derive(Clone, Debug)]
pub struct ComponentReport {
    /// Its id.
    pub id: ComponentId,
    /// The digest of its artifact.
    pub digest: String,
    /// `0.2` or `0.3`.
    pub wasi: &'static str,
    /// Its compiled code came from the cache.
    pub from_cache: bool,
}

/// One link in force.
#[derive(Clone, Debug)]
pub struct LinkReport {
    /// The id of its source.
    pub source: ComponentId,
    /// The id of its target.
    pub target: ComponentId,
    /// The interface.
    pub interface: String,
    /// Its name.
    pub name: LinkName,
    /// Its tier.
    pub tier: Tier,
}
