//! The two servers that are compared: ours in this process, and a real nats-server.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trellis_broker::{AllowAll, Authenticator, Broker, Config, Limits};

use crate::lattice::{Lattice, Trusting};

/// How long a server may take to start on a busy machine.
const START_MAX: Duration = Duration::from_secs(30);

/// What both servers are told.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) lattice: Option<Arc<Lattice>>,
    pub(crate) limits: Limits,
}

impl Settings {
    pub(crate) fn trusting(lattice: &Arc<Lattice>) -> Self {
        Self {
            lattice: Some(Arc::clone(lattice)),
            limits: Limits::default(),
        }
    }

    fn server_config(&self) -> String {
        let limits = &self.limits;
        let trust = self.lattice.as_ref().map(|it| it.server_config());
        format!(
            "{}\nmax_pending: {}\nmax_subscriptions: {}\nmax_connections: {}\nmax_payload: {}\n\
             write_deadline: \"{}ms\"\nping_interval: \"{}ms\"\nping_max: {}\n\
             authorization {{ timeout: {} }}\n",
            trust.unwrap_or_default(),
            limits.pending_bytes_max,
            limits.subscriptions_per_client_max,
            limits.clients_max,
            limits.payload_bytes_max,
            limits.write_deadline.as_millis(),
            limits.ping_interval.as_millis(),
            limits.pings_missed_max - 1,
            limits.authentication_timeout.as_secs_f64(),
        )
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    running: Running,
}

enum Running {
    Ours {
        stop: oneshot::Sender<()>,
        task: JoinHandle<()>,
    },
    Nats {
        _process: Process,
        _folder: tempfile::TempDir,
    },
}

/// A process that ends with its owner.
struct Process(Child);

impl Server {
    /// Starts our broker.
    pub(crate) async fn ours(settings: &Settings) -> Self {
        match &settings.lattice {
            Some(lattice) => Self::ours_with(settings, Trusting(Arc::clone(lattice))).await,
            None => Self::ours_with(settings, AllowAll).await,
        }
    }

    /// Starts our broker with any way to let clients in.
    pub(crate) async fn ours_with(settings: &Settings, who: impl Authenticator) -> Self {
        let config = Config {
            limits: settings.limits.clone(),
            ..Config::new(([127, 0, 0, 1], 0).into())
        };
        let broker: Broker = config.bind(who).await.unwrap();
        let address = broker.address();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(broker.run(async {
            // Dropping the sender stops the broker too.
            let _ = stopped.await;
        }));
        let running = Running::Ours { stop, task };
        Self {
            name: "trellis",
            address,
            running,
        }
    }

    /// Starts a real nats-server.
    pub(crate) async fn nats(settings: &Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let rest = format!("listen: \"127.0.0.1:-1\"\nports_file_dir: {path:?}\n");
        let file = path.join("server.conf");
        fs::write(&file, settings.server_config() + &rest).unwrap();
        let mut child = Command::new("nats-server")
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(fs::File::create(path.join("log")).unwrap())
            .spawn()
            .expect("nats-server is not on the PATH; `cargo xtask test` installs it");
        let address = wait_for_port(path, &mut child).await;
        let running = Running::Nats {
            _process: Process(child),
            _folder: folder,
        };
        Self {
            name: "nats-server",
            address,
            running,
        }
    }

    /// Starts both, ours first.
    pub(crate) async fn both(settings: &Settings) -> [Self; 2] {
        [Self::ours(settings).await, Self::nats(settings).await]
    }

    /// Stops our broker, and waits until it has.
    pub(crate) async fn stop(self) {
        if let Running::Ours { stop, task } = self.running {
            drop(stop);
            task.await.unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already; either way there is nobody to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for the file in which the server writes where it listens.
async fn wait_for_port(folder: &Path, child: &mut Child) -> SocketAddr {
    let file = folder.join(format!("nats-server_{}.ports", child.id()));
    let begin = Instant::now();
    loop {
        let ports = fs::read(&file).unwrap_or_default();
        if let Ok(ports) = serde_json::from_slice::<serde_json::Value>(&ports)
            && let Some(url) = ports["nats"][0].as_str()
        {
            return url.trim_start_matches("nats://").parse().unwrap();
        }
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        let ended = child.try_wait().unwrap().is_some();
        assert!(!ended, "nats-server ended: {}", log());
        assert!(
            begin.elapsed() < START_MAX,
            "nats-server did not start: {}",
            log()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
