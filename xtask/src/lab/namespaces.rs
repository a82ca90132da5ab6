//! Network namespaces joined by a bridge. Taking one off the bridge is a silent partition: nothing is refused and
//! nothing is reset, packets just do not arrive.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::shell;

/// What a person without `ip` has to type.
const INSTALL_HINT: &str = "hint: sudo apt-get install --no-install-recommends iproute2";

/// Where `ip` keeps named namespaces.
const NAMED: &str = "/var/run/netns";

/// How names begin, before the process id of the lab.
const PREFIX: &str = "trl";

/// Where a process of the lab runs: the machine's own network, or a namespace.
#[derive(Clone)]
pub(super) struct Place {
    namespace: Option<String>,
    /// Where others reach it.
    pub(super) address: Ipv4Addr,
}

impl Place {
    /// The machine's own loopback.
    pub(super) fn loopback() -> Self {
        Self {
            namespace: None,
            address: Ipv4Addr::LOCALHOST,
        }
    }

    /// Makes a command that runs there, with the same process id as `program`.
    pub(super) fn command(&self, program: &Path) -> Command {
        match &self.namespace {
            None => Command::new(program),
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(program);
                command
            }
        }
    }

    /// Moves the calling thread there, for as long as it lives.
    ///
    /// # Errors
    /// When the namespace is gone.
    pub(super) fn enter(&self) -> Result<()> {
        let Some(name) = &self.namespace else {
            return Ok(());
        };
        let path = PathBuf::from(NAMED).join(name);
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("cannot enter {name}"))
    }
}

/// Namespaces on one bridge, removed when dropped.
pub(super) struct Network {
    bridge: String,
    places: Vec<Place>,
}

impl Network {
    /// Makes `count` namespaces that reach one another.
    ///
    /// # Errors
    /// Without the rights or the program for it.
    pub(super) fn new(count: u8) -> Result<Self> {
        ensure!(
            shell::find("ip").is_some(),
            "network namespaces are made with `ip`, which is missing\n{INSTALL_HINT}"
        );
        ensure!(
            rustix::process::geteuid().is_root(),
            "only root can make network namespaces\nhint: sudo cargo xtask lab partition"
        );
        // Two bytes of the process id fit into the 15 characters that a link may have.
        let stem = format!("{PREFIX}{:04x}", std::process::id() & 0xffff);
        let mut network = Self {
            bridge: format!("{stem}b"),
            places: Vec::new(),
        };
        let bridge = network.bridge.clone();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["link", "set", &bridge, "up"])?;
        for index in 0..count {
            network.add(&stem, index)?;
        }
        Ok(network)
    }

    fn add(&mut self, stem: &str, index: u8) -> Result<()> {
        let name = format!("{stem}n{index}");
        let outer = outer(&name);
        let address = Ipv4Addr::new(10, 213, 77, index + 1);
        ip(&["netns", "add", &name])?;
        self.places.push(Place {
            namespace: Some(name.clone()),
            address,
        });
        ip(&[
            "link", "add", &outer, "type", "veth", "peer", "name", "eth0", "netns", &name,
        ])?;
        ip(&["link", "set", &outer, "master", &self.bridge, "up"])?;
        let subnet = format!("{address}/24");
        ip(&["-n", &name, "address", "add", &subnet, "dev", "eth0"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])
    }

    /// Returns the namespaces.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Cuts `place` off from all others.
    ///
    /// # Errors
    /// When it is none of this network.
    pub(super) fn cut(&self, place: &Place) -> Result<()> {
        ip(&["link", "set", &outer(name_of(place)?), "nomaster"])
    }

    /// Undoes [`Network::cut`].
    ///
    /// # Errors
    /// When it is none of this network.
    pub(super) fn heal(&self, place: &Place) -> Result<()> {
        ip(&[
            "link",
            "set",
            &outer(name_of(place)?),
            "master",
            &self.bridge,
        ])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.places.iter().filter_map(|it| it.namespace.as_ref()) {
            // A connection that nobody closed keeps the namespace alive for minutes, and the link with it.
            shell::succeeds(Command::new("ip").args(["link", "delete", &outer(name)]));
            shell::succeeds(Command::new("ip").args(["netns", "delete", name]));
        }
        shell::succeeds(Command::new("ip").args(["link", "delete", &self.bridge]));
    }
}

fn name_of(place: &Place) -> Result<&str> {
    place.namespace.as_deref().context("it has no namespace")
}

/// The end of a namespace's link that is on the bridge.
fn outer(name: &str) -> String {
    format!("{name}o")
}

fn ip(arguments: &[&str]) -> Result<()> {
    shell::output(Command::new("ip").args(arguments)).map(drop)
}
