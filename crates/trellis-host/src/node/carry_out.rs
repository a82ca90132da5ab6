//! Carries out what the machine decides.

use std::time::Duration;

use bytes::Bytes;
use trellis_control::{CloudEvent, Event, HostMode, Link, LogLine, LogSource, ResolvedLink};
use trellis_core::{ComponentId, with_causes};
use trellis_gateway::{DrainReport, ShutdownSignal};
use trellis_lattice::Headers;
use trellis_node::{Adopted, ComponentSettings, Effect, Input, LinkAnnouncement, Note};

use super::serving::{self, Place, Service};
use super::{Done, JoinError, Node, elsewhere, store_work};

impl Node {
    /// Announces what the host was started with, and serves it to other hosts.
    pub(super) async fn adopt(&mut self) -> Result<(), JoinError> {
        let mut adopted = Vec::new();
        for (id, running) in self.host.catalog.iter() {
            if self.was_reached {
                let compiled = &running.code.compiled;
                let place = Place::new(&self.lattice, &self.host_id);
                let service = Service::open(&self.server, place, &running.handle, compiled);
                self.services.insert(id.clone(), service.await?);
            }
            let settings = ComponentSettings {
                image: running.image.clone(),
                instances_max: running.blueprint.limits.instances_max,
                ..ComponentSettings::default()
            };
            let component = Adopted::Component {
                settings,
                digest: running.code.digest.clone(),
                signed: None,
            };
            adopted.push((id.clone(), component));
        }
        if self.was_reached {
            serving::settle(&self.transport).await;
        }
        let now = self.now();
        for (id, component) in adopted {
            self.machine.adopt(now, id, component, &mut self.effects)?;
        }
        Ok(())
    }

    /// Carries out every effect there is, in order, and those that come of it.
    pub(super) async fn carry_out_all(
        &mut self,
        report: &mut DrainReport,
        shutdown: &ShutdownSignal,
    ) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                if let Effect::Shutdown { timeout } = effect {
                    self.begin_end(timeout, report, shutdown.clone()).await;
                } else {
                    self.carry_out(effect).await;
                }
            }
        }
    }

    async fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Reply { to, payload } => self.send(&to.0, payload).await,
            Effect::Publish(event) => self.publish(event).await,
            Effect::Component(work) => self.component_work(work).await,
            Effect::Provider(work) => self.provider_work(work),
            Effect::Store(work) => {
                let buckets = self.state.as_ref().map(|state| state.buckets.clone());
                self.work.spawn(async move {
                    let outcome = match buckets {
                        Some(buckets) => buckets.work(work).await,
                        None => store_work::not_open(&work),
                    };
                    Done::Input(Box::new(Input::Finished(outcome)))
                });
            }
            Effect::Rewire { .. } => self.is_dirty = true,
            Effect::AnnounceLink(announcement) => self.announce(announcement).await,
            // Images come from files so far; credentials are kept when there is a use for them.
            Effect::Registries(registries) => {
                tracing::info!(
                    registries = registries.len(),
                    "registry credentials were told"
                );
            }
            Effect::Delegate { request, reply } => self.delegate(request, reply).await,
            Effect::Lease(work) => {
                let lease = self.lease.clone();
                self.work.spawn(async move {
                    match lease.work(work).await {
                        Some(input) => Done::Input(Box::new(input)),
                        None => Done::Nothing,
                    }
                });
            }
            Effect::ModeChanged { from, to, why } => {
                self.memory.touch();
                self.tell_mode(from, to, &why);
            }
            Effect::Shutdown { .. } => {} // carried out by the caller
            Effect::Note(note) => log_note(&note),
        }
    }

    /// Logs a change of the mode. Until the host has joined for the first time there is nothing to warn of,
    /// nor is there when somebody told it to take no more work.
    fn tell_mode(&mut self, from: HostMode, to: HostMode, why: &str) {
        let (from, to_name) = (from.name(), to.name());
        match to {
            HostMode::Joined => {
                self.has_joined = true;
                tracing::info!(from, to = to_name, why, "the host's mode changed");
            }
            HostMode::Draining => {
                tracing::info!(from, to = to_name, why, "the host's mode changed");
            }
            _ if self.has_joined => {
                tracing::warn!(from, to = to_name, why, "the host's mode changed");
            }
            _ => tracing::debug!(from, to = to_name, why, "the host's mode changed"),
        }
    }

    pub(super) async fn send(&self, subject: &str, payload: Bytes) {
        self.send_with(subject, None, payload).await;
    }

    async fn send_with(&self, subject: &str, headers: Option<Headers>, payload: Bytes) {
        if let Err(error) = self.lattice.publish(subject, headers, payload).await {
            tracing::warn!(
                subject,
                error = with_causes(&error),
                "a message was not sent"
            );
        }
    }

    async fn publish(&mut self, event: Event) {
        let Some(kind) = event.kind() else { return };
        let subject = self.subjects.event(kind);
        let event = CloudEvent::now(&self.host_id, event);
        let headers = Some(elsewhere::headers_of_ours());
        self.send_with(&subject, headers, event.encode()).await;
    }

    /// Sends a line to those who follow the log. Nothing is said when that fails: it would be a line of the
    /// log itself, to be sent and to fail again. Followers count what they miss.
    pub(super) async fn publish_line(&self, line: LogLine) {
        let source = match &line.component_id {
            Some(id) => match ComponentId::new(id) {
                Ok(id) => LogSource::Component(id),
                Err(_) => return,
            },
            None => LogSource::Host,
        };
        let subject = self.subjects.log_lines(&self.host_id, &source);
        let line = trellis_control::encode(&line);
        let _ = self.lattice.publish(&subject, None, line).await;
    }

    /// Tells providers on hosts of 1.x about a link: they learn of it in no other way.
    async fn announce(&self, announcement: LinkAnnouncement) {
        let lattice = self.lattice.name();
        let (verb, link, resolved) = match &announcement {
            LinkAnnouncement::Put(link) => ("put", link, self.resolve(link, true)),
            LinkAnnouncement::Deleted(link) => ("del", link, self.resolve(link, false)),
        };
        let payload = trellis_control::encode(&resolved);
        for end in [&link.source_id, &link.target] {
            let subject = format!("wasmbus.rpc.{lattice}.{end}.linkdefs.{verb}");
            self.send(&subject, payload.clone()).await;
        }
    }

    /// Returns a link as providers of 1.x read it, with the values of its config or without.
    fn resolve(&self, link: &Link, with_config: bool) -> ResolvedLink {
        let config = |names: &[String]| {
            let names = if with_config { names } else { &[] };
            self.machine.config_of_running(names)
        };
        ResolvedLink {
            source_id: link.source_id.clone(),
            target: link.target.clone(),
            name: link.name.clone(),
            wit_namespace: link.wit_namespace.clone(),
            wit_package: link.wit_package.clone(),
            interfaces: link.interfaces.clone(),
            source_config: config(&link.source_config),
            target_config: config(&link.target_config),
            source_secrets: None,
            target_secrets: None,
        }
    }

    /// Lets everything in flight finish, takes everything out of service, and says so.
    async fn begin_end(
        &mut self,
        timeout: Option<Duration>,
        report: &mut DrainReport,
        shutdown: ShutdownSignal,
    ) {
        let grace = timeout.unwrap_or(self.host.drain_deadline);
        let server = self.server.clone();
        let (drained, left) = tokio::join!(self.host.end(shutdown), server.stop(grace));
        report.drained += drained.drained;
        report.aborted += drained.aborted + left as u64;
        self.services.clear();
        self.input(Input::Stopped);
        // Where nobody hears the goodbye, it is over without.
        self.is_over = true;
    }
}

fn log_note(note: &Note) {
    tracing::warn!(
        note = with_causes(note),
        "the lattice's state is not as it should be"
    );
}
