//! The type that stands for the value of a future, and for the elements of a stream, in wasmtime's typed
//! calls, whatever their type.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use trellis_wire::plan::{FunctionPlan, PlanId};
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentType, Lift, Lower, ReadBuffer, Source, WriteBuffer};
use wasmtime::{AsContextMut, Result, ValRaw, bail};

use super::buffer::Buffer;
use super::lift::{self, LiftError};
use super::lower::{self, LowerError};
use super::plans::{self, ValuePlan};
use super::tuple::{LiftSource, LowerTarget, NOTHING};
use crate::streams::{Handles, Inlets};

/// Elements that are lifted or lowered in one go. More than a guest usually has room for; the bytes of so
/// many small ones fill a page or a few.
pub(crate) const ELEMENTS_AT_ONCE_MAX: usize = 1_024;

/// A value on its way.
pub(crate) enum Value {
    /// Read from a guest.
    Lifted(Buffer, Handles),
    /// An element that was read from a guest into the present [`Batch`].
    InBatch,
    /// An element that the present [`Batch`] has no room for, and the guest keeps.
    Left,
    /// To be written into a guest, or passed on.
    Wire(WireValue),
}

/// A value as bytes, which were scanned.
pub(crate) struct WireValue {
    pub(crate) wire: Bytes,
    pub(crate) function: Arc<FunctionPlan>,
    pub(crate) plan: PlanId,
    /// Where the streams and futures in it come from.
    pub(crate) inlets: Option<Arc<Inlets>>,
    /// Its number among the elements of its stream.
    pub(crate) number: Option<u32>,
}

impl Value {
    /// Makes a value of the type at `id` from its bytes, which were scanned.
    pub(crate) fn from_wire(function: Arc<FunctionPlan>, id: PlanId, wire: Bytes) -> Self {
        Self::Wire(WireValue {
            wire,
            function,
            plan: id,
            inlets: None,
            number: None,
        })
    }

    /// Says where the streams and futures in it come from. `number` is its own in a stream.
    pub(crate) fn with_inlets(mut self, inlets: Arc<Inlets>, number: Option<u32>) -> Self {
        if let Self::Wire(value) = &mut self {
            (value.inlets, value.number) = (Some(inlets), number);
        }
        self
    }
}

/// Elements that are read from a guest in one go, up to a number of bytes.
pub(crate) struct Batch {
    /// How many there are.
    pub(crate) count: usize,
    /// Their encodings, one after the other, where a guest wrote them.
    pub(crate) lifted: Buffer,
    /// What is in them of streams and futures, by their number in the batch.
    pub(crate) handles: Vec<(usize, Handles)>,
    /// The elements, where they are passed on.
    pub(crate) passed_on: Vec<WireValue>,
    room: usize,
    count_max: usize,
}

impl Batch {
    /// Reads up to `count_max` elements from `source` until they have `room` bytes, but at least one.
    ///
    /// # Errors
    /// When an element is not of its type.
    pub(crate) fn read(
        source: &mut Source<'_, Value>,
        store: impl AsContextMut,
        room: usize,
        count_max: usize,
    ) -> Result<Self> {
        let mut batch = Self {
            count: 0,
            lifted: Buffer::take(),
            handles: Vec::new(),
            passed_on: Vec::new(),
            room,
            count_max,
        };
        let lifting = Lifting::begin(room);
        source.read(store, &mut batch)?;
        if let Some(run) = lifting.end() {
            (batch.lifted, batch.handles) = (run.out, run.handles);
        }
        Ok(batch)
    }

    fn is_full(&self) -> bool {
        self.room == 0 && self.count > 0
    }
}

impl ReadBuffer<Value> for Batch {
    fn extend<I: IntoIterator<Item = Value>>(&mut self, values: I) {
        let is_here = |value: &Value| matches!(value, Value::InBatch);
        self.count += values.into_iter().filter(is_here).count();
    }

    fn remaining_capacity(&self) -> usize {
        self.count_max - self.count
    }

    fn move_from(&mut self, input: &mut dyn WriteBuffer<Value>, count: usize) {
        for _ in 0..count {
            if self.is_full() {
                return;
            }
            input.take(1, &mut |values| {
                // SAFETY: whoever gives values away by `take` leaves them, whole, to the one it calls; each
                // is read here once.
                let value = unsafe { values[0].assume_init_read() };
                if let Value::Wire(value) = value {
                    self.room = self.room.saturating_sub(value.wire.len());
                    self.passed_on.push(value);
                    self.count += 1;
                }
            });
        }
    }
}

thread_local! {
    /// wasmtime lifts elements one by one, and tells each only where the first one is. This is what it
    /// cannot tell: which of them it is, and where it goes.
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// Elements that are lifted one after the other.
struct Run {
    room: usize,
    next: usize,
    out: Buffer,
    handles: Vec<(usize, Handles)>,
    plan: Option<Rc<ValuePlan>>,
}

/// Whatever is lifted while this is there is an element of a run.
struct Lifting;

impl Lifting {
    fn begin(room: usize) -> Self {
        RUN.set(Some(Run {
            room,
            next: 0,
            out: Buffer::take(),
            handles: Vec::new(),
            plan: None,
        }));
        Self
    }

    fn end(self) -> Option<Run> {
        RUN.take()
    }
}

impl Drop for Lifting {
    fn drop(&mut self) {
        RUN.take();
    }
}

impl Run {
    fn lift(&mut self, cx: &mut LiftContext<'_>, ty: InterfaceType, place: usize) -> Result<Value> {
        if self.room == 0 && self.next > 0 {
            return Ok(Value::Left);
        }
        let plan = match &self.plan {
            Some(plan) => plan.clone(),
            None => {
                let plan = plans::of_value(cx.types, ty).map_err(LiftError::into_wasmtime)?;
                self.plan.insert(plan).clone()
            }
        };
        let before = self.out.as_ref().len();
        let offset = self
            .next
            .checked_mul(plan.size())
            .ok_or(LiftError::OutOfBounds)?;
        let place = place.checked_add(offset).ok_or(LiftError::OutOfBounds)?;
        let handles = lift(cx, ty, &plan, place, &mut self.out)?;
        if !handles.is_empty() {
            self.handles.push((self.next, handles));
        }
        self.next += 1;
        self.room = self.room.saturating_sub(self.out.as_ref().len() - before);
        Ok(Value::InBatch)
    }
}

fn lift(
    cx: &mut LiftContext<'_>,
    ty: InterfaceType,
    plan: &ValuePlan,
    place: usize,
    out: &mut Buffer,
) -> Result<Handles> {
    let utf8 = cx.options().string_encoding == StringEncoding::Utf8;
    let memory = cx.memory();
    let mut source = LiftSource::of_value(cx, ty, plan, utf8);
    let mut lift = lift::Lift {
        plan: &plan.plan,
        memory,
        source: &mut source,
        out: out.bytes_mut(),
        path: Vec::new(),
    };
    lift.value_from_memory(plan.id, place)
        .map_err(LiftError::into_wasmtime)?;
    Ok(source.into_handles())
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
        RUN.with_borrow_mut(|run| {
            if let Some(run) = run {
                return run.lift(cx, ty, place);
            }
            let plan = plans::of_value(cx.types, ty).map_err(LiftError::into_wasmtime)?;
            let mut buffer = Buffer::take();
            let handles = lift(cx, ty, &plan, place, &mut buffer)?;
            Ok(Self::Lifted(buffer, handles))
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
        ty: InterfaceType,
        place: usize,
    ) -> Result<()> {
        let Self::Wire(value) = self else {
            bail!("a lifted value is not lowered")
        };
        let mut target = LowerTarget::of_value(cx, ty, value)?;
        lower::tuple_to_memory(&value.function, value.plan, &value.wire, &mut target, place)
            .map_err(LowerError::into_wasmtime)
    }

    /// Elements stand as far apart as their type is large, which is not what wasmtime knows of this one.
    fn linear_store_list_to_memory<T>(
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        place: usize,
        values: &[Self],
    ) -> Result<()> {
        for (number, value) in values.iter().enumerate() {
            let Self::Wire(it) = value else {
                bail!("a lifted value is not lowered")
            };
            let size = it.function.plan.node(it.plan).abi.size as usize;
            value.linear_lower_to_memory(cx, ty, place + number * size)?;
        }
        Ok(())
    }
}
