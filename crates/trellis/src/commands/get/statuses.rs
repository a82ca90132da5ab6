//! What hosts tell, as lists show it: one line for each thing on each host.

use serde::Serialize;

use crate::connection::Session;
use crate::failure::Failure;
use crate::hosts;
use crate::output::one_line;
use crate::told::{Health, Part, Told, of_hosts};

/// Something with the host that it runs on.
#[derive(Debug, Serialize)]
pub(super) struct Placed<T> {
    host_id: String,
    host_name: String,
    #[serde(flatten)]
    pub(super) what: T,
}

impl<T: Part> Placed<T> {
    /// Returns the host in words.
    pub(super) fn host(&self) -> String {
        hosts::label(&self.host_name, &self.host_id)
    }

    /// Returns what lists are sorted by.
    fn place(&self) -> (&str, &str) {
        (self.what.health().id, &self.host_id)
    }

    /// Returns the word for whether it takes calls.
    pub(super) fn ready(&self) -> &'static str {
        if self.what.health().ready {
            "yes"
        } else {
            "no"
        }
    }
}

/// Asks all hosts, or the one that `host` names, for what runs there; sorted by id, then by host.
///
/// # Errors
/// When there is no host.
pub(super) async fn placed<T: Part>(
    session: &Session,
    host: Option<&str>,
) -> Result<Vec<Placed<T>>, Failure> {
    Ok(placed_of(&of_hosts(session, host).await?))
}

/// Collects what hosts told; sorted by id, then by host.
pub(super) fn placed_of<T: Part>(told: &[Told]) -> Vec<Placed<T>> {
    let mut found = Vec::new();
    for told in told {
        let (host_id, host_name) = told.host();
        found.extend(T::all(told).into_iter().map(|what| Placed {
            host_id: host_id.to_owned(),
            host_name: host_name.to_owned(),
            what,
        }));
    }
    found.sort_by(|a, b| a.place().cmp(&b.place()));
    found
}

/// Says on standard error what keeps things from being ready.
pub(super) fn explain<T: Part>(found: &[Placed<T>]) {
    for it in found {
        let Health { id, ready, why } = it.what.health();
        if let Some(why) = why.filter(|_| !ready) {
            eprintln!("{id} on {} {}: {}", it.host(), T::NOT_READY, one_line(why));
        }
    }
}
