//! The context of a running embedded lattice: written when it starts, removed when it ends, and known
//! to be stale when its process is gone or nothing answers.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trellis_core::LatticeName;

use super::{Context, Contexts, EMBEDDED_PREFIX};
use crate::failure::Failure;

/// The port of a NATS server whose address has none.
const PORT_DEFAULT: u16 = 4222;
/// How long a listener of this machine has to take a connection.
const ANSWER_MAX: Duration = Duration::from_millis(300);

/// Which `trellis up` wrote a context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embedded {
    /// Its process.
    pub(crate) pid: u32,
    /// When it wrote the context: RFC 3339, UTC.
    pub(crate) started: String,
}

/// Removes the context of an embedded lattice when dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    contexts: Contexts,
    name: String,
    embedded: Embedded,
}

/// Writes the context by which clients of this user find the embedded lattice of this process.
///
/// `credentials` is the `.creds` file of an operator.
///
/// # Errors
/// When the file cannot be written; a host runs without it too, but needs flags to be found.
pub(crate) fn announce_embedded(
    servers: &[String],
    credentials: &Path,
    lattice: &LatticeName,
) -> Result<Guard, Failure> {
    announce_in(Contexts::open(), servers, credentials, lattice)
}

fn announce_in(
    contexts: Contexts,
    servers: &[String],
    credentials: &Path,
    lattice: &LatticeName,
) -> Result<Guard, Failure> {
    contexts.sweep();
    let pid = std::process::id();
    let name = match contexts.load(EMBEDDED_PREFIX) {
        Ok(_) => format!("{EMBEDDED_PREFIX}-{pid}"),
        Err(_) => EMBEDDED_PREFIX.to_owned(),
    };
    let embedded = Embedded {
        pid,
        started: Timestamp::now().to_string(),
    };
    let context = Context {
        servers: servers.to_vec(),
        lattice: Some(lattice.to_string()),
        credentials: Some(credentials.to_owned()),
        embedded: Some(embedded.clone()),
        ..Context::default()
    };
    contexts.put(&name, &context)?;
    Ok(Guard {
        contexts,
        name,
        embedded,
    })
}

impl Drop for Guard {
    fn drop(&mut self) {
        let written = self.contexts.load(&self.name);
        // Another process may have taken the name after somebody deleted the file.
        if written.is_ok_and(|it| it.embedded.as_ref() == Some(&self.embedded)) {
            // What stays behind is known as stale by its process.
            drop(self.contexts.delete(&self.name));
        }
    }
}

impl Contexts {
    /// Returns the embedded lattice that runs here; the latest of several.
    pub(crate) fn live_embedded(&self) -> Option<(String, Context)> {
        let mut found = self.embedded();
        found.sort_by(|(_, one), (_, other)| {
            let started = |it: &Context| it.embedded.as_ref().map(|it| it.started.clone());
            started(other).cmp(&started(one))
        });
        found.into_iter().find(|(_, context)| is_live(context))
    }

    /// Returns the names of the embedded lattices that run here besides that of `name`.
    pub(crate) fn other_embedded(&self, name: &str) -> Vec<String> {
        let others = self.embedded().into_iter().filter(|(it, _)| it != name);
        others
            .filter(|(_, context)| is_live(context))
            .map(|(name, _)| name)
            .collect()
    }

    /// Returns the name of the embedded lattice that runs here at one of these addresses.
    pub(crate) fn embedded_at(&self, servers: &[String]) -> Option<String> {
        let ports: Vec<u16> = servers.iter().filter_map(|it| loopback_port(it)).collect();
        let here = |context: &Context| {
            let mut own = context.servers.iter().filter_map(|it| loopback_port(it));
            own.any(|port| ports.contains(&port)) && is_live(context)
        };
        let mut all = self.embedded().into_iter();
        all.find(|(_, context)| here(context)).map(|(name, _)| name)
    }

    fn embedded(&self) -> Vec<(String, Context)> {
        let named = |name: String| Some((name.clone(), self.load(&name).ok()?));
        let contexts = self.names().into_iter().filter_map(named);
        contexts.filter(|(_, it)| it.embedded.is_some()).collect()
    }

    /// Removes the contexts of processes that are gone.
    fn sweep(&self) {
        for (name, context) in self.embedded() {
            if !context.embedded.is_some_and(|it| process_exists(it.pid)) {
                // Whoever cannot remove it sees that it is stale.
                drop(self.delete(&name));
            }
        }
    }
}

/// Tells whether the process that wrote `context` is there and something answers at its address.
pub(crate) fn is_live(context: &Context) -> bool {
    let process = context.embedded.as_ref().map(|it| process_exists(it.pid));
    process == Some(true) && context.servers.iter().any(|server| answers(server))
}

fn answers(server: &str) -> bool {
    let mut loopback = loopback(server);
    loopback.any(|it| TcpStream::connect_timeout(&it, ANSWER_MAX).is_ok())
}

/// Returns the addresses of a server on this machine.
fn loopback(server: &str) -> impl Iterator<Item = SocketAddr> {
    let address = server.rsplit_once("://").map_or(server, |(_, rest)| rest);
    let addresses = address.to_socket_addrs().into_iter().flatten();
    addresses.filter(|it| it.ip().is_loopback())
}

/// Returns the port of a server on this machine; that of NATS where none is written.
fn loopback_port(server: &str) -> Option<u16> {
    let written = loopback(server).next();
    let usual = || loopback(&format!("{server}:{PORT_DEFAULT}")).next();
    written.or_else(usual).map(|it| it.port())
}

#[cfg(unix)]
fn process_exists(pid: u32) -> bool {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let tested = pid.map(rustix::process::test_kill_process);
    // One of another user is there, too.
    matches!(tested, Some(Ok(()) | Err(rustix::io::Errno::PERM)))
}

#[cfg(not(unix))]
fn process_exists(_: u32) -> bool {
    // Whether it answers has to do.
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::TcpListener;

    use super::*;

    fn announce(contexts: &Contexts, listener: &TcpListener) -> Guard {
        let server = format!("nats://{}", listener.local_addr().unwrap());
        let lattice = LatticeName::default();
        announce_in(
            contexts.clone(),
            &[server],
            Path::new("/operator.creds"),
            &lattice,
        )
        .unwrap()
    }

    #[test]
    fn a_running_lattice_is_found_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let contexts = Contexts::in_folder(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(contexts.live_embedded(), None);
        let first = announce(&contexts, &listener);
        assert_eq!(contexts.live_embedded().unwrap().0, "embedded");
        let second = announce(&contexts, &listener);
        assert_eq!(contexts.names().len(), 2, "each has its own");
        assert_eq!(contexts.other_embedded("embedded").len(), 1);
        let server = [format!(
            "localhost:{}",
            listener.local_addr().unwrap().port()
        )];
        assert!(contexts.embedded_at(&server).is_some());
        assert_eq!(
            contexts.embedded_at(&["nats://192.0.2.1:4222".to_owned()]),
            None
        );
        drop(first);
        assert!(contexts.live_embedded().unwrap().0.starts_with("embedded-"));
        drop(second);
        assert_eq!(contexts.names(), Vec::<String>::new());
    }

    #[test]
    fn one_that_does_not_answer_is_not_live() {
        let folder = tempfile::tempdir().unwrap();
        let contexts = Contexts::in_folder(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _guard = announce(&contexts, &listener);
        drop(listener);
        assert_eq!(contexts.live_embedded(), None);
    }

    #[test]
    #[cfg(unix)]
    fn what_a_dead_process_left_behind_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let contexts = Contexts::in_folder(folder.path());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let context = Context {
            embedded: Some(Embedded {
                pid: child.id(),
                started: "2026-01-05T10:11:12Z".to_owned(),
            }),
            ..Context::default()
        };
        contexts.put("embedded", &context).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _guard = announce(&contexts, &listener);
        assert_eq!(contexts.names(), ["embedded"]);
        assert_eq!(contexts.live_embedded().unwrap().0, "embedded");
    }
}
