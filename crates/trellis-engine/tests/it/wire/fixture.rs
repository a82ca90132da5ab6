//! Deploys the component that passes on, and answers its calls.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;
use trellis_core::Limits;
use trellis_engine::{
    CallError, Capability, Compiled, ComponentSpec, Engine, FunctionRef, Generation, Import, Link,
    LinkSlot, LinkTarget, RemoteTarget,
};
use trellis_wire::plan::FunctionPlan;
use trellis_wire::{Dialect, Field, FunctionType, Type, Value};

use super::echo::INTERFACE;
use crate::support::{digest, spec};

type Answer = Box<dyn Fn() -> Result<Bytes, CallError> + Send>;

/// Somebody elsewhere who answers with what it was given, and keeps it.
pub(crate) struct Mirror {
    pub(crate) seen: Mutex<Vec<Bytes>>,
    /// What it answers instead.
    pub(crate) instead: Mutex<Option<Answer>>,
    /// As many calls as it has permits are answered.
    pub(crate) gate: Semaphore,
    /// Answers at once, unlike a network.
    pub(crate) at_once: bool,
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            instead: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            at_once: false,
        }
    }
}

impl Mirror {
    /// Returns the parameters of the last call.
    pub(crate) fn last(&self) -> Bytes {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    /// Returns how many calls have come.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Waits until `count` calls have come.
    pub(crate) async fn wait_for(&self, count: usize) {
        while self.count() < count {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn answer_with(
        &self,
        answer: impl Fn() -> Result<Bytes, CallError> + Send + 'static,
    ) {
        *self.instead.lock().unwrap() = Some(Box::new(answer));
    }
}

#[async_trait]
impl RemoteTarget for Mirror {
    async fn call(
        &self,
        function: &FunctionRef,
        params: Bytes,
        expires: Instant,
    ) -> Result<Bytes, CallError> {
        assert_eq!(
            (&*function.interface, &*function.function),
            (INTERFACE, "echo")
        );
        assert!(expires > Instant::now());
        self.seen.lock().unwrap().push(params.clone());
        if !self.at_once {
            tokio::task::yield_now().await;
        }
        self.gate.acquire().await.unwrap().forget();
        match &*self.instead.lock().unwrap() {
            Some(answer) => answer(),
            None => Ok(params),
        }
    }
}

pub(crate) async fn compile(engine: &Engine, bytes: Bytes) -> Compiled {
    let hash = digest(&bytes);
    engine.compile(bytes, hash).await.unwrap()
}

pub(crate) async fn deploy_with(
    engine: &Engine,
    compiled: Compiled,
    spec: ComponentSpec,
    import: Arc<dyn Capability>,
) -> Arc<Generation> {
    let imports = vec![Import {
        name: INTERFACE.to_owned(),
        capability: import,
    }];
    let spec = ComponentSpec { imports, ..spec };
    engine.deploy(compiled, spec).await.unwrap()
}

pub(crate) async fn deploy_linked(
    engine: &Engine,
    compiled: Compiled,
    slot: &Arc<LinkSlot>,
    limits: Limits,
) -> Arc<Generation> {
    let link = Link::new(&compiled, INTERFACE, slot.clone()).unwrap();
    let spec = ComponentSpec {
        limits,
        ..spec("echo")
    };
    deploy_with(engine, compiled, spec, Arc::new(link)).await
}

pub(crate) fn remote(target: &Arc<Mirror>) -> LinkTarget {
    LinkTarget {
        local: None,
        remote: Some(target.clone()),
    }
}

pub(crate) fn slot(target: LinkTarget) -> Arc<LinkSlot> {
    let slot = LinkSlot::new("echo leads nowhere");
    slot.set(target);
    slot
}

/// Returns the bytes of `value` as the one parameter of a function.
pub(crate) fn encode(ty: &Type, value: &Value) -> Bytes {
    let plan = FunctionPlan::compile(&FunctionType {
        params: vec![Field {
            name: "value".to_owned(),
            ty: ty.clone(),
        }],
        result: None,
    })
    .unwrap();
    let mut bytes = Vec::new();
    let params = Value::Fields(vec![value.clone()]);
    trellis_wire::encode(&plan.plan, plan.params, &params, Dialect::A, &mut bytes).unwrap();
    bytes.into()
}
