//! Calls of this host's components and providers to those on other hosts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinSet;
use trellis_capabilities::keyvalue::KeyValueBackend;
use trellis_core::{ComponentId, ErrorClass, LatticeName, LinkName};
use trellis_engine::{
    CallError, ChannelSource, FunctionRef, Inbound, Opened, Outbound, RemoteTarget,
};
use trellis_wrpc::{
    Call, CallOptions, Client, Headers, IndexPath, ParamStreams, Returns, SubjectError, Target,
};

use super::streams::{self, Arriving};
use super::twins::{LinkEnds, RemoteHttp, RemoteKeyValue};
use crate::blueprint::WiredLink;
use crate::imports::RemoteCalls;

/// The way from this host to all others of its lattice.
pub(super) struct LatticeCalls {
    client: Client,
    lattice: LatticeName,
    elsewhere: Arc<ArcSwap<BTreeSet<ComponentId>>>,
}

impl LatticeCalls {
    pub(super) fn new(client: Client, lattice: LatticeName) -> Self {
        Self {
            client,
            lattice,
            elsewhere: Arc::default(),
        }
    }

    /// Takes note of what other hosts run. Returns whether that is news.
    pub(super) fn set_elsewhere(&self, ids: BTreeSet<ComponentId>) -> bool {
        let is_news = **self.elsewhere.load() != ids;
        if is_news {
            self.elsewhere.store(Arc::new(ids));
        }
        is_news
    }

    /// Returns what answers the requests of an HTTP server along a link, elsewhere.
    ///
    /// # Errors
    /// A name that no subject can have.
    pub(super) fn http(
        &self,
        source: &ComponentId,
        name: &LinkName,
        target: &ComponentId,
        deadline: Duration,
    ) -> Result<RemoteHttp, SubjectError> {
        let ends = self.ends(source, name, target);
        RemoteHttp::new(self.client.clone(), ends, deadline)
    }

    fn ends(&self, source: &ComponentId, name: &LinkName, target: &ComponentId) -> LinkEnds {
        LinkEnds {
            lattice: self.lattice.clone(),
            source: source.clone(),
            name: name.clone(),
            target: target.clone(),
        }
    }
}

impl RemoteCalls for LatticeCalls {
    fn target(&self, source: &ComponentId, link: &WiredLink) -> Arc<dyn RemoteTarget> {
        let ends = self.ends(source, &link.name, &link.target);
        Arc::new(RemoteLink {
            client: self.client.clone(),
            headers: ends.headers(),
            lattice: ends.lattice,
            target: ends.target,
            functions: ArcSwap::default(),
        })
    }

    fn key_value(
        &self,
        source: &ComponentId,
        link: &WiredLink,
    ) -> Result<Arc<dyn KeyValueBackend>, String> {
        let ends = self.ends(source, &link.name, &link.target);
        let provider = RemoteKeyValue::new(self.client.clone(), ends);
        Ok(Arc::new(provider.map_err(|error| error.to_string())?))
    }

    fn runs_elsewhere(&self, id: &ComponentId) -> bool {
        self.elsewhere.load().contains(id)
    }
}

/// One link to a component of another host.
struct RemoteLink {
    client: Client,
    lattice: LatticeName,
    target: ComponentId,
    headers: Headers,
    /// The addresses of the functions that were called, few enough to look through.
    functions: ArcSwap<Vec<Addressed>>,
}

#[derive(Clone)]
struct Addressed {
    interface: Arc<str>,
    function: Arc<str>,
    target: Arc<Target>,
}

impl RemoteLink {
    fn options(&self, expires: Instant) -> CallOptions {
        CallOptions {
            headers: self.headers.clone(),
            ..CallOptions::new(expires.saturating_duration_since(Instant::now()))
        }
    }

    /// Returns the address of `function`: found by the identity of its names, made once.
    fn address(&self, function: &FunctionRef) -> Result<Arc<Target>, CallError> {
        let is_it = |it: &&Addressed| {
            Arc::ptr_eq(&it.interface, &function.interface)
                && Arc::ptr_eq(&it.function, &function.function)
        };
        if let Some(known) = self.functions.load().iter().find(is_it) {
            return Ok(known.target.clone());
        }
        let returns = if function.plan.results_wire_min() > 0 {
            Returns::Value
        } else {
            Returns::Unknown
        };
        let target = Target::new(
            self.lattice.as_str(),
            self.target.as_str(),
            &function.interface,
            &function.function,
        );
        let target = target.map_err(|error| {
            CallError::new(
                ErrorClass::Unavailable,
                format!("cannot be called: {error}"),
            )
        })?;
        let addressed = Addressed {
            interface: function.interface.clone(),
            function: function.function.clone(),
            target: Arc::new(target.returning(returns)),
        };
        self.functions.rcu(|known| {
            let mut known = Vec::clone(known);
            known.push(addressed.clone());
            known
        });
        Ok(addressed.target)
    }
}

#[async_trait]
impl RemoteTarget for RemoteLink {
    async fn call(
        &self,
        function: &FunctionRef,
        params: Bytes,
        expires: Instant,
    ) -> Result<Bytes, CallError> {
        let target = self.address(function)?;
        self.client
            .call(&target, params, self.options(expires))
            .await
            .map_err(|error| from_lattice(&self.target, &error))
    }

    async fn open(
        &self,
        function: &FunctionRef,
        params: Bytes,
        outbound: Vec<Outbound>,
        expires: Instant,
    ) -> Result<Opened, CallError> {
        let failed = |error| from_lattice(&self.target, &error);
        let target = self.address(function)?;
        let mut options = self.options(expires);
        if !outbound.is_empty() {
            options.params = ParamStreams::Follow;
        }
        let call = self.client.invoke(&target, params, options);
        let call = call.await.map_err(failed)?;
        let mut pumps = JoinSet::new();
        for outbound in outbound {
            let path = IndexPath::new(outbound.path());
            let writer = call.param_writer(path).map_err(failed)?;
            let target = self.target.clone();
            pumps.spawn(async move {
                streams::pump(outbound, writer, |error| from_lattice(&target, error)).await;
            });
        }
        let plan = function.plan.clone();
        let result = call
            .result_until(|bytes| streams::is_whole(&plan, plan.results, bytes))
            .await
            .map_err(failed)?;
        // What was handed over is brought to the other end even if its writer is done before. Each
        // ends with its stream, or with the call.
        pumps.detach_all();
        let inbound = Arc::new(ResultChannels {
            call,
            target: self.target.clone(),
        });
        Ok(Opened { result, inbound })
    }
}

/// The streams and futures of a result.
struct ResultChannels {
    call: Call,
    target: ComponentId,
}

impl Inbound for ResultChannels {
    fn open(&self, path: &[u32]) -> Box<dyn ChannelSource> {
        let reader = self.call.result_reader(IndexPath::new(path));
        let target = self.target.clone();
        Box::new(Arriving::new(reader, move |error| {
            from_lattice(&target, error).having_run()
        }))
    }
}

/// Says in the words of the engine how a call over the lattice failed.
fn from_lattice(target: &ComponentId, error: &trellis_wrpc::CallError) -> CallError {
    let text = format!("calling {target} over the lattice: {}", error.message());
    let failed = CallError::new(error.class(), text);
    if error.may_have_run() {
        failed.having_run()
    } else {
        failed
    }
}
