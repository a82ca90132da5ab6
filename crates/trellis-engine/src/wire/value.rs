//! The type that stands for the value of a future in wasmtime's typed calls, whatever its type.

use std::mem::MaybeUninit;
use std::sync::Arc;

use bytes::Bytes;
use trellis_wire::plan::{FunctionPlan, Plan, PlanId};
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail};

use super::buffer::{Buffer, Payload};
use super::lift::{self, LiftError};
use super::lower::{self, LowerError};
use super::tuple::{LiftSource, LowerTarget, NOTHING};
use super::types;

/// A value on its way: lifted from a guest, or to be lowered into one by a plan.
#[derive(Debug)]
pub(crate) struct Value {
    payload: Payload,
    /// How to lower it; none where it was lifted.
    plan: Option<(Arc<FunctionPlan>, PlanId)>,
}

impl Value {
    /// Makes a value of the type at `id` from its bytes, which were scanned.
    pub(crate) fn from_wire(plan: Arc<FunctionPlan>, id: PlanId, wire: Bytes) -> Self {
        Self {
            payload: Payload::Scanned(wire),
            plan: Some((plan, id)),
        }
    }

    /// Returns its bytes.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.payload.into_bytes()
    }
}

// SAFETY: the size in memory is that of nothing, so that wasmtime reads and writes no memory on behalf
// of this type; the codec checks every place.
unsafe impl ComponentType for Value {
    type Lower = [ValRaw; 0];

    const ABI: CanonicalAbiInfo = NOTHING;

    /// Any type: a value that is lifted brings its type along, and one that is lowered was planned from
    /// the type that the guest declares.
    fn typecheck(_ty: &InterfaceType, _types: &InstanceType<'_>) -> Result<()> {
        Ok(())
    }
}

// SAFETY: nothing is read but checked slices of memory.
unsafe impl Lift for Value {
    fn linear_lift_from_flat(
        _cx: &mut LiftContext<'_>,
        _ty: InterfaceType,
        _slots: &Self::Lower,
    ) -> Result<Self> {
        bail!("the value of a future is in memory")
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> Result<Self> {
        // `bytes` is an empty slice of the memory: it says where, not how much.
        let place = bytes
            .as_ptr()
            .addr()
            .checked_sub(cx.memory().as_ptr().addr())
            .ok_or(LiftError::OutOfBounds)?;
        let ty = types::value_type(cx.types, ty)
            .map_err(|what| LiftError::Unsupported(what).into_wasmtime())?;
        let (plan, id) =
            Plan::compile(&ty).map_err(|error| LiftError::Plan(error).into_wasmtime())?;
        let mut buffer = Buffer::take();
        let utf8 = cx.options().string_encoding == StringEncoding::Utf8;
        let mut lift = lift::Lift {
            plan: &plan,
            memory: cx.memory(),
            source: &mut LiftSource::of_value(cx, utf8),
            out: buffer.bytes_mut(),
            path: Vec::new(),
        };
        lift.value_from_memory(id, place)
            .map_err(LiftError::into_wasmtime)?;
        Ok(Self {
            payload: Payload::Lifted(buffer),
            plan: None,
        })
    }
}

// SAFETY: memory is written through checked slices, borrowed again after whatever may move it.
unsafe impl Lower for Value {
    fn linear_lower_to_flat<T>(
        &self,
        _cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        _slots: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        bail!("the value of a future is in memory")
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        place: usize,
    ) -> Result<()> {
        let Some((plan, id)) = &self.plan else {
            bail!("a lifted value is not lowered")
        };
        let mut target = LowerTarget::of_value(cx);
        lower::tuple_to_memory(plan, *id, &self.payload, &mut target, place)
            .map_err(LowerError::into_wasmtime)
    }
}
