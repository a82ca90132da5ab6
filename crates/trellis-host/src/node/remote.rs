//! Calls of this host's components and providers to those on other hosts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use trellis_capabilities::keyvalue::KeyValueBackend;
use trellis_core::{ComponentId, ErrorClass, LatticeName, LinkName};
use trellis_engine::{
    CallError, ChannelSource, FunctionRef, Inbound, Opened, Outbound, RemoteTarget,
};
use trellis_wire::FunctionPlan;
use trellis_wrpc::{
    Call, CallOptions, Client, Headers, IndexPath, ParamStreams, Returns, SubjectError, Target,
};

use super::runners::{Addresses, Directory, Failed, OtherHost, Runners, Way};
use super::streams::{self, Arriving, Places, Sending};
use super::twins::{LinkEnds, RemoteHttp, RemoteKeyValue};
use crate::blueprint::{Retry, WiredLink};
use crate::imports::RemoteCalls;

/// The header of a call that is not to wait for its turn where it arrives: it can wait where it comes from.
pub(super) const AT_ONCE_HEADER: &str = "trellis-at-once";

/// The way from this host to all others of its lattice.
pub(super) struct LatticeCalls {
    client: Client,
    lattice: LatticeName,
    elsewhere: Directory,
}

impl LatticeCalls {
    pub(super) fn new(client: Client, lattice: LatticeName) -> Self {
        Self {
            client,
            lattice,
            elsewhere: Directory::default(),
        }
    }

    /// Takes note of what other hosts run. Returns whether a component appeared elsewhere or went.
    pub(super) fn set_runners(&self, now: BTreeMap<ComponentId, Vec<Arc<OtherHost>>>) -> bool {
        self.elsewhere.set(now)
    }

    /// Returns what answers the requests of an HTTP server along a link, elsewhere.
    ///
    /// # Errors
    /// A name that no subject can have.
    pub(super) fn http(
        &self,
        ends: LinkEnds,
        deadline: Duration,
        way: Way,
    ) -> Result<RemoteHttp, SubjectError> {
        let runners = self.elsewhere.runners(&ends.target);
        RemoteHttp::among(self.client.clone(), ends, deadline, (runners, way))
    }

    fn link(&self, source: &ComponentId, link: &WiredLink, way: Way) -> Arc<dyn RemoteTarget> {
        let ends = self.ends(source, &link.name, &link.target);
        let headers = ends.headers();
        let mut at_once = headers.clone();
        if let Err(error) = at_once.insert(AT_ONCE_HEADER, "1") {
            tracing::error!(%error, "a header of a link cannot be set");
        }
        Arc::new(RemoteLink {
            client: self.client.clone(),
            headers: [headers, at_once],
            runners: self.elsewhere.runners(&ends.target),
            lattice: ends.lattice,
            target: ends.target,
            way,
            retry: link.retry,
            functions: ArcSwap::default(),
        })
    }

    /// Returns the ends of a link in this lattice.
    pub(super) fn ends(
        &self,
        source: &ComponentId,
        name: &LinkName,
        target: &ComponentId,
    ) -> LinkEnds {
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
        self.link(source, link, Way::Anybody)
    }

    fn overflow(&self, source: &ComponentId, link: &WiredLink) -> Arc<dyn RemoteTarget> {
        self.link(source, link, Way::Others)
    }

    fn key_value(
        &self,
        source: &ComponentId,
        link: &WiredLink,
    ) -> Result<Arc<dyn KeyValueBackend>, String> {
        let ends = self.ends(source, &link.name, &link.target);
        let provider = RemoteKeyValue::repeating(self.client.clone(), ends, link.retry);
        Ok(Arc::new(provider.map_err(|error| error.to_string())?))
    }

    fn runs_elsewhere(&self, id: &ComponentId) -> bool {
        self.elsewhere.knows(id)
    }
}

/// One link to a component of other hosts.
struct RemoteLink {
    client: Client,
    lattice: LatticeName,
    target: ComponentId,
    /// Those of a call that may wait where it arrives, and of one that may not.
    headers: [Headers; 2],
    runners: Arc<Runners>,
    way: Way,
    retry: Retry,
    /// The addresses of the functions that were called, few enough to look through.
    functions: ArcSwap<Vec<Addressed>>,
}

#[derive(Clone)]
struct Addressed {
    interface: Arc<str>,
    function: Arc<str>,
    addresses: Arc<Addresses>,
}

/// Where a call may wait for its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    There,
    /// Not there.
    Here,
}

/// One call with everything that another attempt needs.
struct Attempt {
    addresses: Arc<Addresses>,
    params: Bytes,
    wait: Wait,
    expires: Instant,
}

type Answer<T> = Result<T, trellis_wrpc::CallError>;

impl RemoteLink {
    /// Returns how a call is made. Who is addressed alone is one of ours whatever is said of the others.
    fn options(&self, wait: Wait, expires: Instant) -> CallOptions {
        let [may_wait, at_once] = &self.headers;
        let headers = match wait {
            Wait::There => may_wait,
            Wait::Here => at_once,
        };
        CallOptions {
            headers: headers.clone(),
            takers: self.runners.takers(),
            ..CallOptions::new(expires.saturating_duration_since(Instant::now()))
        }
    }

    /// Returns the addresses of `function`: found by the identity of its names, made once.
    fn addresses(&self, function: &FunctionRef) -> Result<Arc<Addresses>, CallError> {
        let is_it = |it: &&Addressed| {
            Arc::ptr_eq(&it.interface, &function.interface)
                && Arc::ptr_eq(&it.function, &function.function)
        };
        if let Some(known) = self.functions.load().iter().find(is_it) {
            return Ok(known.addresses.clone());
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
            addresses: Arc::new(Addresses::new(target.returning(returns))),
        };
        self.functions.rcu(|known| {
            let mut known = Vec::clone(known);
            known.push(addressed.clone());
            known
        });
        Ok(addressed.addresses)
    }

    async fn make(
        &self,
        function: &FunctionRef,
        params: Bytes,
        wait: Wait,
        expires: Instant,
    ) -> Result<Bytes, CallError> {
        let attempt = Attempt {
            addresses: self.addresses(function)?,
            params,
            wait,
            expires,
        };
        match self.way {
            Way::Anybody => self.ask_anybody(&attempt).await,
            Way::Others => self.ask_others(&attempt).await,
        }
    }

    /// Calls whoever NATS chooses; where that one is full or lost, the others that are known.
    async fn ask_anybody(&self, attempt: &Attempt) -> Result<Bytes, CallError> {
        let anybody = attempt.addresses.anybody();
        let error = match self.send(anybody, attempt).await {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        let send = |host: Option<Arc<OtherHost>>| -> BoxFuture<'_, Answer<Bytes>> {
            Box::pin(async move {
                match host {
                    Some(host) => self.send_to(&host, attempt).await,
                    None => self.send(anybody, attempt).await,
                }
            })
        };
        let answer = self.runners.again(error, self.retry, send, || true).await;
        answer.map_err(|error| self.error(&error))
    }

    /// Calls the other hosts that run the component, one after the other, until one has room.
    async fn ask_others(&self, attempt: &Attempt) -> Result<Bytes, CallError> {
        for host in self.runners.in_turn(None) {
            match self.send_to(&host, attempt).await {
                Ok(result) => return Ok(result),
                Err(error) => match Failed::of(&error, self.retry) {
                    Failed::Refused => {}
                    // Made again on this host, which runs the component too.
                    Failed::Lost => return Err(self.error_before_start(&error)),
                    Failed::ForGood => return Err(self.error(&error)),
                },
            }
        }
        // Hosts of 1.x have no subject of their own. NATS may choose this host again.
        if self.runners.has_unaddressed() {
            let answer = self.send(attempt.addresses.anybody(), attempt).await;
            return answer.map_err(|error| self.error(&error));
        }
        Err(self.no_room())
    }

    fn no_room(&self) -> CallError {
        CallError::new(
            ErrorClass::Overloaded,
            format!("no other host has room for a call of {}", self.target),
        )
    }

    async fn send(&self, target: &Target, attempt: &Attempt) -> Answer<Bytes> {
        let options = self.options(attempt.wait, attempt.expires);
        let params = attempt.params.clone();
        self.client.call(target, params, options).await
    }

    async fn send_to(&self, host: &Arc<OtherHost>, attempt: &Attempt) -> Answer<Bytes> {
        let target = attempt.addresses.at(host)?;
        let answer = self.send(&target, attempt).await;
        answer.inspect_err(|error| host.failed(error, &self.client))
    }

    /// Says in the words of the engine how a call failed.
    fn error(&self, error: &trellis_wrpc::CallError) -> CallError {
        from_lattice(&self.target, error)
    }

    /// Says so of one that may be made again although it may have run.
    fn error_before_start(&self, error: &trellis_wrpc::CallError) -> CallError {
        let text = failure_text(&self.target, error);
        CallError::new(error.class(), text)
    }

    /// Calls a function that passes streams or futures.
    async fn open_at(
        &self,
        target: &Target,
        function: &FunctionRef,
        outbound: Vec<Outbound>,
        attempt: &Attempt,
    ) -> Answer<Opened> {
        let mut options = self.options(attempt.wait, attempt.expires);
        if !outbound.is_empty() {
            options.params = ParamStreams::Follow;
        }
        let params = attempt.params.clone();
        let call = self.client.invoke(target, params, options).await?;
        let to = self.target.clone();
        let explain = move |error: &_| from_lattice(&to, error);
        let sending = Sending::new(call.param_writers(), explain);
        let mut pumps = JoinSet::new();
        for outbound in outbound {
            pumps.spawn(sending.clone().send(outbound));
        }
        let plan = function.plan.clone();
        let result = call
            .result_until(|bytes| streams::is_whole(&plan, plan.results, bytes))
            .await?;
        // What was handed over is brought to the other end even if its writer is done before. Each
        // ends with its stream, or with the call.
        pumps.detach_all();
        let inbound = Arc::new(ResultChannels {
            call,
            target: self.target.clone(),
            plan,
        });
        Ok(Opened { result, inbound })
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
        self.make(function, params, Wait::There, expires).await
    }

    async fn call_at_once(
        &self,
        function: &FunctionRef,
        params: Bytes,
        expires: Instant,
    ) -> Result<Bytes, CallError> {
        self.make(function, params, Wait::Here, expires).await
    }

    async fn open(
        &self,
        function: &FunctionRef,
        params: Bytes,
        mut outbound: Vec<Outbound>,
        expires: Instant,
    ) -> Result<Opened, CallError> {
        let attempt = Attempt {
            addresses: self.addresses(function)?,
            params,
            wait: Wait::There,
            expires,
        };
        let gives_streams = !outbound.is_empty();
        if self.way == Way::Others {
            let hosts = self.runners.in_turn(None);
            let only_these = !hosts.is_empty() && !self.runners.has_unaddressed();
            for host in hosts {
                let target = attempt.addresses.at(&host);
                let target = target.map_err(|error| self.error(&error))?;
                let given = std::mem::take(&mut outbound);
                let opened = self.open_at(&target, function, given, &attempt).await;
                let error = match opened {
                    Ok(opened) => return Ok(opened),
                    Err(error) => error,
                };
                host.failed(&error, &self.client);
                // Streams are given away once.
                if gives_streams || Failed::of(&error, Retry::Never) != Failed::Refused {
                    return Err(self.error(&error));
                }
            }
            if only_these {
                return Err(self.no_room());
            }
        }
        let anybody = attempt.addresses.anybody();
        let opened = self.open_at(anybody, function, outbound, &attempt).await;
        opened.map_err(|error| self.error(&error))
    }
}

/// The streams and futures of a result.
struct ResultChannels {
    call: Call,
    target: ComponentId,
    plan: Arc<FunctionPlan>,
}

impl Inbound for ResultChannels {
    fn open(&self, path: &[u32]) -> Box<dyn ChannelSource> {
        let reader = self.call.result_reader(IndexPath::new(path));
        let places = Places {
            all: &self.plan.result_paths,
            outermost: &self.plan.result_channels,
        };
        places.claim_inside(&reader, path);
        let target = self.target.clone();
        Box::new(Arriving::new(reader, move |error| {
            from_lattice(&target, error).having_run()
        }))
    }
}

/// Says in the words of the engine how a call over the lattice failed.
fn from_lattice(target: &ComponentId, error: &trellis_wrpc::CallError) -> CallError {
    let failed = CallError::new(error.class(), failure_text(target, error));
    if error.may_have_run() {
        failed.having_run()
    } else {
        failed
    }
}

fn failure_text(target: &ComponentId, error: &trellis_wrpc::CallError) -> String {
    format!("calling {target} over the lattice: {}", error.message())
}
