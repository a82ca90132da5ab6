//! Calls of this host's components to components on other hosts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use trellis_core::{ComponentId, ErrorClass, LatticeName};
use trellis_engine::{CallError, FunctionRef, RemoteTarget};
use trellis_wrpc::{CallOptions, Client, Headers, Returns, Target};

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
}

impl RemoteCalls for LatticeCalls {
    fn target(&self, source: &ComponentId, link: &WiredLink) -> Arc<dyn RemoteTarget> {
        let mut headers = Headers::new();
        // Ids and link names are letters, digits, `-` and `_`: headers take them.
        for (name, value) in [
            ("source-id", source.as_str()),
            ("link-name", link.name.as_str()),
        ] {
            if let Err(error) = headers.insert(name, value) {
                tracing::error!(%error, name, "a header of a link cannot be set");
            }
        }
        Arc::new(RemoteLink {
            client: self.client.clone(),
            lattice: self.lattice.clone(),
            target: link.target.clone(),
            headers,
            functions: ArcSwap::default(),
        })
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
        let options = CallOptions {
            headers: self.headers.clone(),
            ..CallOptions::new(expires.saturating_duration_since(Instant::now()))
        };
        self.client
            .call(&target, params, options)
            .await
            .map_err(|error| from_lattice(&self.target, &error))
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
