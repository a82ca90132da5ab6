//! A component's import answered by another component: one on this host, one elsewhere, or whichever
//! of the two has room.
//!
//! What the caller passes is read from its memory as wRPC bytes once. On this host the callee runs in a
//! store of its own, on the caller's task, and the bytes go straight into its memory: no queue and no
//! other thread. Its trap, deadline or refusal reaches the caller with its own class. Elsewhere is
//! behind [`RemoteTarget`], which takes the same bytes.

mod remote;
mod slot;
mod streaming;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use trellis_core::ErrorClass;
use trellis_wire::FunctionType;
use trellis_wire::plan::FunctionPlan;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Linker, LinkerInstance};

pub use remote::{FunctionRef, Opened, RemoteTarget};
pub use slot::{LinkSlot, LinkTarget, LocalTarget};

use crate::call_error::CallError;
use crate::capability::Capability;
use crate::compile::Compiled;
use crate::component::{ComponentHandle, Generation, Permit};
use crate::exports::{ExportedFunction, UnsupportedType, plan_of_link, slots};
use crate::guarded::Deadline;
use crate::state::State;
use crate::wire::{Buffer, Direction, HEAP, Lifted, Lowered, Payload};

/// The link of one import.
pub struct Link {
    slot: Arc<LinkSlot>,
    functions: Vec<Arc<Function>>,
}

/// A function as the caller imports it.
struct Function {
    reference: FunctionRef,
    is_async: bool,
}

impl Link {
    /// Links the import `import` of `caller` to whatever `slot` holds when it is called.
    ///
    /// # Errors
    /// When a function of the interface passes a resource, or a stream or future that cannot cross.
    pub fn new(
        caller: &Compiled,
        import: &str,
        slot: Arc<LinkSlot>,
    ) -> Result<Self, UnsupportedType> {
        let engine = caller.component.engine();
        let ty = caller.component.component_type();
        let interface: Arc<str> = import.into();
        let mut functions = Vec::new();
        if let Some(item) = ty.get_import(engine, import)
            && let ComponentItem::ComponentInstance(instance) = &item.ty
        {
            for (name, item) in instance.exports(engine) {
                match &item.ty {
                    ComponentItem::ComponentFunc(function) => {
                        let plan = plan_of_link(name, function)?;
                        functions.push(Arc::new(Function {
                            reference: FunctionRef {
                                interface: interface.clone(),
                                function: name.into(),
                                plan: Arc::new(plan),
                            },
                            is_async: function.async_(),
                        }));
                    }
                    ComponentItem::Resource(_) => {
                        return Err(UnsupportedType {
                            function: name.to_owned(),
                            what: "a resource",
                        });
                    }
                    _ => {}
                }
            }
        }
        Ok(Self { slot, functions })
    }

    /// Links the import `import` of `caller` to `target`, which exports it as `interface`, for good.
    ///
    /// # Errors
    /// When a function of the interface passes a resource, or a stream or future that cannot cross.
    pub fn to_component(
        caller: &Compiled,
        import: &str,
        target: Arc<ComponentHandle>,
        interface: &str,
    ) -> Result<Self, UnsupportedType> {
        let slot = LinkSlot::new(format!("{import} has lost its link"));
        slot.set(LinkTarget {
            local: Some(LocalTarget {
                handle: target,
                interface: interface.into(),
            }),
            remote: None,
        });
        Self::new(caller, import, slot)
    }
}

impl Capability for Link {
    fn link(&self, linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
        let mut instance = linker.instance(import)?;
        for function in &self.functions {
            let linked = LinkedFunction {
                slot: self.slot.clone(),
                function: function.clone(),
                resolved: ArcSwapOption::empty(),
            };
            define(&mut instance, Arc::new(linked))?;
        }
        Ok(())
    }
}

/// Defines `function` by the type that has as many core values in its parameters and its result.
fn define(
    instance: &mut LinkerInstance<'_, State>,
    function: Arc<LinkedFunction>,
) -> wasmtime::Result<()> {
    macro_rules! by_slots {
        ($params:expr, $($slots:literal)*) => {
            match $params {
                $($slots => define_with::<$slots>(instance, function),)*
                _ => define_with::<HEAP>(instance, function),
            }
        };
    }
    let params = slots(function.plan().flat_params);
    by_slots!(params, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
}

fn define_with<const P: usize>(
    instance: &mut LinkerInstance<'_, State>,
    function: Arc<LinkedFunction>,
) -> wasmtime::Result<()> {
    // More than one core value of a result goes through memory.
    match function.plan().flat_results {
        1 => define_as::<P, 1>(instance, function),
        _ => define_as::<P, 0>(instance, function),
    }
}

fn define_as<const P: usize, const R: usize>(
    instance: &mut LinkerInstance<'_, State>,
    function: Arc<LinkedFunction>,
) -> wasmtime::Result<()> {
    if function.plan().has_async {
        return streaming::define::<P, R>(instance, function);
    }
    let name = function.function.reference.function.clone();
    if function.function.is_async {
        return instance.func_wrap_concurrent(&name, move |accessor, lifted: Lifted<P>| {
            let Lifted(params, _no_streams) = lifted;
            let expires = accessor.with(|mut access| access.get().call_expires());
            Box::pin(function.clone().answer::<R>(params, expires))
        });
    }
    instance.func_wrap_async(&name, move |store, Lifted(params, _): Lifted<P>| {
        let expires = store.data().call_expires();
        Box::new(function.clone().answer::<R>(params, expires))
    })
}

/// One function of a link, with the export that it was resolved to last.
struct LinkedFunction {
    slot: Arc<LinkSlot>,
    function: Arc<Function>,
    resolved: ArcSwapOption<Resolved>,
}

/// An export of one generation.
struct Resolved {
    serial: u64,
    interface: Arc<str>,
    export: ExportedFunction,
}

/// Who can answer a call now.
struct Route {
    local: Option<(Arc<Generation>, Arc<Resolved>)>,
    remote: Option<Arc<dyn RemoteTarget>>,
}

impl LinkedFunction {
    fn plan(&self) -> &Arc<FunctionPlan> {
        &self.function.reference.plan
    }

    /// Answers a call of the guest.
    async fn answer<const R: usize>(
        self: Arc<Self>,
        params: Buffer,
        expires: Instant,
    ) -> wasmtime::Result<Lowered<R>> {
        let payload = self.call(Payload::Lifted(params), expires).await?;
        Ok(Lowered {
            plan: self.plan().clone(),
            direction: Direction::Results,
            payload,
            inlets: None,
        })
    }

    /// Calls whoever can answer: the component on this host while it has room, then whoever has room
    /// elsewhere, then the queue on this host, then the queues elsewhere.
    async fn call(&self, params: Payload, expires: Instant) -> Result<Payload, CallError> {
        let Route { local, remote } = self.route()?;
        match (local, remote) {
            (Some((generation, resolved)), None) => generation.call(&resolved.export, params).await,
            (Some((generation, resolved)), Some(remote)) => {
                let deadline = Deadline::start(generation.pool.limits().deadline);
                if let Some(permit) = Permit::try_enter(&generation, deadline) {
                    return permit.call(deadline, &resolved.export, params).await;
                }
                let here = (&generation, &*resolved);
                self.overflow(here, &*remote, params.into_bytes(), expires)
                    .await
            }
            (None, Some(remote)) => {
                let params = params.into_bytes();
                let reference = &self.function.reference;
                self.take(remote.call(reference, params, expires).await)
            }
            (None, None) => Err(self.slot.unsatisfied()),
        }
    }

    /// Makes a call for which the component on this host has no room now.
    async fn overflow(
        &self,
        (generation, resolved): (&Arc<Generation>, &Resolved),
        remote: &dyn RemoteTarget,
        params: Bytes,
        expires: Instant,
    ) -> Result<Payload, CallError> {
        let reference = &self.function.reference;
        let at_once = remote.call_at_once(reference, params.clone(), expires);
        match at_once.await {
            Err(error) if error.did_not_run() => {}
            answer => return self.take(answer),
        }
        let waiting = Payload::Scanned(params.clone());
        match generation.call(&resolved.export, waiting).await {
            Err(full) if full.class == ErrorClass::Overloaded && full.did_not_run() => {
                match remote.call(reference, params, expires).await {
                    Err(error) if error.did_not_run() => Err(full),
                    answer => self.take(answer),
                }
            }
            answer => answer,
        }
    }

    /// Checks what came from elsewhere.
    fn take(&self, answer: Result<Bytes, CallError>) -> Result<Payload, CallError> {
        let result = answer?;
        remote::check_result(&self.function.reference, &result)?;
        Ok(Payload::Scanned(result))
    }

    fn route(&self) -> Result<Route, CallError> {
        let target = self.slot.load();
        let local = match &target.local {
            None => None,
            Some(local) => match self.local(local) {
                Ok(found) => Some(found),
                // Whoever is elsewhere may well be able to answer.
                Err(_) if target.remote.is_some() => None,
                Err(error) => return Err(error),
            },
        };
        Ok(Route {
            local,
            remote: target.remote.clone(),
        })
    }

    fn local(&self, target: &LocalTarget) -> Result<(Arc<Generation>, Arc<Resolved>), CallError> {
        let generation = target.handle.require()?;
        let resolved = self.resolve(target, &generation)?;
        Ok((generation, resolved))
    }

    /// Finds the function in the generation in force: by number where it has not changed, by name
    /// once after it has.
    fn resolve(
        &self,
        target: &LocalTarget,
        generation: &Generation,
    ) -> Result<Arc<Resolved>, CallError> {
        if let Some(resolved) = &*self.resolved.load()
            && resolved.serial == generation.serial
            && Arc::ptr_eq(&resolved.interface, &target.interface)
        {
            return Ok(resolved.clone());
        }
        let export = self.find(target, generation)?;
        let resolved = Arc::new(Resolved {
            serial: generation.serial,
            interface: target.interface.clone(),
            export,
        });
        self.resolved.store(Some(resolved.clone()));
        Ok(resolved)
    }

    /// Finds the function by name, and compares its types with those that the caller knows: bytes say
    /// nothing of themselves.
    fn find(
        &self,
        target: &LocalTarget,
        generation: &Generation,
    ) -> Result<ExportedFunction, CallError> {
        let (interface, name) = (&target.interface, &self.function.reference.function);
        let unavailable = |what: String| {
            let text = format!("component {} {what} of {interface}", target.handle.id());
            CallError::new(ErrorClass::Unavailable, text)
        };
        let export = generation
            .function(interface, name)
            .map_err(|_| unavailable(format!("does not export {name}")))?;
        let (wanted, offered) = (&self.plan().signature, &export.plan().signature);
        if !same_types(wanted, offered) {
            return Err(unavailable(format!(
                "was given a call of {name}: {wanted}, but has {offered},"
            )));
        }
        Ok(export)
    }
}

/// Tells whether two functions take and give the same types, whatever their parameters are called.
fn same_types(wanted: &FunctionType, offered: &FunctionType) -> bool {
    let types = |function: &FunctionType| {
        let params = function.params.iter().map(|param| param.ty.clone());
        (params.collect::<Vec<_>>(), function.result.clone())
    };
    types(wanted) == types(offered)
}
