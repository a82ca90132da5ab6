//! The lattice that `trellis up` is part of: one of its own on this machine, or one that it joins.

use std::fs::{File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trellis_broker::{Broker, Config as BrokerConfig};
use trellis_core::LatticeName;
use trellis_identity::{Authority, Role};
use trellis_lattice::store::{
    BucketDefaults, EmbeddedStore, JetStreamStore, OpenError, OpenOptions, Store,
};
use trellis_lattice::{Credentials, Lattice, Settings, connect, connect_in_background};
use trellis_node::LeasePolicy;

use crate::connection::{not_joined, redacted};
use crate::failure::Failure;

/// Where NATS listens by custom: tools find the embedded lattice there when the port is free.
const PORT_PREFERRED: u16 = 4222;

/// How long a start waits for a lattice that it joins, before it goes on without.
const JOIN_WAIT: Duration = Duration::from_secs(2);
/// Hosts of one lattice on one machine with one data folder.
const HOSTS_MAX: u32 = 1_000;
/// What a host remembers of its lattice, in its own folder.
const RECOLLECTION: &str = "lattice.json";

/// A connection to a lattice, and where its state is.
pub(super) struct Joined {
    pub(super) lattice: Lattice,
    pub(super) store: Arc<dyn Store>,
    pub(super) lease: LeasePolicy,
    /// The folder of what this host remembers, where it joins a lattice of others.
    pub(super) place: Option<Place>,
    pub(super) embedded: Option<Embedded>,
}

/// A lattice on this machine, for as long as this value lives.
pub(super) struct Embedded {
    /// Its server, such as `nats://127.0.0.1:4222`.
    pub(super) server: String,
    /// The file with the credentials of an operator.
    pub(super) operator: Option<PathBuf>,
    stop: oneshot::Sender<()>,
    broker: JoinHandle<()>,
}

impl Embedded {
    /// Ends the broker and cuts its clients off.
    pub(super) async fn stop(self) {
        // A broker that ended by itself hears nothing.
        let _ = self.stop.send(());
        let _ = self.broker.await;
    }
}

/// A folder that this process has for itself among the hosts of one lattice.
pub(super) struct Place {
    folder: PathBuf,
    /// Locked for as long as this value lives.
    _lock: File,
}

impl Place {
    /// Takes the first folder that no living host has. A host that starts again after all have ended
    /// finds what the first of them remembered.
    fn take(data: &Path, lattice: &LatticeName) -> io::Result<Self> {
        let hosts = data.join("lattices").join(lattice.as_str()).join("hosts");
        for number in 0..HOSTS_MAX {
            let folder = hosts.join(number.to_string());
            std::fs::create_dir_all(&folder)?;
            let lock = File::create(folder.join("lock"))?;
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Self {
                        folder,
                        _lock: lock,
                    });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        let text = format!("{HOSTS_MAX} hosts have a folder there already");
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, text))
    }

    /// Returns the file of what the host remembers.
    pub(super) fn recollection(&self) -> PathBuf {
        self.folder.join(RECOLLECTION)
    }
}

/// Joins the lattice that `settings` name. One that cannot be reached is sought for as long as the host
/// runs; what can never succeed fails at once.
pub(super) async fn join(settings: Settings, data: &Path) -> Result<Joined, Failure> {
    let place =
        Place::take(data, &settings.lattice).map_err(|error| folder_failure(data, &error))?;
    let servers = settings.servers.clone();
    let sought = match tokio::time::timeout(JOIN_WAIT, connect(settings.clone())).await {
        Ok(Ok(lattice)) => Ok(lattice),
        Ok(Err(error)) if !error.may_pass() => return Err(not_joined(&servers, &error)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "no NATS server answers at {} within {} s",
            redacted(&settings.servers.join(", ")),
            JOIN_WAIT.as_secs()
        )),
    };
    let lattice = match sought {
        Ok(lattice) => lattice,
        Err(why) => {
            eprintln!("note: {why}");
            eprintln!("note: starting from what this host remembers; it joins as soon as it can");
            connect_in_background(settings)
                .await
                .map_err(|error| Failure::new(&error, None))?
        }
    };
    let store = JetStreamStore::new(lattice.clone(), BucketDefaults::default());
    Ok(Joined {
        lattice,
        store: Arc::new(store),
        lease: LeasePolicy::Kept,
        place: Some(place),
        embedded: None,
    })
}

/// Starts a lattice of this host alone, with its credentials and state in `data`.
pub(super) async fn embed(data: &Path, name: LatticeName) -> Result<Joined, Failure> {
    let folder = data.join("lattices").join(name.as_str());
    let (authority, store) = {
        let (folder, name) = (folder.clone(), name.clone());
        let open = tokio::task::spawn_blocking(move || open(&folder, &name));
        open.await.map_err(|error| Failure::new(&error, None))??
    };
    let host = Role::Host;
    let credentials = authority.credentials(&host);
    let operator = authority.credentials_path(&Role::Operator);
    let broker = bind(authority).await?;
    let server = format!("nats://{}", broker.address());
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(broker.run(async {
        // An error means that the owner is gone: the same as being told.
        let _ = stopped.await;
    }));
    let mut settings = Settings::new(name, [server.clone()]);
    settings.credentials = Credentials::JwtAndSeed {
        jwt: credentials.jwt().to_owned(),
        seed: credentials.seed().clone(),
    };
    settings.inbox_prefix = host.inbox_prefix();
    let lattice = connect(settings)
        .await
        .map_err(|error| Failure::new(&error, None))?;
    Ok(Joined {
        lattice,
        store: Arc::new(store),
        lease: LeasePolicy::NotUsed,
        place: None,
        embedded: Some(Embedded {
            server,
            operator,
            stop,
            broker: task,
        }),
    })
}

fn folder_failure(folder: &Path, error: &io::Error) -> Failure {
    let text = format!("cannot use {}: {error}", folder.display());
    Failure::message(&text, Some("name another folder with `--data FOLDER`"))
}

fn open(folder: &Path, name: &LatticeName) -> Result<(Authority, EmbeddedStore), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| folder_failure(folder, &error))?;
    let authority = Authority::open_or_create(&folder.join("credentials"), name)
        .map_err(|error| Failure::new(&error, None))?;
    let state = OpenOptions::new(folder.join("state.redb"));
    let store = EmbeddedStore::open(state).map_err(|error| match error {
        OpenError::InUse { .. } => Failure::new(
            &error,
            Some(
                "another `trellis up` runs with this folder; stop it, name another folder with \
                 `--data FOLDER`, or let both join a NATS server with `--nats URL`",
            ),
        ),
        error => Failure::new(&error, Some("name another folder with `--data FOLDER`")),
    })?;
    Ok((authority, store))
}

/// Binds where NATS is by custom, or anywhere where that is taken.
async fn bind(authority: Authority) -> Result<Broker, Failure> {
    let authority = Arc::new(authority);
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let preferred = BrokerConfig::new(at(PORT_PREFERRED));
    if let Ok(broker) = preferred.bind(authority.clone()).await {
        return Ok(broker);
    }
    BrokerConfig::new(at(0))
        .bind(authority)
        .await
        .map_err(|error| Failure::new(&error, None))
}
