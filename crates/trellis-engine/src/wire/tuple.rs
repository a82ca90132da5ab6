//! The types that stand for whole parameter and result tuples in wasmtime's typed calls. The unsafe code
//! is the promise of four traits.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::sync::Arc;

use trellis_wire::plan::{AsyncPath, FunctionPlan, Op, Plan, PlanId};
use wasmtime::component::__internal::wasmtime_environ::component::{
    StringEncoding, TypeTupleIndex,
};
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentNamedList, ComponentType, FutureAny, Lift, Lower, StreamAny};
use wasmtime::{AsContextMut, Result, ValRaw, bail};

use super::buffer::{Buffer, Payload};
use super::lift::{self, LiftError, Source};
use super::lower::{self, LowerError, Target};
use super::plans::ValuePlan;
use super::value::WireValue;
use super::{plans, types};
use crate::streams::{ChannelPlace, Complete, Handle, Handles, Inlets, ReadEnd, Reader};

/// Most core values that a function takes before its parameters go through memory.
pub(crate) const SLOTS_MAX: usize = 16;
/// The number of core values that stands for "through memory" in a type.
pub(crate) const HEAP: usize = SLOTS_MAX + 1;
/// The core values that [`Lowered`] fills for the parameters of an export, whatever their number: a
/// call reads as many as its function takes.
pub(crate) const PARAM_SLOTS: usize = SLOTS_MAX;

/// What the tuples are in memory. wasmtime takes size and alignment from the dynamic type wherever it
/// knows that one; where it does not, it is told "nothing", and the codec checks for itself.
pub(super) const NOTHING: CanonicalAbiInfo = CanonicalAbiInfo {
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

    /// Returns where streams and futures are in the tuple, but for those inside of others.
    pub(crate) fn paths(self, plan: &FunctionPlan) -> &[AsyncPath] {
        match self {
            Self::Params => &plan.param_channels,
            Self::Results => &plan.result_channels,
        }
    }
}

/// Returns the number of the stream or future of the type `id` at `path`. Where cases of a variant have
/// one at the same place, their types tell them apart; the same type twice is one.
fn number_of(paths: &[AsyncPath], id: PlanId, path: &[u32]) -> Result<usize> {
    let is_here = |it: &AsyncPath| it.plan == id && it.is_at(path);
    match paths.iter().position(is_here) {
        Some(number) => Ok(number),
        None => bail!("a stream is at a place that its type has not"),
    }
}

/// A tuple read from a guest: the parameters of an import, or the results of an export. `N` is the
/// number of its core values, or [`HEAP`] for more than [`SLOTS_MAX`]. What streams and futures it has are
/// the reader's to take or to close.
pub(crate) struct Lifted<const N: usize>(pub(crate) Buffer, pub(crate) Handles);

/// A tuple to be written into a guest: the results of an import (`N` is 0 or 1) or the parameters of an
/// export (`N` is [`PARAM_SLOTS`]).
pub(crate) struct Lowered<const N: usize> {
    pub(crate) plan: Arc<FunctionPlan>,
    pub(crate) direction: Direction,
    pub(crate) payload: Payload,
    /// Where its streams and futures come from; none for a function without any.
    pub(crate) inlets: Option<Inlets>,
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
        lift(cx, ty, Place::Flat(slots)).map(|(buffer, handles)| Self(buffer, handles))
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
        lift(cx, ty, Place::Memory(place)).map(|(buffer, handles)| Self(buffer, handles))
    }
}

/// Where a tuple is.
enum Place<'a> {
    Flat(&'a [ValRaw]),
    Memory(usize),
}

fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, from: Place<'_>) -> Result<(Buffer, Handles)> {
    let tuple = tuple_index(ty)?;
    let plan = plans::of_tuple(cx.types, tuple).map_err(LiftError::into_wasmtime)?;
    let mut buffer = Buffer::take();
    let utf8 = cx.options().string_encoding == StringEncoding::Utf8;
    let memory = cx.memory();
    let mut source = LiftSource {
        cx,
        utf8,
        plan: &plan.plan,
        channels: &plan.param_channels,
        ty,
        types: Vec::new(),
        handles: Vec::new(),
    };
    let mut lift = lift::Lift {
        plan: &plan.plan,
        memory,
        source: &mut source,
        out: buffer.bytes_mut(),
        path: Vec::new(),
    };
    match from {
        Place::Flat(slots) => lift.tuple_from_flat(&plan, slots),
        Place::Memory(place) => lift.tuple_from_memory(&plan, place),
    }
    .map_err(LiftError::into_wasmtime)?;
    Ok((buffer, source.handles))
}

pub(super) struct LiftSource<'a, 'b> {
    cx: &'a mut LiftContext<'b>,
    utf8: bool,
    plan: &'a Plan,
    /// Where streams and futures are in what is lifted.
    channels: &'a [AsyncPath],
    /// wasmtime's type of it.
    ty: InterfaceType,
    /// wasmtime's types of its streams and futures, looked for once.
    types: Vec<InterfaceType>,
    handles: Handles,
}

impl<'a, 'b> LiftSource<'a, 'b> {
    pub(super) fn of_value(
        cx: &'a mut LiftContext<'b>,
        ty: InterfaceType,
        plan: &'a ValuePlan,
        utf8: bool,
    ) -> Self {
        Self {
            cx,
            utf8,
            plan: &plan.plan,
            channels: &plan.channels,
            ty,
            types: Vec::new(),
            handles: Vec::new(),
        }
    }

    /// Returns the streams and futures that were taken.
    pub(super) fn into_handles(self) -> Handles {
        self.handles
    }
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

    fn channel(&mut self, id: PlanId, path: &[u32], index: u32) -> Result<()> {
        let number = number_of(self.channels, id, path)?;
        if self.types.is_empty() {
            self.types = types::channels(self.cx.types, self.ty);
        }
        let ty = self.types.get(number).copied();
        let ty = ty.ok_or_else(|| wasmtime::Error::msg("a stream has no type"))?;
        let slot = ValRaw::u32(index);
        let end = match self.plan.node(id).op {
            Op::Stream { .. } => {
                ReadEnd::Stream(StreamAny::linear_lift_from_flat(self.cx, ty, &slot)?)
            }
            _ => ReadEnd::Future(FutureAny::linear_lift_from_flat(self.cx, ty, &slot)?),
        };
        let path = path.to_vec();
        self.handles.push(Handle { number, path, end });
        Ok(())
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
        ty: InterfaceType,
        slots: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let slots = slots.write([ValRaw::u64(0); N]);
        let tuple = self.direction.tuple(&self.plan);
        let mut target = self.target(cx, ty)?;
        lower::tuple_to_flat(&self.plan, tuple, &self.payload, &mut target, slots)
            .map_err(LowerError::into_wasmtime)
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        place: usize,
    ) -> Result<()> {
        let tuple = self.direction.tuple(&self.plan);
        let mut target = self.target(cx, ty)?;
        lower::tuple_to_memory(&self.plan, tuple, &self.payload, &mut target, place)
            .map_err(LowerError::into_wasmtime)
    }
}

impl<const N: usize> Lowered<N> {
    fn target<'a, 'b, T>(
        &'a self,
        cx: &'a mut LowerContext<'b, T>,
        ty: InterfaceType,
    ) -> Result<LowerTarget<'a, 'b, T>> {
        let channels = match &self.inlets {
            None => None,
            Some(inlets) => Some(Channels {
                plan: &self.plan,
                paths: Cow::Borrowed(self.direction.paths(&self.plan)),
                types: types::channels(cx.types, ty),
                inlets,
                number: None,
            }),
        };
        Ok(LowerTarget { cx, channels })
    }
}

pub(super) struct LowerTarget<'a, 'b, T: 'static> {
    cx: &'a mut LowerContext<'b, T>,
    /// None for what has no streams or futures.
    channels: Option<Channels<'a>>,
}

struct Channels<'a> {
    plan: &'a Arc<FunctionPlan>,
    paths: Cow<'a, [AsyncPath]>,
    /// wasmtime's types of what is at the paths.
    types: Vec<InterfaceType>,
    inlets: &'a Inlets,
    /// The number of the element of a stream that is lowered.
    number: Option<u32>,
}

impl<'a, 'b, T> LowerTarget<'a, 'b, T> {
    pub(super) fn of_value(
        cx: &'a mut LowerContext<'b, T>,
        ty: InterfaceType,
        value: &'a WireValue,
    ) -> Result<Self> {
        let channels = match &value.inlets {
            None => None,
            Some(inlets) => Some(Channels {
                plan: &value.function,
                paths: Cow::Owned(value.function.plan.channels(value.plan)?),
                types: types::channels(cx.types, ty),
                inlets,
                number: value.number,
            }),
        };
        Ok(Self { cx, channels })
    }
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

    fn channel(&mut self, id: PlanId, path: &[u32], complete: Option<Complete<'_>>) -> Result<u32> {
        let Some(channels) = &self.channels else {
            bail!("a stream was passed that nobody writes")
        };
        let number = number_of(&channels.paths, id, path)?;
        let ty = channels.types.get(number).copied();
        let ty = ty.ok_or_else(|| wasmtime::Error::msg("a stream has no type"))?;
        let store = self.cx.store.as_context_mut();
        let path: Vec<u32> = channels.number.iter().chain(path).copied().collect();
        let place = ChannelPlace {
            plan: id,
            path: &path,
        };
        let reader = channels
            .inlets
            .open(store, channels.plan, place, complete)?;
        let mut slot = MaybeUninit::uninit();
        match reader {
            Reader::Bytes(it) => it.linear_lower_to_flat(self.cx, ty, &mut slot)?,
            Reader::Elements(it) => it.linear_lower_to_flat(self.cx, ty, &mut slot)?,
            Reader::Units(it) => it.linear_lower_to_flat(self.cx, ty, &mut slot)?,
            Reader::Value(it) => it.linear_lower_to_flat(self.cx, ty, &mut slot)?,
            Reader::Event(it) => it.linear_lower_to_flat(self.cx, ty, &mut slot)?,
        }
        // SAFETY: a lowering that succeeds has written the one core value of a stream or future.
        Ok(unsafe { slot.assume_init() }.get_u32())
    }
}
