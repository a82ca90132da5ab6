//! Functions of a link that pass streams or futures.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::AsContextMut;
use wasmtime::component::LinkerInstance;

use super::{LinkedFunction, Route, remote};
use crate::call_error::CallError;
use crate::component::Permit;
use crate::guarded::Deadline;
use crate::state::State;
use crate::streams::{Handles, Inlets, Life, Origin, Outbound, take_all};
use crate::wire::{Buffer, Direction, Lifted, Lowered, Payload};

/// A call of the guest whose streams were taken from it.
struct Begun {
    expires: Instant,
    life: Arc<Life>,
    outbound: Vec<Outbound>,
}

/// Defines a function whose parameters have `P` core values and whose result has `R`.
pub(super) fn define<const P: usize, const R: usize>(
    instance: &mut LinkerInstance<'_, State>,
    function: Arc<LinkedFunction>,
) -> wasmtime::Result<()> {
    let name = function.function.reference.function.clone();
    if function.function.is_async {
        return instance.func_wrap_concurrent(&name, move |accessor, lifted: Lifted<P>| {
            let Lifted(params, handles) = lifted;
            let begun = accessor.with(|store| function.begin(store, handles));
            Box::pin(function.clone().answer_streaming::<R>(params, begun))
        });
    }
    instance.func_wrap_async(&name, move |store, Lifted(params, handles): Lifted<P>| {
        let begun = function.begin(store, handles);
        Box::new(function.clone().answer_streaming::<R>(params, begun))
    })
}

impl LinkedFunction {
    fn begin(
        &self,
        mut store: impl AsContextMut<Data = State>,
        handles: Handles,
    ) -> wasmtime::Result<Begun> {
        let store = &mut store.as_context_mut();
        let outbound = take_all(&mut *store, self.plan(), Direction::Params, handles)?;
        Ok(Begun {
            expires: store.data().call_expires(),
            life: store.data().life().clone(),
            outbound,
        })
    }

    async fn answer_streaming<const R: usize>(
        self: Arc<Self>,
        params: Buffer,
        begun: wasmtime::Result<Begun>,
    ) -> wasmtime::Result<Lowered<R>> {
        let begun = begun?;
        let call = self.call_streaming(Payload::Lifted(params), begun.outbound, begun.expires);
        let (payload, origin) = call.await?;
        Ok(Lowered {
            plan: self.plan().clone(),
            direction: Direction::Results,
            payload,
            inlets: Some(Inlets::new(begun.life, origin)),
        })
    }

    /// Calls whoever can answer, as for a function without streams. Once its streams were given away
    /// the call cannot be made again.
    async fn call_streaming(
        &self,
        params: Payload,
        outbound: Vec<Outbound>,
        expires: Instant,
    ) -> Result<(Payload, Origin), CallError> {
        let Route { local, remote } = self.route()?;
        if let Some((generation, resolved)) = &local {
            let deadline = Deadline::start(generation.pool.limits().deadline);
            let permit = match (Permit::try_enter(generation, deadline), &remote) {
                (None, None) => Some(Permit::enter(generation.clone(), deadline).await?),
                (permit, _) => permit,
            };
            if let Some(permit) = permit {
                let export = resolved.export.clone();
                let call = permit.call_streaming(deadline, export, params, outbound);
                return call.await;
            }
        }
        let Some(remote) = remote else {
            return Err(self.slot.unsatisfied());
        };
        let reference = &self.function.reference;
        let gives_streams = !outbound.is_empty();
        let params = params.into_bytes();
        let opened = remote.open(reference, params.clone(), outbound, expires);
        match (opened.await, local) {
            (Ok(opened), _) => {
                remote::check_result(reference, &opened.result)?;
                let origin = Origin::elsewhere(opened.inbound, Vec::new(), None);
                Ok((Payload::Scanned(opened.result), origin))
            }
            (Err(error), Some((generation, resolved))) if error.did_not_run() && !gives_streams => {
                let deadline = Deadline::start(generation.pool.limits().deadline);
                let permit = Permit::enter(generation, deadline).await?;
                let (export, params) = (resolved.export.clone(), Payload::Scanned(params));
                permit
                    .call_streaming(deadline, export, params, Vec::new())
                    .await
            }
            (Err(error), _) => Err(error),
        }
    }
}
