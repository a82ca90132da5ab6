//! Outcomes in whatever order: a test takes in what was built when it likes, where a host does as it comes.

#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use trellis_control::{
    HostId, Request, ScaleComponentCommand, Subjects, TextMap, UpdateComponentCommand,
};
use trellis_core::LatticeName;
use trellis_gateway::{
    DrainReport, GatewayLimits, ShutdownSignal, ShutdownTrigger, shutdown_channel,
};
use trellis_lattice::Settings;
use trellis_lattice::store::{EmbeddedStore, OpenOptions};
use trellis_node::{Identity, Incarnation, LeasePolicy, Options, StoreChange, Stored};
use trellis_tests::NatsServer;

use super::*;
use crate::host::{Host, HostConfig};
use crate::node::recollection::Recollection;
use crate::node::retry::RETRY_MAX;
use crate::node::{LogBook, NodeConfig};

/// The code of `web`, by version.
const VERSIONS: [&str; 2] = ["(component)", "(component (core module))"];

/// A host that has joined a lattice and does nothing by itself.
struct Lab {
    node: Node,
    web: ComponentId,
    folder: tempfile::TempDir,
    signal: ShutdownSignal,
    revision: u64,
    _trigger: ShutdownTrigger,
    _nats: NatsServer,
}

impl Lab {
    async fn start() -> Self {
        let nats = NatsServer::start();
        let folder = tempfile::tempdir().unwrap();
        for (version, code) in VERSIONS.iter().enumerate() {
            let path = folder.path().join(format!("{version}.wasm"));
            std::fs::write(path, wat::parse_str(code).unwrap()).unwrap();
        }
        let (trigger, signal) = shutdown_channel();
        let mut lab = Self {
            node: node(&nats, folder.path()).await,
            web: ComponentId::new("web").unwrap(),
            folder,
            signal,
            revision: 1,
            _trigger: trigger,
            _nats: nats,
        };
        let incarnation = || Incarnation {
            created: "once".to_owned(),
            revision: 1,
        };
        lab.node.input(Input::Connected);
        lab.node.input(Input::Specs(StoreChange::Reset {
            entries: Vec::new(),
            incarnation: incarnation(),
        }));
        lab.node.input(Input::Configs(StoreChange::Reset {
            entries: vec![flags(1)],
            incarnation: incarnation(),
        }));
        lab.carry_out().await;
        lab
    }

    fn image(&self, version: usize) -> String {
        let path = self.folder.path().join(format!("{version}.wasm"));
        path.to_str().unwrap().to_owned()
    }

    async fn carry_out(&mut self) {
        let mut report = DrainReport::default();
        self.node.carry_out_all(&mut report, &self.signal).await;
    }

    async fn ask(&mut self, request: Request) {
        let reply = None;
        self.node.input(Input::Request {
            request,
            reply,
            change: None,
        });
        self.carry_out().await;
    }

    async fn scale(&mut self, version: usize, count: u32) {
        let command = ScaleComponentCommand {
            component_id: "web".to_owned(),
            component_ref: self.image(version),
            count,
            config: vec!["flags".to_owned()],
            ..ScaleComponentCommand::default()
        };
        self.ask(Request::ComponentScale(command)).await;
    }

    async fn update(&mut self, version: usize) {
        let command = UpdateComponentCommand {
            component_id: "web".to_owned(),
            new_component_ref: self.image(version),
            ..UpdateComponentCommand::default()
        };
        self.ask(Request::ComponentUpdate(command)).await;
    }

    /// Changes the config of `web`, which begins to be built anew where that is possible now.
    async fn put_config(&mut self) {
        self.put_config_of(self.revision + 1).await;
    }

    /// Gives the config of `web` the value that it had in `revision`.
    async fn put_config_of(&mut self, revision: u64) {
        self.revision += 1;
        let change = StoreChange::Put(Stored {
            revision: self.revision,
            ..flags(revision)
        });
        self.node.input(Input::Configs(change));
        self.carry_out().await;
        self.converge_if_dirty().await;
    }

    async fn converge_if_dirty(&mut self) {
        if std::mem::take(&mut self.node.is_dirty) {
            self.node.converge(Instant::now()).await;
        }
    }

    /// Does what is due when the longest pause has passed. Returns whether there was anything.
    async fn pass_time(&mut self) -> bool {
        let later = Instant::now() + RETRY_MAX;
        self.node.look_again(later).await;
        let is_due = std::mem::take(&mut self.node.is_dirty);
        if is_due {
            self.node.converge(later).await;
        }
        is_due
    }

    /// Waits until a component was built, and returns what came of it instead of taking it in.
    async fn built(&mut self) -> ComponentDone {
        loop {
            let ended = self.node.work.join_next().await.unwrap().unwrap();
            match ended {
                Done::Component(done) => return *done,
                other => self.node.done(Ok(other)).await,
            }
            self.carry_out().await;
        }
    }

    async fn take(&mut self, done: ComponentDone) {
        self.node.component_done(done).await;
        self.carry_out().await;
    }

    /// Does everything there is to do.
    async fn finish(&mut self) {
        loop {
            self.converge_if_dirty().await;
            let Some(ended) = self.node.work.join_next().await else {
                return;
            };
            self.node.done(ended).await;
            self.carry_out().await;
        }
    }

    /// Returns which version runs, and which revision of its config it has.
    fn runs(&self) -> Option<(usize, u64)> {
        let running = self.node.host.catalog.get(&self.web)?;
        assert!(running.handle.generation().is_some(), "it takes calls");
        let version = (0..VERSIONS.len()).find(|it| self.image(*it) == running.image);
        let revision = running.blueprint.config.get("revision").unwrap();
        Some((version.unwrap(), revision.parse().unwrap()))
    }

    /// Returns what the machine says runs, which others hear.
    fn told(&self) -> Option<String> {
        let mut components = self.node.machine.components();
        components.next().map(|(_, it)| it.image.clone())
    }
}

async fn node(nats: &NatsServer, folder: &std::path::Path) -> Node {
    let config = HostConfig {
        data_folder: folder.to_owned(),
        cache_folder: None,
        default_http: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        gateway_limits: GatewayLimits::default(),
        trusted_peers: Vec::new(),
        guest_memory_bytes_max: None,
    };
    let host = Host::start(config, Vec::new(), &()).await.unwrap();
    let lattice = LatticeName::default();
    let host_id = HostId::new("NHOST").unwrap();
    let (log_book, followed) = LogBook::new(host_id.as_str());
    let settings = Settings::new(lattice.clone(), [nats.url()]);
    let store = OpenOptions::new(folder.join("state.redb"));
    let config = NodeConfig {
        identity: Identity {
            host_id,
            friendly_name: "host".to_owned(),
            labels: TextMap::new(),
            version: "0.0.0".to_owned(),
            lattice: lattice.clone(),
            ctl_host: None,
            rpc_host: None,
            js_domain: None,
        },
        options: Options {
            lease: LeasePolicy::NotUsed,
            ..Options::default()
        },
        lattice: trellis_lattice::connect(settings).await.unwrap(),
        recollection: None,
        metrics: None,
        store: Arc::new(EmbeddedStore::open(store).unwrap()),
        subjects: Subjects::new(&lattice),
        log_book,
        followed,
    };
    Node::join(host, config).await.unwrap()
}

fn flags(revision: u64) -> Stored {
    Stored {
        key: "flags".to_owned(),
        value: format!(r#"{{"revision":"{revision}"}}"#).into(),
        revision,
    }
}

fn failed(done: ComponentDone) -> ComponentDone {
    let result = Err("there is no room for an instance".to_owned());
    ComponentDone { result, ..done }
}

#[tokio::test]
async fn a_late_rebuild_does_not_undo_an_update() {
    let mut lab = Lab::start().await;
    lab.scale(0, 1).await;
    lab.finish().await;
    assert_eq!(lab.runs(), Some((0, 1)));
    lab.put_config().await;
    let late = lab.built().await;
    lab.update(1).await;
    lab.finish().await;
    assert_eq!(lab.runs(), Some((1, 2)));
    lab.take(late).await;
    assert_eq!(lab.runs(), Some((1, 2)));
    assert_eq!(lab.told(), Some(lab.image(1)));
}

#[tokio::test]
async fn a_late_rebuild_does_not_undo_a_stop_nor_the_start_after_it() {
    let mut lab = Lab::start().await;
    lab.scale(0, 1).await;
    lab.finish().await;
    lab.put_config().await;
    let late = lab.built().await;
    lab.scale(0, 0).await;
    lab.scale(1, 1).await;
    lab.finish().await;
    lab.take(late).await;
    assert_eq!(lab.runs(), Some((1, 2)));
    lab.put_config().await;
    let late = lab.built().await;
    lab.scale(0, 0).await;
    lab.take(late).await;
    assert_eq!(lab.runs(), None);
}

#[tokio::test]
async fn a_change_that_was_taken_back_takes_no_effect_late() {
    let mut lab = Lab::start().await;
    lab.scale(0, 1).await;
    lab.finish().await;
    lab.put_config().await;
    let late = lab.built().await;
    lab.put_config_of(1).await;
    lab.take(late).await;
    assert_eq!(lab.runs(), Some((0, 1)), "not even for a moment");
    lab.put_config().await;
    lab.finish().await;
    assert_eq!(lab.runs(), Some((0, 4)));
}

#[tokio::test]
async fn a_rebuild_that_failed_is_tried_again_after_a_pause() {
    let mut lab = Lab::start().await;
    lab.scale(0, 1).await;
    lab.finish().await;
    lab.put_config().await;
    for _ in 0..2 {
        let done = lab.built().await;
        lab.take(failed(done)).await;
        lab.converge_if_dirty().await;
        assert!(lab.node.work.is_empty(), "not at once");
        assert_eq!(lab.runs(), Some((0, 1)));
        assert!(lab.pass_time().await);
    }
    lab.finish().await;
    assert_eq!(lab.runs(), Some((0, 2)));
    assert!(!lab.pass_time().await, "there is nothing left to try");
}

#[tokio::test]
async fn what_changed_while_a_rebuild_failed_is_tried_at_once() {
    let mut lab = Lab::start().await;
    lab.scale(0, 1).await;
    lab.finish().await;
    lab.put_config().await;
    let done = lab.built().await;
    lab.put_config().await;
    lab.take(failed(done)).await;
    lab.finish().await;
    assert_eq!(lab.runs(), Some((0, 3)));
}

#[tokio::test]
async fn what_changed_while_an_update_failed_takes_effect() {
    let mut lab = Lab::start().await;
    lab.scale(0, 1).await;
    lab.finish().await;
    let missing = VERSIONS.len();
    lab.update(missing).await;
    let done = lab.built().await;
    lab.put_config().await;
    assert_eq!(lab.runs(), Some((0, 1)));
    lab.take(done).await;
    lab.finish().await;
    assert_eq!(lab.runs(), Some((0, 2)));
    assert_eq!(lab.told(), Some(lab.image(0)));
}

#[tokio::test]
async fn what_is_recalled_late_does_not_undo_a_command() {
    let mut lab = Lab::start().await;
    lab.scale(0, 1).await;
    lab.finish().await;
    let recollection = Recollection::of(&lab.node.machine, |_| true).unwrap();
    lab.scale(0, 0).await;
    lab.finish().await;
    assert_eq!(lab.runs(), None);

    // A stop of what the machine does not know yet.
    lab.node.recall(&recollection);
    let late = lab.built().await;
    lab.scale(0, 0).await;
    lab.take(late).await;
    assert_eq!((lab.runs(), lab.told()), (None, None));
    // A start of something else.
    lab.node.recall(&recollection);
    let late = lab.built().await;
    lab.scale(1, 1).await;
    lab.finish().await;
    lab.take(late).await;
    assert_eq!(lab.runs(), Some((1, 1)));
    assert_eq!(lab.told(), Some(lab.image(1)));
    // Nobody says otherwise.
    lab.scale(1, 0).await;
    lab.finish().await;
    lab.node.recall(&recollection);
    lab.finish().await;
    assert_eq!(lab.runs(), Some((0, 1)));
    assert_eq!(lab.told(), Some(lab.image(0)));
}
