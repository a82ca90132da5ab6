//! Plans of what is lifted, found by the numbers that wasmtime gives a lift.
//!
//! A lift learns no more than a table of types and a number in it. Each thread keeps the plans that it
//! used, so that finding one is a comparison or four, without a lock.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use trellis_wire::plan::{AsyncPath, FunctionPlan, Plan, PlanId};
use wasmtime::component::__internal::wasmtime_environ::component::TypeTupleIndex;
use wasmtime::component::__internal::{ComponentTypes, InterfaceType};

use super::lift::LiftError;
use super::types;

/// Sets of plans that one thread keeps; a power of two. With [`WAYS`] it holds 1,024 plans, about as
/// many as all components of a large host have functions in use.
const SETS: usize = 256;
/// Plans in one set.
const WAYS: usize = 4;

thread_local! {
    static TUPLES: RefCell<Plans<FunctionPlan>> = const { RefCell::new(Plans { sets: Vec::new() }) };
    static VALUES: RefCell<Plans<ValuePlan>> = const { RefCell::new(Plans { sets: Vec::new() }) };
}

/// The plan of a value by itself: what a future carries, or an element of a stream.
pub(super) struct ValuePlan {
    pub(super) plan: Plan,
    pub(super) id: PlanId,
    /// Where streams and futures are in it.
    pub(super) channels: Vec<AsyncPath>,
}

impl ValuePlan {
    /// Returns its bytes in memory, which is how far apart elements are.
    pub(super) fn size(&self) -> usize {
        self.plan.node(self.id).abi.size as usize
    }
}

/// Returns the plan of a tuple, as the parameters of a function.
///
/// # Errors
/// When the tuple has no plan.
pub(super) fn of_tuple(
    types: &Arc<ComponentTypes>,
    index: TypeTupleIndex,
) -> Result<Rc<FunctionPlan>, LiftError> {
    let compile = || {
        let ty = types::tuple_type(types, &types[index].types).map_err(LiftError::Unsupported)?;
        FunctionPlan::compile(&ty).map_err(LiftError::Plan)
    };
    let ty = InterfaceType::Tuple(index);
    TUPLES.with_borrow_mut(|plans| plans.find_or_compile(types, ty, compile))
}

/// Returns the plan of a value.
///
/// # Errors
/// When its type has no plan.
pub(super) fn of_value(
    types: &Arc<ComponentTypes>,
    ty: InterfaceType,
) -> Result<Rc<ValuePlan>, LiftError> {
    let compile = || {
        let ty = types::value_type(types, ty).map_err(LiftError::Unsupported)?;
        let (plan, id) = Plan::compile(&ty).map_err(LiftError::Plan)?;
        let channels = plan.channels(id).map_err(LiftError::Plan)?;
        Ok(ValuePlan { plan, id, channels })
    };
    VALUES.with_borrow_mut(|plans| plans.find_or_compile(types, ty, compile))
}

struct Plans<P> {
    sets: Vec<Set<P>>,
}

struct Set<P> {
    entries: Vec<Entry<P>>,
    oldest: usize,
}

impl<P> Default for Set<P> {
    fn default() -> Self {
        let entries = Vec::new();
        Self { entries, oldest: 0 }
    }
}

/// One plan. The weak reference keeps the address of a table from being used for another one, and
/// nothing but its few words alive.
struct Entry<P> {
    types: Weak<ComponentTypes>,
    ty: InterfaceType,
    plan: Rc<P>,
}

impl<P> Plans<P> {
    fn find_or_compile(
        &mut self,
        types: &Arc<ComponentTypes>,
        ty: InterfaceType,
        compile: impl FnOnce() -> Result<P, LiftError>,
    ) -> Result<Rc<P>, LiftError> {
        if self.sets.is_empty() {
            self.sets.resize_with(SETS, Set::default);
        }
        // Tables are some hundred bytes apart, numbers follow one another.
        let address = Arc::as_ptr(types).addr();
        let set = (address >> 6) ^ (address >> 14) ^ number_of(ty);
        let set = &mut self.sets[set & (SETS - 1)];
        let found = set
            .entries
            .iter()
            .find(|entry| entry.ty == ty && entry.types.as_ptr() == Arc::as_ptr(types));
        if let Some(entry) = found {
            return Ok(entry.plan.clone());
        }
        let plan = Rc::new(compile()?);
        set.keep(Entry {
            types: Arc::downgrade(types),
            ty,
            plan: plan.clone(),
        });
        Ok(plan)
    }
}

impl<P> Set<P> {
    fn keep(&mut self, entry: Entry<P>) {
        if self.entries.len() < WAYS {
            self.entries.push(entry);
            return;
        }
        self.entries[self.oldest] = entry;
        self.oldest = (self.oldest + 1) % WAYS;
    }
}

/// Returns the number of a type in its table; for those without one, any number does.
fn number_of(ty: InterfaceType) -> usize {
    let number = match ty {
        InterfaceType::Tuple(index) => index.as_u32(),
        InterfaceType::Record(index) => index.as_u32(),
        InterfaceType::Variant(index) => index.as_u32(),
        InterfaceType::List(index) => index.as_u32(),
        InterfaceType::Option(index) => index.as_u32(),
        InterfaceType::Result(index) => index.as_u32(),
        _ => 0,
    };
    number as usize
}
