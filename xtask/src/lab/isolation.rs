//! What one host does to its neighbours' requests while somebody misuses it: components that never end, clients that
//! are slow on purpose, floods, and more load than there is room for.

mod endless_loops;
mod http2_floods;
mod http2_frames;
mod never_ending_calls;
mod overload;
mod slow_clients;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use super::cluster::START_LIMIT;
use super::load::{Ask, CLIENTS, Ledger, Load, Plan};
use super::namespaces::Place;
use super::process::Process;
use super::{Lab, Report, Scenario, command_line, fresh_folder, waiting};

/// All of them, those first that need the least to work.
pub(super) const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "endless_loops",
        run: endless_loops::run,
    },
    Scenario {
        name: "never_ending_calls",
        run: never_ending_calls::run,
    },
    Scenario {
        name: "slow_clients",
        run: slow_clients::run,
    },
    Scenario {
        name: "http2_floods",
        run: http2_floods::run,
    },
    Scenario {
        name: "overload",
        run: overload::run,
    },
];

/// Where the neighbour answers; everything else is the component that does wrong.
const NEIGHBOUR: &str = "/good";

/// Requests each second to the neighbour.
const RATE: u32 = 200;

/// Time for connections and instances to be there before anything is compared.
const WARM_UP: Duration = Duration::from_secs(3);

/// How long the neighbour is watched before the harm is done.
const BASELINE: Duration = Duration::from_secs(20);

/// One host with two applications behind one gateway: the one that does wrong, and its neighbour.
struct Pair {
    address: SocketAddr,
    folder: PathBuf,
    process: Process,
}

impl Pair {
    /// Starts both; `limits` are those of the component that does wrong.
    fn start(lab: &Lab, scenario: &str, component: &str, limits: Value) -> Result<Self> {
        raise_descriptors()?;
        let folder = fresh_folder(lab, scenario)?;
        let bad = manifest(lab, "bad", component, limits, "/");
        let good = manifest(lab, "good", "http_hello", json!({}), NEIGHBOUR);
        let mut command = command_line::trellis(&Place::loopback(), &lab.trellis, &folder, "");
        command
            .env_remove("NATS_URL")
            .args(["up", "--http", "127.0.0.1:0", "--output", "json"]);
        for (name, manifest) in [("bad.json", bad), ("good.json", good)] {
            let file = folder.join(name);
            fs::write(&file, manifest.to_string())
                .with_context(|| format!("cannot write {}", file.display()))?;
            command.arg(file);
        }
        let mut process = Process::start(command, "host", &folder)?;
        let output = folder.join("host.out");
        let (address, _) = waiting::until("the host has started", START_LIMIT, || {
            if let Some(status) = process.ended()? {
                bail!("the host ended: {status}; see host.log");
            }
            let text = fs::read_to_string(&output).unwrap_or_default();
            let line: Option<Value> = serde_json::from_str(text.trim()).ok();
            Ok(line.and_then(|it| it["listening"][0].as_str()?.parse().ok()))
        })?;
        Ok(Self {
            address,
            folder,
            process,
        })
    }

    /// Returns a plan of requests to `path`.
    fn plan(&self, lab: &Lab, path: &str, rate: u32, clients: usize) -> Plan {
        Plan {
            place: Place::loopback(),
            address: self.address,
            ask: Ask::Path(path.to_owned()),
            rate,
            clients,
            seed: lab.seed,
        }
    }

    /// Watches the neighbour until it has been compared with itself.
    fn watch(&self, lab: &Lab) -> Result<Watched> {
        let load = Load::start(self.plan(lab, NEIGHBOUR, RATE, CLIENTS));
        waiting::pause(WARM_UP)?;
        let start = Instant::now();
        waiting::pause(BASELINE)?;
        Ok(Watched {
            load,
            before: (start, Instant::now()),
        })
    }

    /// Returns how many descriptors the host has open: what it still holds for anybody.
    fn descriptors(&self) -> Result<usize> {
        let folder = format!("/proc/{}/fd", self.process.id());
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))?;
        Ok(entries.count())
    }

    /// Waits until the host holds no more descriptors than `before`. Returns how long that took.
    fn let_go(&self, before: usize, limit: Duration) -> Result<Option<Duration>> {
        let seen = waiting::within(limit, || Ok((self.descriptors()? <= before).then_some(())))?;
        Ok(seen.map(|(_, time)| time))
    }

    /// Returns what `field` of its status says, in bytes: `VmRSS` now, `VmHWM` at most since the last reset.
    fn memory(&self, field: &str) -> Result<u64> {
        let file = format!("/proc/{}/status", self.process.id());
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let value = lines.find(|(name, _)| *name == field);
        let kib = value.and_then(|(_, value)| value.trim().strip_suffix(" kB")?.parse().ok());
        let kib: u64 = kib.with_context(|| format!("{file} has no {field}"))?;
        Ok(kib << 10)
    }

    /// Lets the highest memory be counted from now on, and returns the present.
    fn begin_memory(&self) -> Result<u64> {
        let file = format!("/proc/{}/clear_refs", self.process.id());
        // 5: forget the highest.
        fs::write(&file, "5").with_context(|| format!("cannot write {file}"))?;
        self.memory("VmRSS")
    }

    /// Counts the lines of its log that contain `text`.
    fn log_lines(&self, text: &str) -> usize {
        let log = fs::read_to_string(self.folder.join("host.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(text)).count()
    }
}

/// The neighbour under load, and when nothing was wrong yet.
struct Watched {
    load: Load,
    before: (Instant, Instant),
}

impl Watched {
    /// Notes whether the neighbour failed, and what became of its p99 from `start` on. Returns the p99 of before and
    /// after.
    fn tell(self, report: &mut Report, id: &str, start: Instant) -> Result<(Duration, Duration)> {
        let end = Instant::now();
        let ledger: Ledger = self.load.stop()?;
        let (before, after) = (
            ledger.between(self.before.0, self.before.1),
            ledger.between(start, end),
        );
        report.failures(id, "requests to the neighbour that failed", &ledger);
        Ok((before.p99(), after.p99()))
    }
}

fn manifest(lab: &Lab, name: &str, component: &str, limits: Value, path: &str) -> Value {
    let image = lab.guests.join(format!("{component}.wasm"));
    let entrance = json!([{ "name": "entrance", "properties": { "path": path } }]);
    json!({
        "apiVersion": "core.oam.dev/v1beta1",
        "kind": "Application",
        "metadata": { "name": name },
        "spec": { "components": [
            {
                "name": "guest",
                "type": "component",
                "properties": { "image": image.display().to_string() },
                "traits": [{ "type": "limits", "properties": limits }],
            },
            {
                "name": "http",
                "type": "capability",
                "properties": { "image": "builtin:http-server" },
                "traits": [{ "type": "link", "properties": {
                    "target": { "name": "guest" },
                    "namespace": "wasi",
                    "package": "http",
                    "interfaces": ["incoming-handler"],
                    "source": { "config": entrance },
                } }],
            },
        ] },
    })
}

/// Lets this process and the host that it starts have as many descriptors as the system permits.
fn raise_descriptors() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("cannot have more descriptors")
}
