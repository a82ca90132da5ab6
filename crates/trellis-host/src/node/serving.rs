//! Components of this host, served to callers on other hosts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::future::join_all;
use trellis_control::HostId;
use trellis_core::{ErrorClass, LatticeName, with_causes};
use trellis_engine::{
    ChannelSource, Compiled, ComponentHandle, ExportedFunction, Generation, Inbound,
};
use trellis_lattice::Lattice;
use trellis_wire::FunctionPlan;
use trellis_wrpc::{
    CallError, Export, Handler, IndexPath, Invocation, Reply, ServeError, Served, Server, Transport,
};

use super::remote::AT_ONCE_HEADER;
use super::streams::{self, Arriving, Places, Sending};
use super::twins::{HttpService, ServedHttp};

/// The functions of one component in service. Dropping it takes them out.
pub(crate) struct Service {
    functions: Vec<Served>,
    http: Option<HttpService>,
    /// All of them, for those who mean this host alone.
    here: Option<Served>,
}

/// Where a component is served.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    lattice: &'a LatticeName,
    host: &'a HostId,
}

impl<'a> Place<'a> {
    pub(super) fn new(lattice: &'a Lattice, host: &'a HostId) -> Self {
        Self {
            lattice: lattice.name(),
            host,
        }
    }
}

impl Service {
    /// Serves every function of `compiled` that passes what can cross a link, and HTTP where it answers
    /// that, by whatever `handle` runs when it is called: to all who share the calls of the component,
    /// and to those who mean this host.
    ///
    /// # Errors
    /// A connection that does not take the subscription.
    pub(super) async fn open(
        server: &Server,
        Place { lattice, host }: Place<'_>,
        handle: &Arc<ComponentHandle>,
        compiled: &Compiled,
    ) -> Result<Self, ServeError> {
        let mut functions = Vec::new();
        let mut here = ServedHere::default();
        for signature in compiled.functions() {
            if compiled
                .function(&signature.interface, &signature.function)
                .is_err()
            {
                continue; // passes resources, or what the wire has no form for
            }
            let export = Export::new(
                lattice.as_str(),
                handle.id().as_str(),
                &signature.interface,
                &signature.function,
            );
            let export = match export {
                Ok(export) => export,
                Err(error) => {
                    let component_id = handle.id().as_str();
                    tracing::warn!(component_id, %error, "a function is not served to other hosts");
                    continue;
                }
            };
            let served = ServedFunction(Arc::new(FunctionInService {
                handle: handle.clone(),
                interface: signature.interface,
                function: signature.function,
                resolved: ArcSwapOption::empty(),
            }));
            if let Ok(subject) = export.subject_at(host.as_str()) {
                here.functions.insert(subject, served.clone());
            }
            functions.push(server.serve(&export, served).await?);
        }
        let mut http = None;
        if answers_http(compiled) {
            http = HttpService::open(server, lattice, handle.id(), handle.clone()).await?;
            let subject = http.as_ref().and_then(|http| http.subject_at(host));
            here.http = subject.map(|subject| (subject, ServedHttp::new(handle.clone())));
        }
        let all = Export::all_at(lattice.as_str(), handle.id().as_str(), host.as_str());
        let here = match all {
            Ok(all) => Some(server.serve(&all, here).await?),
            Err(error) => {
                let component_id = handle.id().as_str();
                tracing::warn!(component_id, %error, "what other hosts have no room for does not come here");
                None
            }
        };
        Ok(Self {
            functions,
            http,
            here,
        })
    }

    /// Takes the functions out of service and waits until no more calls can come.
    pub(crate) async fn leave(self) {
        let leaving = self.functions.into_iter().map(Served::leave);
        let http = async {
            if let Some(http) = self.http {
                http.leave().await;
            }
        };
        let here = async {
            if let Some(here) = self.here {
                here.leave().await;
            }
        };
        tokio::join!(join_all(leaving), http, here);
    }
}

/// Tells whether a component exports `wasi:http/incoming-handler@0.2` or `wasi:http/handler@0.3`.
fn answers_http(compiled: &Compiled) -> bool {
    let is_http = |export: &String| {
        export.starts_with("wasi:http/incoming-handler@0.2")
            || export.starts_with("wasi:http/handler@0.3")
    };
    compiled.exports().iter().any(is_http)
}

/// Waits until calls can come to what was taken into service. Without a connection none can; the next
/// one begins with everything that is in service.
pub(super) async fn settle(transport: &Transport) {
    if let Err(error) = transport.settle().await {
        let error = with_causes(&error);
        tracing::warn!(error, "other hosts may not call yet what was started");
    }
}

/// Everything of one component, for those who mean this host. One subscription for all of it: these calls
/// are rare, and a component may export many functions.
#[derive(Default)]
struct ServedHere {
    /// By the subject of each.
    functions: BTreeMap<String, ServedFunction>,
    http: Option<(String, ServedHttp<Arc<ComponentHandle>>)>,
}

impl Handler for ServedHere {
    async fn handle(&self, invocation: Invocation) -> Result<Reply, CallError> {
        if let Some(function) = self.functions.get(invocation.subject()) {
            return function.handle(invocation).await;
        }
        match &self.http {
            Some((subject, http)) if subject == invocation.subject() => {
                http.handle(invocation).await
            }
            _ => Err(CallError::before_start(
                ErrorClass::Unavailable,
                "the component does not export this function",
            )),
        }
    }
}

/// One function in service.
#[derive(Clone)]
struct ServedFunction(Arc<FunctionInService>);

struct FunctionInService {
    handle: Arc<ComponentHandle>,
    interface: String,
    function: String,
    /// The function in the generation that was called last.
    resolved: ArcSwapOption<(u64, ExportedFunction)>,
}

impl FunctionInService {
    fn resolve(&self, generation: &Generation) -> Result<ExportedFunction, CallError> {
        if let Some(resolved) = &*self.resolved.load()
            && resolved.0 == generation.serial()
        {
            return Ok(resolved.1.clone());
        }
        let function = generation
            .function(&self.interface, &self.function)
            .map_err(|error| CallError::before_start(ErrorClass::Unavailable, error.to_string()))?;
        let resolved = (generation.serial(), function.clone());
        self.resolved.store(Some(Arc::new(resolved)));
        Ok(function)
    }
}

impl Handler for ServedFunction {
    async fn handle(&self, invocation: Invocation) -> Result<Reply, CallError> {
        let handle = &self.0.handle;
        let Some(generation) = handle.generation() else {
            let text = format!("component {} does not run here any more", handle.id());
            return Err(CallError::before_start(ErrorClass::Unavailable, text));
        };
        let function = self.0.resolve(&generation)?;
        let params = params(&invocation, &function).await?;
        if function.plan().has_async {
            return answer_streaming(&generation, &function, params, invocation).await;
        }
        let result = if invocation.headers().get(AT_ONCE_HEADER).is_some() {
            generation.call_wire_at_once(&function, params).await
        } else {
            generation.call_wire(&function, params).await
        };
        result.map(Reply::value).map_err(|error| to_lattice(&error))
    }
}

/// Answers a call that passes streams or futures. The instance goes on behind the answer until they have
/// ended; dropping the rest, as the server does when the caller goes away, ends it.
async fn answer_streaming(
    generation: &Arc<Generation>,
    function: &ExportedFunction,
    params: Bytes,
    invocation: Invocation,
) -> Result<Reply, CallError> {
    let invocation = Arc::new(invocation);
    let inbound = Arc::new(ParamChannels {
        invocation: invocation.clone(),
        plan: function.plan().clone(),
    });
    let called = generation.call_streaming(function, params, inbound).await;
    let called = called.map_err(|error| to_lattice(&error))?;
    let sending = Sending::new(invocation.result_writers(), from_caller);
    Ok(Reply::with_rest(called.result, async move {
        // Each to its own end: a stream tells its reader why it broke.
        let sent = sending.send_all(called.outbound);
        let (end, ()) = futures_util::future::join(called.rest, sent).await;
        end.map_err(|error| to_lattice(&error))
    }))
}

/// The streams and futures of a call's parameters.
struct ParamChannels {
    invocation: Arc<Invocation>,
    plan: Arc<FunctionPlan>,
}

impl Inbound for ParamChannels {
    fn open(&self, path: &[u32]) -> Box<dyn ChannelSource> {
        let reader = self.invocation.param_reader(IndexPath::new(path));
        let places = Places {
            all: &self.plan.param_paths,
            outermost: &self.plan.param_channels,
        };
        places.claim_inside(&reader, path);
        Box::new(Arriving::new(reader, from_caller))
    }
}

/// Says in the words of the engine how a stream from or to the caller broke.
fn from_caller(error: &CallError) -> trellis_engine::CallError {
    let text = format!("a stream of the caller: {}", error.message());
    trellis_engine::CallError::new(error.class(), text).having_run()
}

/// Reads parameters as far as they go: callers of 1.x tell their end only a round trip later.
async fn params(invocation: &Invocation, function: &ExportedFunction) -> Result<Bytes, CallError> {
    let plan = function.plan().clone();
    invocation
        .params_until(|bytes| streams::is_whole(&plan, plan.params, bytes))
        .await
}

/// Says in the words of the lattice how a call here failed.
pub(super) fn to_lattice(error: &trellis_engine::CallError) -> CallError {
    let text = error.message().to_owned();
    if error.did_not_run() {
        CallError::before_start(error.class, text)
    } else {
        CallError::new(error.class, text)
    }
}
