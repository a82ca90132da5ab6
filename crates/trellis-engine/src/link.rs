//! The process tier: a component's import answered by another component on the same host.
//!
//! The callee runs in a store of its own, on the caller's task: no queue and no other thread. Its
//! trap, deadline or refusal reaches the caller with its own class.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use trellis_core::ErrorClass;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{ComponentExportIndex, Linker, LinkerInstance, Type};

use crate::call_error::CallError;
use crate::capability::Capability;
use crate::compile::Compiled;
use crate::component::{ComponentHandle, Generation};
use crate::state::State;

/// A type that cannot cross a link between two components.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{function} passes {what}, which cannot cross a link between components; only values can")]
pub struct UnsupportedType {
    /// The function.
    pub function: String,
    /// What it passes.
    pub what: &'static str,
}

/// The link of one import to another component.
pub struct ProcessLink {
    target: Arc<ComponentHandle>,
    interface: String,
    functions: Vec<String>,
}

impl ProcessLink {
    /// Links the import `import` of `caller` to `target`, which exports it as `interface`.
    ///
    /// # Errors
    /// When a function of the interface passes a resource, a stream or a future.
    pub fn new(
        caller: &Compiled,
        import: &str,
        target: Arc<ComponentHandle>,
        interface: String,
    ) -> Result<Self, UnsupportedType> {
        let engine = caller.component.engine();
        let ty = caller.component.component_type();
        let mut functions = Vec::new();
        if let Some(item) = ty.get_import(engine, import)
            && let ComponentItem::ComponentInstance(instance) = &item.ty
        {
            for (name, item) in instance.exports(engine) {
                match &item.ty {
                    ComponentItem::ComponentFunc(function) => {
                        check_function(name, function)?;
                        functions.push(name.to_owned());
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
        Ok(Self {
            target,
            interface,
            functions,
        })
    }
}

fn check_function(name: &str, function: &ComponentFunc) -> Result<(), UnsupportedType> {
    function
        .params()
        .map(|(_, ty)| ty)
        .chain(function.results())
        .try_for_each(|ty| check_type(&ty))
        .map_err(|what| UnsupportedType {
            function: name.to_owned(),
            what,
        })
}

fn check_type(ty: &Type) -> Result<(), &'static str> {
    match ty {
        Type::Own(_) | Type::Borrow(_) => Err("a resource"),
        Type::Stream(_) => Err("a stream"),
        Type::Future(_) => Err("a future"),
        Type::ErrorContext => Err("an error context"),
        Type::List(list) => check_type(&list.ty()),
        Type::Option(option) => check_type(&option.ty()),
        Type::Record(record) => record.fields().try_for_each(|field| check_type(&field.ty)),
        Type::Tuple(tuple) => tuple.types().try_for_each(|ty| check_type(&ty)),
        Type::Variant(variant) => variant
            .cases()
            .filter_map(|case| case.ty)
            .try_for_each(|ty| check_type(&ty)),
        Type::Result(result) => result
            .ok()
            .into_iter()
            .chain(result.err())
            .try_for_each(|ty| check_type(&ty)),
        _ => Ok(()),
    }
}

impl Capability for ProcessLink {
    fn link(&self, linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
        let mut instance = linker.instance(import)?;
        for name in &self.functions {
            let function = Arc::new(LinkedFunction {
                target: self.target.clone(),
                interface: self.interface.clone(),
                name: name.clone(),
                resolved: ArcSwapOption::empty(),
            });
            define(&mut instance, name, function)?;
        }
        Ok(())
    }
}

fn define(
    instance: &mut LinkerInstance<'_, State>,
    name: &str,
    function: Arc<LinkedFunction>,
) -> wasmtime::Result<()> {
    instance.func_new_async(name, move |_, _, params, results| {
        let function = function.clone();
        Box::new(async move {
            let generation = function.target.require()?;
            let resolved = function.resolve(&generation)?;
            generation
                .call(&resolved.index, params, results)
                .await
                .map_err(wasmtime::Error::from)
        })
    })
}

/// One function of a link, with the export of the generation that it was resolved against last.
struct LinkedFunction {
    target: Arc<ComponentHandle>,
    interface: String,
    name: String,
    resolved: ArcSwapOption<Resolved>,
}

struct Resolved {
    serial: u64,
    index: ComponentExportIndex,
}

impl LinkedFunction {
    /// Finds the function in the generation in force: by number where it has not changed, by name
    /// once after it has.
    fn resolve(&self, generation: &Generation) -> Result<Arc<Resolved>, CallError> {
        if let Some(resolved) = &*self.resolved.load()
            && resolved.serial == generation.serial
        {
            return Ok(resolved.clone());
        }
        let index = generation
            .export_index(&self.interface, &self.name)
            .ok_or_else(|| {
                CallError::new(
                    ErrorClass::Unavailable,
                    format!(
                        "component {} does not export {} of {}",
                        self.target.id(),
                        self.name,
                        self.interface
                    ),
                )
            })?;
        let resolved = Arc::new(Resolved {
            serial: generation.serial,
            index,
        });
        self.resolved.store(Some(resolved.clone()));
        Ok(resolved)
    }
}
