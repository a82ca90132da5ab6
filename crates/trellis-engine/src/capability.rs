//! What satisfies the imports of a component.

use trellis_core::ErrorClass;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Linker, LinkerInstance, ResourceType};

use crate::call_error::CallError;
use crate::state::State;

/// What satisfies one import of one component: already bound to that component's link and config, so
/// that nothing is looked up by name when the guest calls.
pub trait Capability: Send + Sync + 'static {
    /// Adds the functions of `import`, the exact name of the instance that the component imports (such
    /// as `wasi:keyvalue/store@0.2.0-draft`), to the linker.
    ///
    /// # Errors
    /// When the interface, as the component declares it, cannot be provided.
    fn link(&self, linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()>;
}

/// An import that nothing satisfies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsatisfied {
    /// The exact name of the import.
    pub import: String,
}

/// Interfaces that the engine itself provides to every component. They open nothing: no directory is
/// preopened, every socket address is denied, outgoing HTTP needs a link.
const WASI_PACKAGES: [&str; 7] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Tells whether the engine provides `import` without a link.
pub fn is_wasi(import: &str) -> bool {
    WASI_PACKAGES
        .iter()
        .any(|package| import.starts_with(package))
}

/// Defines every function of an unsatisfied import as one that fails with `text`.
pub(crate) fn define_as_trap(
    linker: &mut Linker<State>,
    engine: &wasmtime::Engine,
    import: &str,
    item: &ComponentItem,
    text: &str,
) -> wasmtime::Result<()> {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            let mut target = linker.instance(import)?;
            for (name, item) in instance.exports(engine) {
                define_item(&mut target, name, &item.ty, text)?;
            }
            Ok(())
        }
        item => define_item(&mut linker.root(), import, item, text),
    }
}

fn define_item(
    target: &mut LinkerInstance<'_, State>,
    name: &str,
    item: &ComponentItem,
    text: &str,
) -> wasmtime::Result<()> {
    let text: std::sync::Arc<str> = text.into();
    let error =
        move || -> wasmtime::Error { CallError::new(ErrorClass::Unavailable, &*text).into() };
    match item {
        ComponentItem::ComponentFunc(function) if function.async_() => {
            target.func_new_concurrent(name, move |_, _, _, _| {
                let error = error();
                Box::pin(async move { Err(error) })
            })
        }
        ComponentItem::ComponentFunc(_) => target.func_new(name, move |_, _, _, _| Err(error())),
        ComponentItem::Resource(_) => {
            target.resource(name, ResourceType::host::<Unsatisfied>(), |_, _| Ok(()))
        }
        _ => Ok(()), // types need no definition; modules and components are refused by the linker
    }
}
