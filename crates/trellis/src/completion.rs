//! What a shell offers when somebody presses Tab: names of this machine, and ids of the live lattice.
//!
//! A lattice that does not answer at once offers nothing: nobody waits for a shell.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::Duration;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use trellis_control::EventKind;

use crate::connection::{ConnectionOptions, Session};
use crate::context::Contexts;

/// The longest that a shell is kept waiting.
const WAIT_MAX: Duration = Duration::from_millis(300);
/// After the latest answer, no further one is waited for.
const SILENCE: Duration = Duration::from_millis(60);

/// The variable by which a shell asks for completions, with its own name as the value.
pub(crate) const VARIABLE: &str = "TRELLIS_COMPLETE";

/// Offers names of contexts.
pub(crate) fn contexts() -> ArgValueCompleter {
    completer(|| Contexts::open().names())
}

/// Offers types of events.
pub(crate) fn event_types() -> ArgValueCompleter {
    completer(|| {
        EventKind::ALL
            .iter()
            .map(|it| it.name().to_owned())
            .collect()
    })
}

/// What of a lattice is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// Names of hosts, and ids of those without.
    Hosts,
    /// Ids of components.
    Components,
    /// Ids of providers.
    Providers,
    /// Ids of both.
    Ids,
    /// Names of config that links use.
    Configs,
}

/// Offers what is in the lattice now.
pub(crate) fn live(what: Live) -> ArgValueCompleter {
    completer(move || names_in_time(what))
}

fn completer(names: impl Fn() -> Vec<String> + Send + Sync + 'static) -> ArgValueCompleter {
    ArgValueCompleter::new(move |typed: &OsStr| -> Vec<CompletionCandidate> {
        let Some(typed) = typed.to_str() else {
            return Vec::new();
        };
        let fitting = names().into_iter().filter(|name| name.starts_with(typed));
        fitting.map(CompletionCandidate::new).collect()
    })
}

fn names_in_time(what: Live) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let found = runtime.block_on(async { tokio::time::timeout(WAIT_MAX, names(what)).await });
    // Name look-ups that hang in a thread must not keep the process.
    runtime.shutdown_background();
    found.ok().flatten().unwrap_or_default()
}

async fn names(what: Live) -> Option<Vec<String>> {
    let typed: Vec<String> = std::env::args().collect();
    let session = Session::open(&connection_of(&typed)).await.ok()?;
    let mut timing = session.client.timing().clone();
    timing.ping_silence = timing.ping_silence.min(SILENCE);
    let client = session.client.with_timing(timing);
    let names: BTreeSet<String> = match what {
        Live::Hosts => {
            let hosts = client.hosts().await.ok()?.answers.into_iter();
            let name = |it: trellis_control::Host| match it.friendly_name.is_empty() {
                true => it.id,
                false => it.friendly_name,
            };
            hosts.map(name).collect()
        }
        Live::Configs => {
            let links = client.links().await.ok()?.into_iter();
            links
                .flat_map(|it| [it.source_config, it.target_config].concat())
                .collect()
        }
        Live::Components | Live::Providers | Live::Ids => {
            let inventories = client.inventories().await.ok()?.answers;
            let mut ids = BTreeSet::new();
            for inventory in inventories {
                if what != Live::Providers {
                    ids.extend(inventory.components.into_iter().map(|it| it.id));
                }
                if what != Live::Components {
                    ids.extend(inventory.providers.into_iter().map(|it| it.id));
                }
            }
            ids
        }
    };
    Some(names.into_iter().collect())
}

/// Takes from an unfinished command line which lattice it is about.
fn connection_of(typed: &[String]) -> ConnectionOptions {
    let value = |flag: &str| {
        let with_equals = format!("{flag}=");
        typed.iter().enumerate().find_map(|(index, word)| {
            let value = word.strip_prefix(&with_equals).map(str::to_owned);
            value.or_else(|| {
                (word == flag)
                    .then(|| typed.get(index + 1).cloned())
                    .flatten()
            })
        })
    };
    ConnectionOptions {
        nats: value("--nats").into_iter().collect(),
        lattice: value("--lattice").and_then(|it| trellis_core::LatticeName::new(it).ok()),
        context: value("--context"),
        creds: value("--creds").map(Into::into),
        ..ConnectionOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_line_says_which_lattice_is_meant() {
        let typed = ["trellis", "stop", "--context", "shop", "--lattice=red", ""];
        let typed: Vec<String> = typed.iter().map(|it| (*it).to_owned()).collect();
        let connection = connection_of(&typed);
        assert_eq!(connection.context.as_deref(), Some("shop"));
        assert_eq!(
            connection.lattice.map(|it| it.to_string()).as_deref(),
            Some("red")
        );
        assert!(connection.nats.is_empty());
    }
}
