//! What is told of a link that was set: an end that does not serve, a name that nothing exports, and that no host uses
//! it. A link may be set before its ends run, so none of this is an error.

use std::time::{Duration, Instant};

use trellis_control::{ComponentStatus, Link, LinkStatus, LinkTier, ProviderStatus};
use trellis_core::ComponentId;

use crate::connection::Session;
use crate::hosts;
use crate::output::one_line;
use crate::suggestion::suggestion;
use crate::told::{self, Health, Part, Told};

/// How long hosts have to take a link into use before it is told that they do not.
const IN_FORCE_WAIT: Duration = Duration::from_secs(1);
/// How often they are asked meanwhile.
const ASK_INTERVAL: Duration = Duration::from_millis(100);
/// Exports that are listed in one note; more would not be read.
const EXPORTS_NAMED_MAX: usize = 5;

/// Says on standard error what keeps `link` from serving.
pub(super) async fn tell(session: &Session, link: &Link) {
    let Ok(told) = told::of_hosts(session, None).await else {
        return;
    };
    let source_serves = tell_end(&told, &link.source_id);
    let target_serves = tell_end(&told, &link.target);
    if target_serves {
        tell_exports(session, &told, link).await;
    }
    if source_serves && target_serves {
        tell_force(session, told, link).await;
    }
}

/// Tells of an end that does not run or does not serve; returns whether it serves somewhere.
fn tell_end(told: &[Told], id: &str) -> bool {
    let mut ids = Vec::new();
    let mut why = None;
    for it in told {
        let components = ComponentStatus::all(it);
        let providers = ProviderStatus::all(it);
        let all = components.iter().map(Part::health);
        for Health {
            id: other,
            ready,
            why: reason,
        } in all.chain(providers.iter().map(Part::health))
        {
            if other == id && ready {
                return true;
            }
            if other == id {
                why = Some(reason.unwrap_or("its host does not say why").to_owned());
            }
            ids.push(other.to_owned());
        }
    }
    match why {
        Some(why) => eprintln!("note: {id} does not serve: {}", one_line(&why)),
        None => {
            let near = match suggestion(id, ids.iter().map(String::as_str)) {
                Some(name) => format!("; if you meant {name}, delete this link"),
                None => String::new(),
            };
            eprintln!("note: {id} does not run yet; the link serves when it does{near}");
        }
    }
    false
}

/// Tells of interfaces that are not among what the target lists of its exports.
async fn tell_exports(session: &Session, told: &[Told], link: &Link) {
    // What WASI defines passes resources and streams, which are not listed.
    if link.wit_namespace == "wasi" {
        return;
    }
    let runs = |it: &&Told| {
        let mut all = ComponentStatus::all(it).into_iter();
        all.any(|it| it.id == link.target && it.ready)
    };
    let host = told.iter().find(runs).map(|it| it.host().0);
    let host = host.and_then(|it| trellis_control::HostId::new(it).ok());
    let (Some(host), Ok(target)) = (host, ComponentId::new(&link.target)) else {
        return;
    };
    let Ok(exports) = session.client.describe(&host, &target).await else {
        return;
    };
    let names = exports
        .interfaces
        .iter()
        .filter_map(|it| it.name.as_deref());
    let names: Vec<&str> = names.map(without_version).collect();
    for interface in &link.interfaces {
        if let Some(note) = export_note(link, interface, &names) {
            eprintln!("note: {note}");
        }
    }
}

fn without_version(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// Says that `interface` is not among the exports of the target; `None` where it is, or nothing is known of them.
fn export_note(link: &Link, interface: &str, exports: &[&str]) -> Option<String> {
    let wanted = full_name(link, interface);
    if exports.is_empty() || exports.contains(&wanted.as_str()) {
        return None;
    }
    let target = &link.target;
    let known = match suggestion(&wanted, exports.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            let first: Vec<&str> = exports.iter().copied().take(EXPORTS_NAMED_MAX).collect();
            format!("it exports {}", first.join(", "))
        }
    };
    Some(format!(
        "{target} does not list {wanted} among its exports; {known}"
    ))
}

fn full_name(link: &Link, interface: &str) -> String {
    let interface = without_version(interface);
    format!("{}:{}/{interface}", link.wit_namespace, link.wit_package)
}

/// Waits until the hosts of the source use the link, or tells that they do not.
async fn tell_force(session: &Session, mut told: Vec<Told>, link: &Link) {
    let end = Instant::now() + IN_FORCE_WAIT;
    loop {
        let open = open_notes(&told, link);
        if open.is_empty() {
            return;
        }
        if Instant::now() >= end {
            open.iter().for_each(|note| eprintln!("note: {note}"));
            return;
        }
        tokio::time::sleep(ASK_INTERVAL).await;
        match told::of_hosts(session, None).await {
            Ok(now) => told = now,
            Err(_) => return,
        }
    }
}

/// Says where the source serves and the link does not.
fn open_notes(told: &[Told], link: &Link) -> Vec<String> {
    let mut notes = Vec::new();
    for it in told {
        // A host of 1.x does not say which links it uses.
        let Told::Status(status) = it else { continue };
        let components = status.components.iter().map(Part::health);
        let mut all = components.chain(status.providers.iter().map(Part::health));
        if !all.any(|it| it.id == link.source_id && it.ready) {
            continue;
        }
        let host = hosts::label(&status.friendly_name, &status.host_id);
        for interface in &link.interfaces {
            let name = full_name(link, interface);
            let used = status.links.iter().find(|it| is_of(it, link, &name));
            match used {
                Some(it) if it.tier == LinkTier::Unavailable => {
                    notes.push(format!("{name} is unavailable on {host}: {}", one_line(&it.why)));
                }
                Some(_) => {}
                None => notes.push(format!(
                    "{} on {host} does not use the link for {name}: it does not import that, or one of the two is \
                     part of a manifest, which has its own links",
                    link.source_id
                )),
            }
        }
    }
    notes
}

/// Tells whether a host speaks of `name` in `link`.
fn is_of(status: &LinkStatus, link: &Link, name: &str) -> bool {
    status.source_id == link.source_id
        && status.target == link.target
        && status.name == link.name
        && without_version(&status.interface) == name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_exported_is_noted_with_what_is() {
        let link = Link {
            target: "text".to_owned(),
            wit_namespace: "acme".to_owned(),
            wit_package: "text".to_owned(),
            ..Link::default()
        };
        let note = |interface, exports: &[&str]| export_note(&link, interface, exports);
        assert_eq!(note("upper", &["acme:text/upper"]), None);
        assert_eq!(note("upper", &[]), None, "streams are not listed");
        assert_eq!(
            note("uper", &["acme:text/upper", "acme:text/lower"]).as_deref(),
            Some(
                "text does not list acme:text/uper among its exports; did you mean acme:text/upper?"
            )
        );
        assert_eq!(
            note("upper", &["other:shop/cart"]).as_deref(),
            Some(
                "text does not list acme:text/upper among its exports; it exports other:shop/cart"
            )
        );
    }
}
