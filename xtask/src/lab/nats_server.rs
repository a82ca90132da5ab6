//! The real `nats-server`, as a careful operator runs it: what it acknowledges is on the disk.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::cluster::{START_LIMIT, free_port};
use super::namespaces::Place;
use super::process::Process;
use super::{Lab, waiting};

/// A `nats-server` with JetStream that acknowledges what is on the disk.
pub(super) struct NatsServer {
    program: PathBuf,
    place: Place,
    folder: PathBuf,
    /// Where it listens, the same after a restart.
    pub(super) address: SocketAddr,
    process: Option<Process>,
}

impl NatsServer {
    /// Writes its configuration into `folder`, without starting it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn prepare(lab: &Lab, place: Place, folder: PathBuf) -> Result<Self> {
        let address = SocketAddr::from((place.address, free_port()?));
        let store = folder.join("jetstream");
        // Each setting on a line of its own: without commas the server reads them in no other way. Clients that
        // are silent for 10 s are cut off.
        let text = format!(
            "listen: {address}\nping_interval: \"5s\"\nping_max: 2\njetstream {{\n  store_dir: \"{}\"\n  \
             sync_interval: always\n}}\n",
            store.display()
        );
        let file = folder.join("nats.conf");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self {
            program: lab
                .nats_server
                .clone()
                .context("this scenario needs a nats-server")?,
            place,
            folder,
            address,
            process: None,
        })
    }

    /// Returns where it listens, for commands and hosts.
    pub(super) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Starts it and waits until it takes connections. Returns when it did.
    ///
    /// # Errors
    /// A server that does not start.
    pub(super) fn start(&mut self) -> Result<Instant> {
        let mut command = self.place.command(&self.program);
        command.arg("-c").arg(self.folder.join("nats.conf"));
        let process = self
            .process
            .insert(Process::start(command, "nats", &self.folder)?);
        let (place, address) = (self.place.clone(), self.address);
        waiting::until("nats-server takes connections", START_LIMIT, || {
            if let Some(status) = process.ended()? {
                bail!("nats-server ended: {status}; see nats.log");
            }
            Ok(is_open(&place, address).then_some(()))
        })?;
        Ok(Instant::now())
    }

    /// Kills it without warning.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(super) fn kill(&mut self) -> Result<()> {
        match &mut self.process {
            Some(process) => process.kill(),
            None => Ok(()),
        }
    }
}

/// Whether something listens at `address`, seen from `place`.
fn is_open(place: &Place, address: SocketAddr) -> bool {
    let place = place.clone();
    // A thread of its own, since a thread that entered a namespace stays there.
    let look = thread::spawn(move || {
        place.enter().is_ok() && TcpStream::connect_timeout(&address, START_LIMIT).is_ok()
    });
    look.join().unwrap_or(false)
}
