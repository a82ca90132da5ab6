//! The functions that a component exports: found by name once, with the plans of their types.

use std::sync::Arc;

use trellis_wire::FunctionType;
use trellis_wire::plan::{FunctionPlan, PlanError};
use wasmtime::component::ComponentExportIndex;
use wasmtime::component::types::{ComponentFunc, ComponentItem};

use crate::compile::Compiled;
use crate::wire::{HEAP, SLOTS_MAX, function_type};

/// An exported function of one compiled component, found by name once and called many times. Cheap to
/// clone.
#[derive(Clone)]
pub struct ExportedFunction {
    pub(crate) index: ComponentExportIndex,
    pub(crate) plan: Arc<FunctionPlan>,
    /// Core values of the result, [`HEAP`] for more than [`SLOTS_MAX`].
    pub(crate) result_slots: usize,
}

impl ExportedFunction {
    /// Returns the plan of its parameters and its result.
    pub fn plan(&self) -> &Arc<FunctionPlan> {
        &self.plan
    }
}

/// The name and the types of an exported function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedSignature {
    /// The exact name of the interface, such as `acme:shop/cart@1.0.0`; empty for a function of the
    /// world itself.
    pub interface: String,
    /// The name of the function.
    pub function: String,
    /// What it takes and gives.
    pub ty: FunctionType,
}

/// Why a function cannot be called from outside its component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// The component exports no such function.
    #[error("there is no function {function} {}", place(interface))]
    Missing {
        /// The name of the interface; empty for the component itself.
        interface: String,
        /// The name of the function.
        function: String,
    },
    /// The function passes something that has no bytes.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedType),
}

fn place(interface: &str) -> String {
    match interface {
        "" => "outside of an interface".to_owned(),
        interface => format!("in {interface}"),
    }
}

/// A type that cannot cross a link between two components.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{function} passes {what}, which cannot cross a link between components; only values, and streams and \
     futures of them, can"
)]
pub struct UnsupportedType {
    /// The function.
    pub function: String,
    /// What it passes.
    pub what: &'static str,
}

impl Compiled {
    /// Returns the exported functions whose types can be written down, in the order of the component.
    pub fn functions(&self) -> Vec<ExportedSignature> {
        let engine = self.component.engine();
        let mut found = Vec::new();
        let mut add = |interface: &str, function: &str, ty: &ComponentFunc| {
            if let Ok(ty) = function_type(ty) {
                found.push(ExportedSignature {
                    interface: interface.to_owned(),
                    function: function.to_owned(),
                    ty,
                });
            }
        };
        for (name, item) in self.component.component_type().exports(engine) {
            match &item.ty {
                ComponentItem::ComponentFunc(function) => add("", name, function),
                ComponentItem::ComponentInstance(instance) => {
                    for (function, item) in instance.exports(engine) {
                        if let ComponentItem::ComponentFunc(ty) = &item.ty {
                            add(name, function, ty);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Finds an exported function by the exact names of its interface (empty for the world itself) and
    /// its own.
    ///
    /// # Errors
    /// When there is none, or when it passes resources, or streams or futures that cannot cross.
    pub fn function(
        &self,
        interface: &str,
        function: &str,
    ) -> Result<ExportedFunction, FunctionError> {
        let missing = || FunctionError::Missing {
            interface: interface.to_owned(),
            function: function.to_owned(),
        };
        let ty = self
            .function_item(interface, function)
            .ok_or_else(missing)?;
        let plan = plan_of_link(function, &ty)?;
        let parent = match interface {
            "" => None,
            interface => {
                let index = self.component.get_export_index(None, interface);
                Some(index.ok_or_else(missing)?)
            }
        };
        let index = self.component.get_export_index(parent.as_ref(), function);
        Ok(ExportedFunction {
            index: index.ok_or_else(missing)?,
            result_slots: slots(plan.flat_results),
            plan: Arc::new(plan),
        })
    }

    fn function_item(&self, interface: &str, function: &str) -> Option<ComponentFunc> {
        let engine = self.component.engine();
        let ty = self.component.component_type();
        let item = match interface {
            "" => ty.get_export(engine, function)?.ty,
            interface => match ty.get_export(engine, interface)?.ty {
                ComponentItem::ComponentInstance(instance) => {
                    instance.get_export(engine, function)?.ty
                }
                _ => return None,
            },
        };
        match item {
            ComponentItem::ComponentFunc(function) => Some(function),
            _ => None,
        }
    }
}

/// Returns how many core values a tuple takes, [`HEAP`] standing for all that is too many.
pub(crate) fn slots(flat: u32) -> usize {
    let flat = flat as usize;
    if flat > SLOTS_MAX { HEAP } else { flat }
}

/// Plans a function that passes nothing but values, and streams and futures of them.
///
/// # Errors
/// When it passes anything else.
pub(crate) fn plan_of_link(
    name: &str,
    ty: &ComponentFunc,
) -> Result<FunctionPlan, UnsupportedType> {
    let unsupported = |what| UnsupportedType {
        function: name.to_owned(),
        what,
    };
    let ty = function_type(ty).map_err(unsupported)?;
    let plan = FunctionPlan::compile(&ty).map_err(|error| unsupported(describe(&error)))?;
    if plan.has_resources {
        return Err(unsupported("a resource"));
    }
    Ok(plan)
}

fn describe(error: &PlanError) -> &'static str {
    match error {
        PlanError::TooManyAsyncPaths => "too many streams and futures",
        PlanError::TooManyFlags { .. } => "too many flags",
        PlanError::TooDeep => "a type that is nested too deeply",
        _ => "a type of too many parts",
    }
}
