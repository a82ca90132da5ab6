//! What would satisfy an import on this host, for people who look at a component.

use std::fmt;

use trellis_core::WitInterface;

use crate::built_in::{BuiltIn, NAMES};

/// What would satisfy an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Satisfier {
    /// Every component has it.
    Always,
    /// Every component has it, but it does nothing until a link opens it.
    Opened(BuiltIn),
    /// A link to one of these built-in providers.
    Linked(Vec<BuiltIn>),
    /// A link to a component that exports it.
    Component(WitInterface),
}

impl Satisfier {
    /// Finds out what would satisfy an import of `interface`.
    pub fn of(interface: &WitInterface) -> Self {
        let (package, name) = (interface.package.as_str(), interface.interface.as_str());
        if interface.namespace != "wasi" {
            return Self::Component(interface.clone());
        }
        if BuiltIn::HttpClient.provides(package, name) {
            return Self::Opened(BuiltIn::HttpClient);
        }
        let always = [
            "cli",
            "clocks",
            "config",
            "filesystem",
            "http",
            "io",
            "logging",
            "random",
            "sockets",
        ];
        if always.contains(&package) {
            return Self::Always;
        }
        let offers: Vec<BuiltIn> = NAMES
            .iter()
            .map(|(_, built_in)| *built_in)
            .filter(|built_in| built_in.provides(package, name))
            .collect();
        if offers.is_empty() {
            Self::Component(interface.clone())
        } else {
            Self::Linked(offers)
        }
    }
}

impl fmt::Display for Satisfier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("the host"),
            Self::Opened(built_in) => write!(
                f,
                "the host; closed until a link to builtin:{} allows hosts",
                built_in.name()
            ),
            Self::Linked(offers) => {
                f.write_str("a link to ")?;
                for (number, built_in) in offers.iter().enumerate() {
                    let or = if number == 0 { "" } else { " or " };
                    write!(f, "{or}builtin:{}", built_in.name())?;
                }
                Ok(())
            }
            Self::Component(interface) => {
                write!(f, "a link to a component that exports {interface}")
            }
        }
    }
}
