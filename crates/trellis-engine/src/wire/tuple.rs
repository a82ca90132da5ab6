//! The types that stand for whole parameter and result tuples in wasmtime's typed calls. All unsafe
//! code of the codec is here, and it is the promise of four traits.

use std::mem::MaybeUninit;
use std::sync::Arc;

use trellis_wire::plan::{FunctionPlan, PlanId};
use wasmtime::component::__internal::wasmtime_environ::component::{
    StringEncoding, TypeTupleIndex,
};
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail};

use super::buffer::{Buffer, Payload};
use super::lift::{self, LiftError, Source};
use super::lower::{self, LowerError, Target};
use super::plans;

/// Most core values that a function takes before its parameters go through memory.
pub(crate) const SLOTS_MAX: usize = 16;
/// The number of core values that stands for "through memory" in a type.
pub(crate) const HEAP: usize = SLOTS_MAX + 1;
/// The core values that [`Lowered`] fills for the parameters of an export, whatever their number: a
/// call reads as many as its function takes.
pub(crate) const PARAM_SLOTS: usize = SLOTS_MAX;

/// What the tuples are in memory. wasmtime takes size and alignment from the dynamic type wherever it
/// knows that one; where it does not, it is told "nothing", and the codec checks for itself.
const NOTHING: CanonicalAbiInfo = CanonicalAbiInfo {
    size32: 0,
    align32: 1,
    size64: 0,
    align64: 1,
    flat_count: None,
};

/// Which tuple of a function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    /// Its parameters.
    Params,
    /// Its results.
    Results,
}

impl Direction {
    fn tuple(self, plan: &FunctionPlan) -> PlanId {
        match self {
            Self::Params => plan.params,
            Self::Results => plan.results,
        }
    }
}

/// A tuple read from a guest: the parameters of an import, or the results of an export. `N` is the
/// number of its core values, or [`HEAP`] for more than [`SLOTS_MAX`].
pub(crate) struct Lifted<const N: usize>(pub(crate) Buffer);

/// A tuple to be written into a guest: the results of an import (`N` is 0 or 1) or the parameters of an
/// export (`N` is [`PARAM_SLOTS`]).
pub(crate) struct Lowered<const N: usize> {
    pub(crate) plan: Arc<FunctionPlan>,
    pub(crate) direction: Direction,
    pub(crate) payload: Payload,
}

fn tuple_index(ty: InterfaceType) -> Result<TypeTupleIndex> {
    match ty {
        InterfaceType::Tuple(index) => Ok(index),
        _ => bail!("parameters and results are tuples"),
    }
}

fn slots_of(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<usize> {
    let abi = &types.types[tuple_index(*ty)?].abi;
    Ok(abi.flat_count(SLOTS_MAX).unwrap_or(HEAP))
}

// SAFETY: `Lower` is an array of `ValRaw`. The size in memory is that of nothing, so that wasmtime
// reads no memory on behalf of this type; `lift` checks every place that it reads.
unsafe impl<const N: usize> ComponentType for Lifted<N> {
    type Lower = [ValRaw; N];

    const ABI: CanonicalAbiInfo = NOTHING;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        let slots = slots_of(ty, types)?;
        if slots != N {
            bail!("{slots} core values are needed where {N} are expected");
        }
        Ok(())
    }
}

// SAFETY: `typecheck` accepts nothing but tuples with as many core values as `Lower` has.
unsafe impl<const N: usize> ComponentNamedList for Lifted<N> {}

// SAFETY: no core value is read but those that the type has, each as the type that it has; all else is
// checked slices.
unsafe impl<const N: usize> Lift for Lifted<N> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        slots: &Self::Lower,
    ) -> Result<Self> {
        lift(cx, ty, Place::Flat(slots)).map(Self)
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
            .checked_sub(cx.memory().as_ptr().addr());
        let place = place.ok_or(LiftError::OutOfBounds)?;
        lift(cx, ty, Place::Memory(place)).map(Self)
    }
}

/// Where a tuple is.
enum Place<'a> {
    Flat(&'a [ValRaw]),
    Memory(usize),
}

fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, from: Place<'_>) -> Result<Buffer> {
    let plan = plans::of_tuple(cx.types, tuple_index(ty)?).map_err(LiftError::into_wasmtime)?;
    let mut buffer = Buffer::take();
    let utf8 = cx.options().string_encoding == StringEncoding::Utf8;
    let mut lift = lift::Lift {
        plan: &plan.plan,
        memory: cx.memory(),
        source: &mut LiftSource { cx, utf8 },
        out: buffer.bytes_mut(),
    };
    match from {
        Place::Flat(slots) => lift.tuple_from_flat(&plan, slots),
        Place::Memory(place) => lift.tuple_from_memory(&plan, place),
    }
    .map_err(LiftError::into_wasmtime)?;
    Ok(buffer)
}

struct LiftSource<'a, 'b> {
    cx: &'a mut LiftContext<'b>,
    utf8: bool,
}

impl Source for LiftSource<'_, '_> {
    fn charge(&mut self, bytes: usize) -> Result<()> {
        self.cx.consume_fuel(bytes)
    }

    fn transcode(&mut self, pointer: u32, length: u32) -> Option<Result<String>> {
        if self.utf8 {
            return None;
        }
        let slots = [ValRaw::u32(pointer), ValRaw::u32(length)];
        Some(String::linear_lift_from_flat(
            self.cx,
            InterfaceType::String,
            &slots,
        ))
    }
}

// SAFETY: `Lower` is an array of `ValRaw`. The size in memory is that of nothing; `lower` checks every
// place that it writes.
unsafe impl<const N: usize> ComponentType for Lowered<N> {
    type Lower = [ValRaw; N];

    const ABI: CanonicalAbiInfo = NOTHING;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        let slots = slots_of(ty, types)?;
        // As parameters more core values than needed do no harm, and where 16 do not suffice the codec
        // allocates by itself. As results of an import two or more values go through memory, where
        // `N` is not used.
        if N != PARAM_SLOTS && slots != N && (slots < 2 || N != 0) {
            bail!("{slots} core values are needed where {N} are expected");
        }
        Ok(())
    }
}

// SAFETY: `typecheck` accepts nothing but tuples that `Lower` has enough core values for.
unsafe impl<const N: usize> ComponentNamedList for Lowered<N> {}

// SAFETY: every core value is initialised, with zero where the type has none; memory is written
// through checked slices, borrowed again after whatever may move it.
unsafe impl<const N: usize> Lower for Lowered<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        slots: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let slots = slots.write([ValRaw::u64(0); N]);
        let tuple = self.direction.tuple(&self.plan);
        let mut target = LowerTarget { cx };
        lower::tuple_to_flat(&self.plan, tuple, &self.payload, &mut target, slots)
            .map_err(LowerError::into_wasmtime)
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        place: usize,
    ) -> Result<()> {
        let tuple = self.direction.tuple(&self.plan);
        let mut target = LowerTarget { cx };
        lower::tuple_to_memory(&self.plan, tuple, &self.payload, &mut target, place)
            .map_err(LowerError::into_wasmtime)
    }
}

struct LowerTarget<'a, 'b, T: 'static> {
    cx: &'a mut LowerContext<'b, T>,
}

impl<T> Target for LowerTarget<'_, '_, T> {
    fn allocate(&mut self, align: u32, bytes: usize) -> Result<u32> {
        let place = self.cx.realloc(0, 0, align, bytes)?;
        Ok(u32::try_from(place)?)
    }

    fn memory(&mut self) -> &mut [u8] {
        self.cx.as_slice_mut()
    }

    fn is_utf8(&self) -> bool {
        self.cx.options().string_encoding == StringEncoding::Utf8
    }

    fn string(&mut self, text: &str) -> Result<(u32, u32)> {
        let mut slots = MaybeUninit::uninit();
        text.linear_lower_to_flat(self.cx, InterfaceType::String, &mut slots)?;
        // SAFETY: a lowering that succeeds has written both core values of a string.
        let [pointer, length] = unsafe { slots.assume_init() };
        Ok((pointer.get_u32(), length.get_u32()))
    }
}
