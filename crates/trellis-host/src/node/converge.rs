//! Makes what runs on this host as the lattice says now. Level-triggered: looks at everything, changes
//! what differs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trellis_core::{ComponentId, with_causes};
use trellis_node::{Input, Outcome};
use trellis_wrpc::SubjectError;

use super::Node;
use super::blueprints::{self, WantedRoute};
use super::retry::{RETRY_FIRST, Retry};
use super::runners::Way;
use super::twins::REQUEST_DEADLINE;
use crate::built_in::BuiltIn;
use crate::http_route::{HttpEntrance, HttpOverflow, HttpRoute};
use crate::imports::RemoteCalls;
use crate::report::{LinkReport, Tier};
use crate::routing::PlannedRoute;

/// How long a change of links and routes may wait for others that are ready too.
const CONVERGE_WAIT_MAX: Duration = Duration::from_millis(50);

/// What is told of a built-in that cannot serve: how soon it is tried again.
const RETRY_FIRST_MS: u64 = RETRY_FIRST.as_millis() as u64;

impl Node {
    /// Takes in work that has come to its end, so that much of it makes one change; then brings what runs
    /// to where it should be.
    pub(super) async fn work_or_converge(&mut self, dirty_since: &mut Option<Instant>) {
        let since = *dirty_since.get_or_insert_with(Instant::now);
        if since.elapsed() < CONVERGE_WAIT_MAX
            && let Some(done) = self.work.try_join_next()
        {
            return self.done(done).await;
        }
        *dirty_since = None;
        self.is_dirty = false;
        self.converge(Instant::now()).await;
    }

    /// Brings links, instances and routes to where they should be.
    pub(super) async fn converge(&mut self, now: Instant) {
        self.converge_components(now);
        self.host.catalog.lead(Some(&*self.calls));
        self.converge_stores();
        self.converge_routes().await;
    }

    /// Does what is due because time passed: tries again what failed, and forgets hosts that fell silent.
    pub(super) async fn look_again(&mut self, now: Instant) {
        // Work under way ends in another look at what differs.
        let is_idle = |id: &ComponentId| !self.under_way.contains_key(id);
        self.is_dirty |= self.rebuilds.due(now).any(is_idle);
        if self.providers_retry.is_some_and(|retry| retry.is_due(now)) {
            self.converge_routes().await;
        }
        // Who cannot be heard is not silent.
        if self.lattice.is_connected() && self.elsewhere.forget_silent(now) {
            self.lead_elsewhere();
        }
    }

    /// Gives every component of the lattice the links and config that it has now.
    fn converge_components(&mut self, now: Instant) {
        let mut rebuild = Vec::new();
        for (id, settings) in &self.of_lattice {
            let wanted = self.lattice_blueprint(id, settings);
            let Some(running) = self.host.catalog.get_mut(id) else {
                continue;
            };
            let imports = running.imports();
            if !running.blueprint.needs_new_instances(&wanted, &imports) {
                running.blueprint.links = wanted.links;
                // What is being built for it is not wanted any more: a change was taken back.
                self.rebuilds.overtaken(id);
            } else if !self.under_way.contains_key(id)
                && self.rebuilds.may_begin(id, &wanted, &imports, now)
            {
                rebuild.push((id.clone(), wanted));
            }
        }
        for (id, wanted) in rebuild {
            self.rebuild(&id, wanted);
        }
    }

    /// Serves every route that the applications of this host and the links of its HTTP servers ask for.
    async fn converge_routes(&mut self) {
        let mut wanted: BTreeMap<SocketAddr, Vec<PlannedRoute>> = BTreeMap::new();
        for route in &self.host.routes {
            wanted.entry(route.address).or_default().push(route.clone());
        }
        let mut asked_by: BTreeMap<SocketAddr, Vec<ComponentId>> = BTreeMap::new();
        let mut failing: BTreeMap<ComponentId, String> = BTreeMap::new();
        let mut reports = Vec::new();
        for (id, provider) in &self.providers {
            if provider.built_in != BuiltIn::HttpServer {
                continue;
            }
            let own = self.machine.config_of_running(&provider.settings.config);
            for link in self.machine.links_of(id).outbound {
                let config = self.machine.config_of_running(&link.source_config);
                match blueprints::route(link, &own, &config, self.host.default_http) {
                    Ok(Some(route)) => {
                        let address = route.address;
                        asked_by.entry(address).or_default().push(id.clone());
                        match self.plan(id, route) {
                            Ok((planned, report)) => {
                                wanted.entry(address).or_default().push(planned);
                                reports.push(report);
                            }
                            Err(why) => {
                                failing.insert(id.clone(), why.to_string());
                            }
                        }
                    }
                    Ok(None) => {}
                    Err(why) => {
                        failing.insert(id.clone(), why);
                    }
                }
            }
        }
        for (address, error) in self.host.gateways.serve(wanted).await {
            let why = with_causes(&error);
            for id in asked_by.remove(&address).unwrap_or_default() {
                failing.insert(id, why.clone());
            }
        }
        self.provider_links = reports;
        self.tell_providers(&failing);
    }

    /// Leads a route to its component, wherever that runs now. One that runs nowhere is sought in the
    /// lattice, which says at once that nobody serves it.
    fn plan(
        &self,
        server: &ComponentId,
        route: WantedRoute,
    ) -> Result<(PlannedRoute, LinkReport), SubjectError> {
        let elsewhere = |way| {
            let deadline = route.deadline.unwrap_or(REQUEST_DEADLINE);
            let ends = self.calls.ends(server, &route.link, &route.component);
            self.calls.http(ends, deadline, way)
        };
        let here = self.host.catalog.get(&route.component);
        let here = here.map(|running| HttpRoute {
            component: running.handle.clone(),
        });
        let (entrance, tier): (Arc<dyn HttpEntrance>, Tier) = match here {
            Some(here) if self.calls.runs_elsewhere(&route.component) => {
                let elsewhere = Arc::new(elsewhere(Way::Others)?);
                (Arc::new(HttpOverflow { here, elsewhere }), Tier::Process)
            }
            Some(here) => (Arc::new(here), Tier::Process),
            None => (Arc::new(elsewhere(Way::Anybody)?), Tier::Remote),
        };
        let report = LinkReport {
            source: server.clone(),
            target: route.component,
            interface: "wasi:http/incoming-handler".to_owned(),
            name: route.link,
            tier,
        };
        let planned = PlannedRoute {
            address: route.address,
            host: route.host,
            path_prefix: route.path_prefix,
            entrance,
        };
        Ok((planned, report))
    }

    /// Tells the machine which providers began or ceased to serve.
    fn tell_providers(&mut self, failing: &BTreeMap<ComponentId, String>) {
        let mut outcomes = Vec::new();
        for (id, provider) in &mut self.providers {
            let now = failing.get(id).cloned();
            if provider.failing == now {
                continue;
            }
            provider.failing.clone_from(&now);
            let serial = provider.serial;
            outcomes.push(match now {
                Some(reason) => Outcome::ProviderExited {
                    serial,
                    reason,
                    restart_in_ms: Some(RETRY_FIRST_MS),
                },
                None => Outcome::ProviderRuns {
                    serial,
                    signed: None,
                },
            });
        }
        // What failed for long is tried seldom, but what has just begun to fail as soon as is told of it.
        let before = self.providers_retry.filter(|_| outcomes.is_empty());
        self.providers_retry = (!failing.is_empty()).then(|| Retry::after(before, Instant::now()));
        for outcome in outcomes {
            self.input(Input::Finished(outcome));
        }
    }
}
