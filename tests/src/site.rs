//! Several hosts in one lattice, and a desk from which a person commands them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::nats::{NatsServer, free_port};
use crate::paths::guest;
use crate::process::{Host, Trellis};

/// Longer than anything takes that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it has come.
const POLL: Duration = Duration::from_millis(20);

/// A lattice on a NATS server, with hosts in the zones `a`, `b` and so on.
#[derive(Debug)]
pub struct Site {
    /// The server.
    pub server: NatsServer,
    /// The hosts; those that were killed are gone.
    pub hosts: Vec<Host>,
    desk: Trellis,
}

impl Site {
    /// Starts a server and this many hosts.
    ///
    /// # Panics
    /// When one of them does not start.
    pub fn of(hosts: u8) -> Self {
        let mut site = Self {
            server: NatsServer::start(),
            hosts: Vec::new(),
            desk: Trellis::new(),
        };
        for number in 0..hosts {
            let host = site.host_command(char::from(b'a' + number)).up();
            site.hosts.push(host);
        }
        site
    }

    /// Returns the command line of a host in `zone`, each with a home of its own.
    pub fn host_command(&self, zone: char) -> Trellis {
        Trellis::new()
            .env("NATS_URL", &self.server.url())
            .arg("--label")
            .arg(format!("zone={zone}"))
    }

    /// Returns a command line in this lattice.
    pub fn desk(&self) -> Trellis {
        self.desk.beside().env("NATS_URL", &self.server.url())
    }

    /// Runs a command and returns what it said as JSON.
    ///
    /// # Panics
    /// When it fails.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        self.desk().args(arguments).json()
    }

    /// Starts a component that was built from `tests/guests/` or `examples/`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&self, guest_name: &str, id: &str, more: &[&str]) -> Value {
        let image = guest(guest_name).display().to_string();
        let mut arguments = vec!["start", "component", &image, "--id", id];
        arguments.extend(more);
        self.ask(&arguments)
    }

    /// Has the host with this number answer HTTP with the component `id`; returns where.
    ///
    /// # Panics
    /// When it does not come to serve.
    pub fn serve(&self, host: usize, id: &str) -> SocketAddr {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (provider, config) = (format!("http-{id}-{host}"), format!("http-{id}-{host}"));
        let setting = format!("address={address}");
        self.ask(&["config", "put", &config, &setting]);
        let host = self.hosts[host].host_id();
        let image = "builtin:http-server";
        self.ask(&[
            "start", "provider", image, "--id", &provider, "--host", &host,
        ]);
        let link = ["link", "put", &provider, id, "wasi", "http"];
        let more = [
            "--interface",
            "incoming-handler",
            "--source-config",
            &config,
        ];
        self.ask(&[&link[..], &more[..]].concat());
        wait_until("the gateway listens", || {
            std::net::TcpStream::connect(address).is_ok()
        });
        address
    }
}

/// Waits until `holds`.
///
/// # Panics
/// When it takes a minute.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "not within a minute: {what}");
        std::thread::sleep(POLL);
    }
}
