//! From the types of wasmtime to those of `trellis-wire`.
//!
//! wasmtime shows a type in two ways: by its public API, to whoever holds a component, and as numbers
//! in a table, to whoever lifts. Both are translated here, side by side.

use std::sync::Arc;

use trellis_wire::plan::NODES_MAX;
use trellis_wire::{Case, Field, FunctionType, Type};
use wasmtime::component::__internal::{ComponentTypes, InterfaceType};
use wasmtime::component::types::{ComponentFunc, Type as PublicType};

/// The name of every resource: wasmtime knows resources by number.
const RESOURCE: &str = "resource";

/// Why a type has no counterpart; the name of what it is.
pub(super) type Unsupported = &'static str;

const TOO_LARGE: Unsupported = "a type of too many parts";
const ERROR_CONTEXT: Unsupported = "an error context";
const MAP: Unsupported = "a map";
const FIXED_LENGTH_LIST: Unsupported = "a list of fixed length";

/// Returns the type of a function that a component imports or exports.
///
/// # Errors
/// The name of a part that the wire has no encoding for.
pub(crate) fn function_type(function: &ComponentFunc) -> Result<FunctionType, Unsupported> {
    let mut translate = Translate { left: NODES_MAX };
    let params = function
        .params()
        .map(|(name, ty)| translate.public(&ty).map(|ty| field(name, ty)))
        .collect::<Result<_, _>>()?;
    let result = function.results().next();
    Ok(FunctionType {
        params,
        result: result.map(|ty| translate.public(&ty)).transpose()?,
    })
}

/// Returns a tuple of wasmtime's table as the parameters of a function without names.
pub(super) fn tuple_type(
    types: &ComponentTypes,
    members: &[InterfaceType],
) -> Result<FunctionType, Unsupported> {
    let mut translate = Translate { left: NODES_MAX };
    let params = members
        .iter()
        .map(|ty| translate.entry(types, *ty).map(|ty| field("", ty)))
        .collect::<Result<_, _>>()?;
    Ok(FunctionType {
        params,
        result: None,
    })
}

/// Returns a type of wasmtime's table.
pub(super) fn value_type(types: &ComponentTypes, ty: InterfaceType) -> Result<Type, Unsupported> {
    Translate { left: NODES_MAX }.entry(types, ty)
}

/// Returns the types of all streams and futures in a type, but for those inside of others, in the order of
/// the channels of its plan. That there is a plan bounds the walk.
pub(super) fn channels(types: &ComponentTypes, ty: InterfaceType) -> Vec<InterfaceType> {
    let mut found = Vec::new();
    let mut pending = vec![ty];
    while let Some(ty) = pending.pop() {
        let first = pending.len();
        match ty {
            InterfaceType::Stream(_) | InterfaceType::Future(_) => found.push(ty),
            InterfaceType::Option(at) => pending.push(types[at].ty),
            InterfaceType::List(at) => pending.push(types[at].element),
            InterfaceType::Tuple(at) => pending.extend(types[at].types.iter().copied()),
            InterfaceType::Record(at) => pending.extend(types[at].fields.iter().map(|it| it.ty)),
            InterfaceType::Variant(at) => {
                pending.extend(types[at].cases.iter().filter_map(|(_, ty)| *ty));
            }
            InterfaceType::Result(at) => {
                pending.extend([types[at].ok, types[at].err].into_iter().flatten());
            }
            _ => {}
        }
        // What comes first is taken first.
        pending[first..].reverse();
    }
    found
}

fn field(name: impl Into<String>, ty: Type) -> Field {
    Field {
        name: name.into(),
        ty,
    }
}

fn case(name: impl Into<String>, ty: Option<Type>) -> Case {
    Case {
        name: name.into(),
        ty,
    }
}

fn resource() -> Arc<str> {
    Arc::from(RESOURCE)
}

/// Translates trees of types. A chain of types that each use the one before twice is small in a
/// component and large as a tree, so parts are counted.
struct Translate {
    left: usize,
}

impl Translate {
    fn count(&mut self) -> Result<(), Unsupported> {
        self.left = self.left.checked_sub(1).ok_or(TOO_LARGE)?;
        Ok(())
    }

    fn public(&mut self, ty: &PublicType) -> Result<Type, Unsupported> {
        self.count()?;
        Ok(match ty {
            PublicType::Bool => Type::Bool,
            PublicType::S8 => Type::S8,
            PublicType::U8 => Type::U8,
            PublicType::S16 => Type::S16,
            PublicType::U16 => Type::U16,
            PublicType::S32 => Type::S32,
            PublicType::U32 => Type::U32,
            PublicType::S64 => Type::S64,
            PublicType::U64 => Type::U64,
            PublicType::Float32 => Type::F32,
            PublicType::Float64 => Type::F64,
            PublicType::Char => Type::Char,
            PublicType::String => Type::String,
            PublicType::List(list) => Type::list(self.public(&list.ty())?),
            PublicType::Option(option) => Type::option(self.public(&option.ty())?),
            PublicType::Tuple(tuple) => Type::Tuple(
                tuple
                    .types()
                    .map(|ty| self.public(&ty))
                    .collect::<Result<_, _>>()?,
            ),
            PublicType::Record(record) => Type::Record(
                record
                    .fields()
                    .map(|it| self.public(&it.ty).map(|ty| field(it.name, ty)))
                    .collect::<Result<_, _>>()?,
            ),
            PublicType::Variant(variant) => Type::Variant(
                variant
                    .cases()
                    .map(|it| self.public_side(it.ty).map(|ty| case(it.name, ty)))
                    .collect::<Result<_, _>>()?,
            ),
            PublicType::Result(result) => Type::result(
                self.public_side(result.ok())?,
                self.public_side(result.err())?,
            ),
            PublicType::Enum(cases) => Type::enumeration(cases.names()),
            PublicType::Flags(labels) => Type::flags(labels.names()),
            PublicType::Own(_) => Type::Own(resource()),
            PublicType::Borrow(_) => Type::Borrow(resource()),
            PublicType::Stream(stream) => Type::stream(self.public_side(stream.ty())?),
            PublicType::Future(future) => Type::future(self.public_side(future.ty())?),
            PublicType::ErrorContext => return Err(ERROR_CONTEXT),
            PublicType::Map(_) => return Err(MAP),
            PublicType::FixedLengthList(_) => return Err(FIXED_LENGTH_LIST),
        })
    }

    fn public_side(&mut self, ty: Option<PublicType>) -> Result<Option<Type>, Unsupported> {
        ty.map(|ty| self.public(&ty)).transpose()
    }

    fn entry(&mut self, types: &ComponentTypes, ty: InterfaceType) -> Result<Type, Unsupported> {
        self.count()?;
        Ok(match ty {
            InterfaceType::Bool => Type::Bool,
            InterfaceType::S8 => Type::S8,
            InterfaceType::U8 => Type::U8,
            InterfaceType::S16 => Type::S16,
            InterfaceType::U16 => Type::U16,
            InterfaceType::S32 => Type::S32,
            InterfaceType::U32 => Type::U32,
            InterfaceType::S64 => Type::S64,
            InterfaceType::U64 => Type::U64,
            InterfaceType::Float32 => Type::F32,
            InterfaceType::Float64 => Type::F64,
            InterfaceType::Char => Type::Char,
            InterfaceType::String => Type::String,
            InterfaceType::List(at) => Type::list(self.entry(types, types[at].element)?),
            InterfaceType::Option(at) => Type::option(self.entry(types, types[at].ty)?),
            InterfaceType::Tuple(at) => Type::Tuple(
                types[at]
                    .types
                    .iter()
                    .map(|ty| self.entry(types, *ty))
                    .collect::<Result<_, _>>()?,
            ),
            InterfaceType::Record(at) => Type::Record(
                types[at]
                    .fields
                    .iter()
                    .map(|it| self.entry(types, it.ty).map(|ty| field(&*it.name, ty)))
                    .collect::<Result<_, _>>()?,
            ),
            InterfaceType::Variant(at) => Type::Variant(
                types[at]
                    .cases
                    .iter()
                    .map(|(name, ty)| self.entry_side(types, *ty).map(|ty| case(&**name, ty)))
                    .collect::<Result<_, _>>()?,
            ),
            InterfaceType::Result(at) => Type::result(
                self.entry_side(types, types[at].ok)?,
                self.entry_side(types, types[at].err)?,
            ),
            InterfaceType::Enum(at) => Type::enumeration(types[at].names.iter().map(|it| &**it)),
            InterfaceType::Flags(at) => Type::flags(types[at].names.iter().map(|it| &**it)),
            InterfaceType::Own(_) => Type::Own(resource()),
            InterfaceType::Borrow(_) => Type::Borrow(resource()),
            InterfaceType::Stream(at) => {
                let payload = types[types[at].ty].payload;
                Type::stream(self.entry_side(types, payload)?)
            }
            InterfaceType::Future(at) => {
                let payload = types[types[at].ty].payload;
                Type::future(self.entry_side(types, payload)?)
            }
            InterfaceType::ErrorContext(_) => return Err(ERROR_CONTEXT),
            InterfaceType::Map(_) => return Err(MAP),
            InterfaceType::FixedLengthList(_) => return Err(FIXED_LENGTH_LIST),
        })
    }

    fn entry_side(
        &mut self,
        types: &ComponentTypes,
        ty: Option<InterfaceType>,
    ) -> Result<Option<Type>, Unsupported> {
        ty.map(|ty| self.entry(types, ty)).transpose()
    }
}
