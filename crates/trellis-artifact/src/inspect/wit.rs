//! Writes the world of a component as WIT, and lists its imports and exports.

use trellis_core::WitInterface;
use wit_component::WitPrinter;
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{
    Function as WitFunction, FunctionKind, Resolve, TypeDefKind, TypeId, WorldId, WorldItem,
    WorldKey,
};

use super::{Function, InspectError, Item};

/// The part of an inspection that comes from the types of a component.
pub(super) struct Described {
    pub(super) is_async: bool,
    pub(super) imports: Vec<Item>,
    pub(super) exports: Vec<Item>,
    pub(super) world: String,
    pub(super) wit: String,
}

/// Describes the valid component in `bytes`.
pub(super) fn describe(bytes: &[u8]) -> Result<Described, InspectError> {
    let (resolve, world_id) = match decode(bytes).map_err(undecodable)? {
        DecodedWasm::Component(resolve, world) => (resolve, world),
        DecodedWasm::WitPackage(..) => return Err(InspectError::WitPackage),
    };
    let world = &resolve.worlds[world_id];
    let items = world.imports.values().chain(world.exports.values());
    Ok(Described {
        is_async: items
            .flat_map(|item| functions_of(&resolve, item))
            .any(|function| function.kind.is_async()),
        imports: list(&resolve, world.imports.iter())?,
        exports: list(&resolve, world.exports.iter())?,
        world: print(&resolve, world_id, false)?,
        wit: print(&resolve, world_id, true)?,
    })
}

fn undecodable(error: impl std::fmt::Display) -> InspectError {
    InspectError::Undecodable {
        message: format!("{error:#}"),
    }
}

fn print(resolve: &Resolve, world: WorldId, whole: bool) -> Result<String, InspectError> {
    let package = resolve.worlds[world]
        .package
        .ok_or_else(|| undecodable("the world has no package"))?;
    let mut printer = WitPrinter::default();
    printer.print(resolve, package, &[]).map_err(undecodable)?;
    let mut text = printer.output.to_string();
    let others = resolve.packages.iter().map(|(id, _)| id);
    for other in others.filter(|id| whole && *id != package) {
        let mut printer = WitPrinter::default();
        printer
            .print_package(resolve, other, false)
            .map_err(undecodable)?;
        text.push('\n');
        text.push_str(printer.output.to_string().trim());
        text.push('\n');
    }
    Ok(text)
}

fn list<'a>(
    resolve: &Resolve,
    items: impl Iterator<Item = (&'a WorldKey, &'a WorldItem)>,
) -> Result<Vec<Item>, InspectError> {
    items
        .filter(|(_, item)| is_listed(resolve, item))
        .map(|(key, item)| {
            let name = resolve.name_world_key(key);
            let functions = functions_of(resolve, item)
                .map(|function| describe_function(resolve, function))
                .collect::<Result<_, _>>()?;
            let interface = name.parse::<WitInterface>().ok();
            Ok(Item {
                name,
                interface,
                functions,
            })
        })
        .collect()
}

/// Tells whether a host has to provide `item`: a type is only a name for something, unless it is a
/// resource.
fn is_listed(resolve: &Resolve, item: &WorldItem) -> bool {
    match item {
        WorldItem::Interface { .. } | WorldItem::Function(_) => true,
        WorldItem::Type { id, .. } => matches!(resolve.types[*id].kind, TypeDefKind::Resource),
    }
}

fn functions_of<'a>(
    resolve: &'a Resolve,
    item: &'a WorldItem,
) -> Box<dyn Iterator<Item = &'a WitFunction> + 'a> {
    match item {
        WorldItem::Interface { id, .. } => Box::new(resolve.interfaces[*id].functions.values()),
        WorldItem::Function(function) => Box::new(std::iter::once(function)),
        WorldItem::Type { .. } => Box::new(std::iter::empty()),
    }
}

fn describe_function(resolve: &Resolve, function: &WitFunction) -> Result<Function, InspectError> {
    let (prefix, resource) = match function.kind {
        FunctionKind::Freestanding => ("func", None),
        FunctionKind::AsyncFreestanding => ("async func", None),
        FunctionKind::Method(it) => ("func", Some(it)),
        FunctionKind::AsyncMethod(it) => ("async func", Some(it)),
        FunctionKind::Static(it) => ("static func", Some(it)),
        FunctionKind::AsyncStatic(it) => ("static async func", Some(it)),
        FunctionKind::Constructor(it) => ("constructor", Some(it)),
    };
    // The first parameter of a method is the resource itself; WIT leaves it out.
    let is_method = matches!(
        function.kind,
        FunctionKind::Method(_) | FunctionKind::AsyncMethod(_)
    );
    let mut printer = WitPrinter::default();
    let mut parameters = Vec::new();
    for parameter in function.params.iter().skip(usize::from(is_method)) {
        printer
            .print_type_name(resolve, &parameter.ty)
            .map_err(undecodable)?;
        let text = std::mem::take(&mut printer.output).to_string();
        parameters.push(format!("{}: {text}", parameter.name));
    }
    let mut signature = format!("{prefix}({})", parameters.join(", "));
    if let (Some(result), false) = (&function.result, function.is_constructor_shorthand(resolve)) {
        printer
            .print_type_name(resolve, result)
            .map_err(undecodable)?;
        signature.push_str(" -> ");
        signature.push_str(&printer.output.to_string());
    }
    Ok(Function {
        name: name_of(resolve, function, resource),
        signature,
    })
}

fn name_of(resolve: &Resolve, function: &WitFunction, resource: Option<TypeId>) -> String {
    match resource.and_then(|id| resolve.types[id].name.as_deref()) {
        Some(resource) => format!("{resource}.{}", function.item_name()),
        None => function.item_name().to_owned(),
    }
}
