//! Plans of what is lifted, found by the numbers that wasmtime gives a lift.
//!
//! A lift learns no more than a table of types and a number in it. Each thread keeps the plans that it
//! used, so that finding one is a comparison or four, without a lock.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use trellis_wire::plan::FunctionPlan;
use wasmtime::component::__internal::ComponentTypes;
use wasmtime::component::__internal::wasmtime_environ::component::TypeTupleIndex;

use super::lift::LiftError;
use super::types;

/// Sets of plans that one thread keeps; a power of two. With [`WAYS`] it holds 1,024 plans, about as
/// many as all components of a large host have functions in use.
const SETS: usize = 256;
/// Plans in one set.
const WAYS: usize = 4;

thread_local! {
    static PLANS: RefCell<Plans> = const { RefCell::new(Plans { sets: Vec::new() }) };
}

/// Returns the plan of a tuple, as the parameters of a function.
///
/// # Errors
/// When the tuple has no plan.
pub(super) fn of_tuple(
    types: &Arc<ComponentTypes>,
    index: TypeTupleIndex,
) -> Result<Rc<FunctionPlan>, LiftError> {
    PLANS.with_borrow_mut(|plans| plans.find_or_compile(types, index))
}

struct Plans {
    sets: Vec<Set>,
}

#[derive(Default)]
struct Set {
    entries: Vec<Entry>,
    oldest: usize,
}

/// One plan. The weak reference keeps the address of a table from being used for another one, and
/// nothing but its few words alive.
struct Entry {
    types: Weak<ComponentTypes>,
    index: TypeTupleIndex,
    plan: Rc<FunctionPlan>,
}

impl Plans {
    fn find_or_compile(
        &mut self,
        types: &Arc<ComponentTypes>,
        index: TypeTupleIndex,
    ) -> Result<Rc<FunctionPlan>, LiftError> {
        if self.sets.is_empty() {
            self.sets.resize_with(SETS, Set::default);
        }
        // Tables are some hundred bytes apart, numbers follow one another.
        let address = Arc::as_ptr(types).addr();
        let set = (address >> 6) ^ (address >> 14) ^ index.as_u32() as usize;
        let set = &mut self.sets[set & (SETS - 1)];
        let found = set
            .entries
            .iter()
            .find(|entry| entry.index == index && entry.types.as_ptr() == Arc::as_ptr(types));
        if let Some(entry) = found {
            return Ok(entry.plan.clone());
        }
        let plan = Rc::new(compile(types, index)?);
        set.keep(Entry {
            types: Arc::downgrade(types),
            index,
            plan: plan.clone(),
        });
        Ok(plan)
    }
}

impl Set {
    fn keep(&mut self, entry: Entry) {
        if self.entries.len() < WAYS {
            self.entries.push(entry);
            return;
        }
        self.entries[self.oldest] = entry;
        self.oldest = (self.oldest + 1) % WAYS;
    }
}

#[cold]
fn compile(types: &ComponentTypes, index: TypeTupleIndex) -> Result<FunctionPlan, LiftError> {
    let ty = types::tuple_type(types, &types[index].types).map_err(LiftError::Unsupported)?;
    FunctionPlan::compile(&ty).map_err(LiftError::Plan)
}
