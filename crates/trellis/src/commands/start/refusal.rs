//! Why no host will make a bid, found from what the hosts tell. Pure.
//!
//! Hosts that cannot run something are silent in an auction, so that all of its time passes before that is known.
//! What hosts of this version can run, this program knows too.

use trellis_control::HostMode;

use super::auction::Lot;
use crate::hosts;
use crate::output::one_line;
use crate::suggestion::did_you_mean;
use crate::told::{Part, Told};

/// The version of which it is known what its hosts can run.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Hosts that are named in one message; more would not be read.
const HOSTS_NAMED_MAX: usize = 5;

/// What stands against a start, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) hint: String,
}

/// Finds what keeps every one of the hosts from running `lot`; `None` where one of them may.
///
/// A host that is not of this version, or did not tell, may run anything.
pub(super) fn refusal(lot: Lot<'_>, hosts: usize, told: &[Told]) -> Option<Refusal> {
    let ours = |it: &Told| matches!(it, Told::Status(status) if status.version == VERSION);
    if told.len() < hosts || !told.iter().all(ours) {
        return None;
    }
    if let Some(refusal) = of_reference(lot) {
        return Some(refusal);
    }
    let reasons: Option<Vec<String>> = told.iter().map(|it| of_host(lot, it)).collect();
    let mut reasons = reasons.filter(|it| !it.is_empty())?;
    let more = reasons.len().saturating_sub(HOSTS_NAMED_MAX);
    reasons.truncate(HOSTS_NAMED_MAX);
    let mut message = format!("no host takes {}: {}", lot.text(), reasons.join("; "));
    if more > 0 {
        message.push_str(&format!("; and {more} more"));
    }
    let draining =
        |it: &Told| matches!(it, Told::Status(status) if status.mode == HostMode::Draining);
    let hint = match told.iter().any(draining) {
        true => "`trellis resume HOST` lets a drained host take work again".to_owned(),
        false => lot.hint(),
    };
    Some(Refusal { message, hint })
}

/// Finds what is wrong with what is to be run, on any host.
fn of_reference(lot: Lot<'_>) -> Option<Refusal> {
    let (reference, can_run) = match lot {
        Lot::Component(_, it) => (it, trellis_host::can_run_component(it.as_str())),
        Lot::Provider(_, it) => (it, trellis_host::can_run_provider(it.as_str())),
    };
    if can_run {
        return None;
    }
    let text = reference.as_str();
    let message = match (lot, reference.built_in()) {
        (Lot::Provider(..), Some(name)) => {
            let names = trellis_host::built_in_names();
            let near = did_you_mean(name, names.iter().map(AsRef::as_ref));
            format!("no built-in provider is named {name}{near}")
        }
        (Lot::Provider(..), None) => format!("no host runs {text} as a provider"),
        (Lot::Component(..), _) => format!("no host can fetch {text}"),
    };
    let hint = lot.hint();
    Some(Refusal { message, hint })
}

/// Says why a host takes no such start now; `None` where it may.
fn of_host(lot: Lot<'_>, told: &Told) -> Option<String> {
    let Told::Status(status) = told else {
        return None;
    };
    let host = hosts::label(&status.friendly_name, &status.host_id);
    if status.mode != HostMode::Joined {
        let why = one_line(&status.why);
        return Some(format!("{host} is {}, because {why}", status.mode));
    }
    let id = match lot {
        Lot::Component(id, _) | Lot::Provider(id, _) => id.as_str(),
    };
    let runs = |it: crate::told::Health<'_>| it.id == id && it.ready;
    if status.components.iter().any(|it| runs(it.health())) {
        return Some(format!("{host} runs component {id} already"));
    }
    if status.providers.iter().any(|it| runs(it.health())) {
        return Some(format!("{host} runs provider {id} already"));
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use trellis_control::{ComponentStatus, HostStatus};
    use trellis_core::ComponentId;

    use super::*;
    use crate::reference::Reference;

    fn told(name: &str, mode: HostMode, version: &str, runs: &[&str]) -> Told {
        let component = |id: &&str| ComponentStatus {
            id: (*id).to_owned(),
            ready: true,
            ..ComponentStatus::default()
        };
        Told::Status(Box::new(HostStatus {
            host_id: "NAAAAAAAAAAAAAA1".to_owned(),
            friendly_name: name.to_owned(),
            version: version.to_owned(),
            labels: [].into(),
            mode,
            since: "2026-01-05T10:11:12Z".parse().unwrap(),
            why: "an operator took it out of service".to_owned(),
            uptime_seconds: 1,
            components: runs.iter().map(component).collect(),
            providers: Vec::new(),
            links: Vec::new(),
        }))
    }

    fn message(lot: (&str, &str, bool), told: &[Told]) -> String {
        let id = ComponentId::new(lot.0).unwrap();
        let reference = Reference::parse(lot.1, false).unwrap();
        let lot = match lot.2 {
            true => Lot::Provider(&id, &reference),
            false => Lot::Component(&id, &reference),
        };
        refusal(lot, told.len(), told).map_or("none".to_owned(), |it| it.message)
    }

    #[test]
    fn what_no_host_can_run_is_known_before_they_are_asked() {
        let joined = || told("red", HostMode::Joined, VERSION, &[]);
        let provider = |text| message(("http", text, true), &[joined()]);
        assert_eq!(
            provider("builtin:htp-server"),
            "no built-in provider is named htp-server; did you mean http-server?"
        );
        assert_eq!(provider("builtin:http-server"), "none");
        assert_eq!(
            message(("cart", "reg/cart:1", false), &[joined()]),
            "no host can fetch reg/cart:1"
        );
        let newer = told("red", HostMode::Joined, "99.0.0", &[]);
        assert_eq!(
            message(("cart", "reg/cart:1", false), &[joined(), newer]),
            "none",
            "another version may be able to"
        );
    }

    #[test]
    fn a_start_is_refused_only_where_no_host_may_take_it() {
        let file = ("cart", "/srv/cart.wasm", false);
        let joined = told("red", HostMode::Joined, VERSION, &["web"]);
        let running = told("blue", HostMode::Joined, VERSION, &["cart"]);
        let draining = told("green", HostMode::Draining, VERSION, &[]);
        assert_eq!(
            message(file, &[running, draining]),
            "no host takes component cart: blue (NAAAAAAA) runs component cart already; green \
             (NAAAAAAA) is draining, because an operator took it out of service"
        );
        let running = told("blue", HostMode::Joined, VERSION, &["cart"]);
        assert_eq!(message(file, &[running, joined]), "none");
    }

    #[test]
    fn a_host_that_did_not_tell_may_take_anything() {
        let id = ComponentId::new("cart").unwrap();
        let reference = Reference::parse("reg/cart:1", false).unwrap();
        let told = [told("red", HostMode::Joined, VERSION, &[])];
        let lot = Lot::Component(&id, &reference);
        assert_eq!(refusal(lot, 2, &told), None);
        assert!(refusal(lot, 1, &told).is_some());
    }
}
