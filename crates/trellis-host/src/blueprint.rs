//! What one component is to be run with, whoever says so: a manifest or the lattice. Pure.

use std::collections::BTreeMap;

use trellis_capabilities::http_client::AllowList;
use trellis_core::{ComponentId, Limits, LinkName, WitInterface};
use trellis_engine::Unsatisfied;
use trellis_manifest::{ReuseOverrides, Span};

use crate::built_in::BuiltIn;

/// Everything about a component but its code.
#[derive(Clone, Debug)]
pub(crate) struct Blueprint {
    pub(crate) id: ComponentId,
    pub(crate) limits: Limits,
    pub(crate) reuse: Option<ReuseOverrides>,
    /// What it reads through `wasi:config`.
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) links: Vec<WiredLink>,
    /// Says what to do about an import that no link provides: where it was described, there it is mended.
    pub(crate) explain: Explain,
    /// The hosts that its link to an HTTP client allows.
    pub(crate) allow: Option<AllowList>,
}

/// Says of a component what an import that nothing satisfies needs.
pub(crate) type Explain = fn(&ComponentId, &Unsatisfied) -> String;

/// One interface of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WiredLink {
    pub(crate) interface: WitInterface,
    pub(crate) name: LinkName,
    pub(crate) target: ComponentId,
    pub(crate) kind: TargetKind,
    pub(crate) target_config: BTreeMap<String, String>,
    pub(crate) retry: Retry,
    /// Its place in the manifest, where it has one.
    pub(crate) span: Span,
}

/// Whether a call along a link is made again when the host that worked on it was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Never: it may have run.
    #[default]
    Never,
    /// Once, elsewhere: to run twice comes to the same as once.
    Idempotent,
}

/// The key in the source config of a link that says whether its calls may run twice.
pub(crate) const RETRY_KEY: &str = "retry";

impl Retry {
    /// Reads it from the source config of a link.
    ///
    /// # Errors
    /// Why it cannot be read, for people; then nothing is made again.
    pub(crate) fn of(source_config: &BTreeMap<String, String>) -> Result<Self, String> {
        match source_config.get(RETRY_KEY).map(String::as_str) {
            None | Some("never") => Ok(Self::Never),
            Some("idempotent") => Ok(Self::Idempotent),
            Some(other) => Err(format!(
                "{RETRY_KEY} is {other:?}; a link says `idempotent` or `never`"
            )),
        }
    }
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    BuiltIn(BuiltIn),
    /// A component, on this host or elsewhere.
    Component,
    /// A key-value provider that this host does not run.
    KeyValueElsewhere,
}

/// Something that keeps a component from running as its blueprint says.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The link that it concerns; none for the component as a whole.
    pub(crate) link: Option<Span>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Blueprint {
    /// Returns the link for `interface`: the one named `default`, else the first. Also returns how many
    /// fit.
    pub(crate) fn link(&self, interface: &WitInterface) -> (Option<&WiredLink>, usize) {
        let fitting: Vec<&WiredLink> = self
            .links
            .iter()
            .filter(|link| interface.accepts(&link.interface))
            .collect();
        let chosen = fitting
            .iter()
            .find(|link| link.name == LinkName::default())
            .or(fitting.first());
        (chosen.copied(), fitting.len())
    }

    /// Tells whether a component that runs as `self` has to be instantiated anew to run as `other`,
    /// given what it imports. Links between components are led elsewhere without that.
    pub(crate) fn needs_new_instances(&self, other: &Self, imports: &[WitInterface]) -> bool {
        let fixed = |blueprint: &Self| -> Vec<Option<WiredLink>> {
            imports
                .iter()
                .map(|import| {
                    let link = blueprint.link(import).0?;
                    (link.kind != TargetKind::Component).then(|| WiredLink {
                        span: Span::at(1, 1),
                        ..link.clone()
                    })
                })
                .collect()
        };
        self.limits != other.limits
            || self.config != other.config
            || self.allow != other.allow
            || fixed(self) != fixed(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_says_whether_its_calls_may_run_twice() {
        let config = |text: &str| BTreeMap::from([(RETRY_KEY.to_owned(), text.to_owned())]);
        assert_eq!(Retry::of(&BTreeMap::new()), Ok(Retry::Never));
        assert_eq!(Retry::of(&config("never")), Ok(Retry::Never));
        assert_eq!(Retry::of(&config("idempotent")), Ok(Retry::Idempotent));
        let error = Retry::of(&config("Idempotent"));
        assert!(error.is_err_and(|text| text.contains("`idempotent`")));
    }
}
