//! Hosts by the names that people type, and what runs on which of them.

use trellis_control::{ComponentDescription, Host, HostId, HostInventory};

use crate::connection::Session;
use crate::failure::Failure;
use crate::suggestion::did_you_mean;
use crate::told::{self, Part};

/// Characters of a host id that are shown at least.
const SHORT_ID_MIN: usize = 8;

/// Characters of a whole host id: a public key of NATS.
const ID_LENGTH: usize = 56;

/// Finds the host that `text` names: its id or name, or the beginning of only its.
///
/// # Errors
/// When no host or more than one has that name.
pub(crate) async fn find(session: &Session, text: &str) -> Result<Host, Failure> {
    if let Some(host) = by_id(session, text).await {
        return Ok(host);
    }
    let hosts = session.hosts().await?;
    match choose(&hosts, text) {
        Found::One(host) => Ok(host.clone()),
        Found::None => {
            let names = hosts
                .iter()
                .flat_map(|it| [it.friendly_name.as_str(), it.id.as_str()]);
            let near = did_you_mean(text, names);
            let lattice = &session.resolved.lattice.value;
            let message = format!("no host {text} is in lattice {lattice}{near}");
            Err(session.failed(&message, Some("`trellis get hosts` lists the hosts")))
        }
        Found::Several(several) => {
            let short = short_ids(hosts.iter().map(|it| it.id.as_str()));
            let names: Vec<String> = several
                .iter()
                .map(|it| format!("{} ({})", it.friendly_name, short(&it.id)))
                .collect();
            let message = format!("{text} names {} hosts: {}", several.len(), names.join(", "));
            Err(session.failed(
                &message,
                Some("write more of the id or name of the one you mean"),
            ))
        }
    }
}

/// Asks the host whose whole id is `text`: it answers at once, where finding a name takes the time in
/// which any host may answer.
async fn by_id(session: &Session, text: &str) -> Option<Host> {
    let id = HostId::new(text).ok().filter(|_| text.len() == ID_LENGTH)?;
    let inventory = session.client.host_inventory(&id).await.ok()?;
    Some(Host {
        id: inventory.host_id,
        friendly_name: inventory.friendly_name,
        labels: inventory.labels,
        uptime_seconds: inventory.uptime_seconds,
        version: Some(inventory.version),
        lattice: session.resolved.lattice.value.to_string(),
        ..Host::default()
    })
}

enum Found<'h> {
    One(&'h Host),
    None,
    Several(Vec<&'h Host>),
}

fn choose<'h>(hosts: &'h [Host], text: &str) -> Found<'h> {
    let upper = text.to_ascii_uppercase();
    let rules: [&dyn Fn(&Host) -> bool; 3] = [
        &|host| host.id == text,
        &|host| host.friendly_name == text,
        // In one rule: a text that begins the id of one host and the name of another means neither.
        &|host| {
            let begins = host.id.to_ascii_uppercase().starts_with(&upper);
            !text.is_empty() && (begins || host.friendly_name.starts_with(text))
        },
    ];
    for rule in rules {
        let found: Vec<&Host> = hosts.iter().filter(|host| rule(host)).collect();
        match found.as_slice() {
            [] => {}
            [host] => return Found::One(host),
            _ => return Found::Several(found),
        }
    }
    Found::None
}

/// Returns the id of a host as the control interface takes it.
///
/// # Errors
/// When a host says an id that cannot be addressed.
pub(crate) fn id_of(session: &Session, id: &str) -> Result<HostId, Failure> {
    HostId::new(id).map_err(|error| {
        let message = format!("host {id:?} cannot be addressed: {error}");
        session.failed(&message, None)
    })
}

/// Returns a function that shortens ids of hosts as far as they stay different.
pub(crate) fn short_ids<'a>(ids: impl Iterator<Item = &'a str>) -> impl Fn(&str) -> String {
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let shared = |pair: &[&str]| {
        let same = pair[0].chars().zip(pair[1].chars());
        same.take_while(|(a, b)| a == b).count()
    };
    let longest = ids.windows(2).map(shared).max().unwrap_or(0);
    let length = SHORT_ID_MIN.max(longest + 1);
    move |id| id.chars().take(length).collect()
}

/// Returns the name of a host for people: its own, and as much of its id as tells it apart.
pub(crate) fn label(name: &str, id: &str) -> String {
    let short: String = id.chars().take(SHORT_ID_MIN).collect();
    match name {
        "" => short,
        name => format!("{name} ({short})"),
    }
}

/// Something that runs on a host.
#[derive(Clone, Debug)]
pub(crate) struct Running<T> {
    /// The host.
    pub(crate) host: HostId,
    /// Its name for people.
    pub(crate) host_label: String,
    /// What runs there.
    pub(crate) what: T,
}

/// Lists what every host runs.
///
/// # Errors
/// When hosts cannot be asked.
pub(crate) async fn inventories(session: &Session) -> Result<Vec<HostInventory>, Failure> {
    let inventories = session.client.inventories().await;
    session.gathered(inventories)
}

/// Finds where the component `id` runs, on all hosts or on `host`.
///
/// # Errors
/// When it runs nowhere there.
pub(crate) async fn with_component(
    session: &Session,
    id: &str,
    host: Option<&str>,
) -> Result<Vec<Running<ComponentDescription>>, Failure> {
    let found = with_kind(session, host, |it| it.components.clone()).await?;
    only(session, "component", id, host, found, |it| &it.id)
}

/// Finds where `id` is listed, on all hosts or on `host`, whether it is ready there or not.
///
/// # Errors
/// When no host lists it.
pub(crate) async fn listed<T: Part>(
    session: &Session,
    id: &str,
    host: Option<&str>,
) -> Result<Vec<Running<T>>, Failure> {
    let mut found = Vec::new();
    for told in told::of_hosts(session, host).await? {
        let (host_id, host_name) = told.host();
        let Ok(host) = HostId::new(host_id) else {
            continue;
        };
        found.extend(T::all(&told).into_iter().map(|what| Running {
            host: host.clone(),
            host_label: label(host_name, host_id),
            what,
        }));
    }
    only(session, T::KIND, id, host, found, |it| it.health().id)
}

async fn with_kind<T>(
    session: &Session,
    host: Option<&str>,
    get: impl Fn(&HostInventory) -> Vec<T>,
) -> Result<Vec<Running<T>>, Failure> {
    let inventories = match host {
        None => inventories(session).await?,
        Some(host) => {
            let host = id_of(session, &find(session, host).await?.id)?;
            let inventory = session.client.host_inventory(&host).await;
            vec![inventory.map_err(|error| session.failure(&error))?]
        }
    };
    let mut running = Vec::new();
    for inventory in &inventories {
        let Ok(host) = HostId::new(&inventory.host_id) else {
            continue;
        };
        for what in get(inventory) {
            running.push(Running {
                host: host.clone(),
                host_label: label(&inventory.friendly_name, &inventory.host_id),
                what,
            });
        }
    }
    Ok(running)
}

fn only<T>(
    session: &Session,
    kind: &str,
    id: &str,
    host: Option<&str>,
    running: Vec<Running<T>>,
    id_of: impl Fn(&T) -> &str,
) -> Result<Vec<Running<T>>, Failure> {
    if !running.iter().any(|it| id_of(&it.what) == id) {
        let near = did_you_mean(id, running.iter().map(|it| id_of(&it.what)));
        let place = match host {
            Some(host) => format!("on host {host}"),
            None => format!("in lattice {}", session.resolved.lattice.value),
        };
        let message = format!("no {kind} {id} runs {place}{near}");
        let hint = format!("`trellis get {kind}s` lists what runs");
        return Err(session.failed(&message, Some(&hint)));
    }
    let mut found: Vec<_> = running
        .into_iter()
        .filter(|it| id_of(&it.what) == id)
        .collect();
    found.sort_by(|a, b| a.host.cmp(&b.host));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(id: &str, name: &str) -> Host {
        Host {
            id: id.to_owned(),
            friendly_name: name.to_owned(),
            ..Host::default()
        }
    }

    #[test]
    fn a_host_is_named_by_id_prefix_or_name() {
        let hosts = [
            host("NABCD", "red"),
            host("NABXY", "NABC"),
            host("NC", "red"),
        ];
        let found = |text: &str| match choose(&hosts, text) {
            Found::One(host) => host.id.clone(),
            Found::None => "none".to_owned(),
            Found::Several(several) => format!("{} hosts", several.len()),
        };
        assert_eq!(found("NABCD"), "NABCD");
        assert_eq!(found("nabcd"), "NABCD");
        assert_eq!(found("NC"), "NC");
        assert_eq!(found("NABC"), "NABXY", "a name goes before a prefix");
        assert_eq!(found("NAB"), "2 hosts");
        assert_eq!(found("red"), "2 hosts");
        assert_eq!(found(""), "none");
        let hosts = [host("NA", "dapper-fox-1234"), host("NB", "dapper-elk-99")];
        let found = |text: &str| match choose(&hosts, text) {
            Found::One(host) => host.id.clone(),
            Found::None => "none".to_owned(),
            Found::Several(several) => format!("{} hosts", several.len()),
        };
        assert_eq!(found("dapper-f"), "NA", "a beginning that only one has");
        assert_eq!(found("dapper"), "2 hosts");
        assert_eq!(found("fox"), "none");
        let hosts = [host("NANC", "red"), host("NB", "nancy-1")];
        let both = matches!(choose(&hosts, "nan"), Found::Several(it) if it.len() == 2);
        assert!(both, "an id and a name");
    }

    #[test]
    fn short_ids_stay_different() {
        let ids = ["NAAAAAAAAAAAB", "NAAAAAAAAAAAC", "NB"];
        let short = short_ids(ids.into_iter());
        assert_eq!(short(ids[0]), "NAAAAAAAAAAAB");
        assert_eq!(
            short_ids(["NAAAAAAAAAAAB"].into_iter())("NAAAAAAAAAAAB"),
            "NAAAAAAA"
        );
    }
}
