//! Types as `wit-parser` has them, turned into ours.

use std::collections::HashMap;
use std::sync::Arc;

use wit_parser::{Function, Handle, Resolve, TypeDefKind, TypeId};

use crate::plan::NESTING_MAX;
use crate::types::{Case, Field, FunctionType, ResultType, Type};

/// Why a type of WIT cannot cross the wire.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitTypeError {
    /// wRPC has no bytes for it.
    #[error("a {kind} has no encoding in wRPC")]
    Unsupported {
        /// What it is.
        kind: &'static str,
    },
    /// Nested too deeply.
    #[error("the type is nested more than {NESTING_MAX} levels deep")]
    TooDeep,
}

/// Turns types of one `Resolve` into ours; a type that is used twice is turned once and shared.
pub struct WitTypes<'a> {
    resolve: &'a Resolve,
    done: HashMap<TypeId, Type>,
    depth: usize,
}

impl<'a> WitTypes<'a> {
    /// Returns a converter for the types of `resolve`.
    pub fn new(resolve: &'a Resolve) -> Self {
        Self {
            resolve,
            done: HashMap::new(),
            depth: 0,
        }
    }

    /// Returns the type of a function. The handle that a method is called on is its first parameter,
    /// as it is on the wire.
    ///
    /// # Errors
    /// When one of its types cannot cross the wire.
    pub fn function(&mut self, function: &Function) -> Result<FunctionType, WitTypeError> {
        let param = |param: &wit_parser::Param| {
            Ok(Field {
                name: param.name.clone(),
                ty: self.ty(&param.ty)?,
            })
        };
        Ok(FunctionType {
            params: function
                .params
                .iter()
                .map(param)
                .collect::<Result<_, _>>()?,
            result: self.optional(function.result.as_ref())?,
        })
    }

    /// Returns one type.
    ///
    /// # Errors
    /// When it cannot cross the wire.
    pub fn ty(&mut self, ty: &wit_parser::Type) -> Result<Type, WitTypeError> {
        use wit_parser::Type as Wit;
        Ok(match ty {
            Wit::Bool => Type::Bool,
            Wit::U8 => Type::U8,
            Wit::U16 => Type::U16,
            Wit::U32 => Type::U32,
            Wit::U64 => Type::U64,
            Wit::S8 => Type::S8,
            Wit::S16 => Type::S16,
            Wit::S32 => Type::S32,
            Wit::S64 => Type::S64,
            Wit::F32 => Type::F32,
            Wit::F64 => Type::F64,
            Wit::Char => Type::Char,
            Wit::String => Type::String,
            Wit::ErrorContext => {
                return Err(WitTypeError::Unsupported {
                    kind: "error-context",
                });
            }
            Wit::Id(id) => self.defined(*id)?,
        })
    }

    fn defined(&mut self, id: TypeId) -> Result<Type, WitTypeError> {
        if let Some(ty) = self.done.get(&id) {
            return Ok(ty.clone());
        }
        if self.depth >= NESTING_MAX {
            return Err(WitTypeError::TooDeep);
        }
        self.depth += 1;
        let ty = self.define(id)?;
        self.depth -= 1;
        self.done.insert(id, ty.clone());
        Ok(ty)
    }

    fn define(&mut self, id: TypeId) -> Result<Type, WitTypeError> {
        let kind = &self.resolve.types[id].kind;
        Ok(match kind {
            TypeDefKind::Type(ty) => self.ty(ty)?,
            TypeDefKind::List(element) => Type::list(self.ty(element)?),
            TypeDefKind::Option(some) => Type::option(self.ty(some)?),
            TypeDefKind::Result(sides) => Type::Result(Arc::new(ResultType {
                ok: self.optional(sides.ok.as_ref())?,
                err: self.optional(sides.err.as_ref())?,
            })),
            TypeDefKind::Tuple(tuple) => {
                let members = tuple.types.iter().map(|ty| self.ty(ty));
                Type::Tuple(members.collect::<Result<_, _>>()?)
            }
            TypeDefKind::Record(record) => {
                let field = |field: &wit_parser::Field| {
                    Ok(Field {
                        name: field.name.clone(),
                        ty: self.ty(&field.ty)?,
                    })
                };
                Type::Record(record.fields.iter().map(field).collect::<Result<_, _>>()?)
            }
            TypeDefKind::Variant(variant) => {
                let case = |case: &wit_parser::Case| {
                    Ok(Case {
                        name: case.name.clone(),
                        ty: self.optional(case.ty.as_ref())?,
                    })
                };
                Type::Variant(variant.cases.iter().map(case).collect::<Result<_, _>>()?)
            }
            TypeDefKind::Enum(cases) => {
                Type::enumeration(cases.cases.iter().map(|case| case.name.clone()))
            }
            TypeDefKind::Flags(flags) => {
                Type::flags(flags.flags.iter().map(|flag| flag.name.clone()))
            }
            TypeDefKind::Handle(Handle::Own(resource)) => Type::Own(self.name_of(*resource)),
            TypeDefKind::Handle(Handle::Borrow(resource)) => Type::Borrow(self.name_of(*resource)),
            TypeDefKind::Stream(element) => Type::stream(self.optional(element.as_ref())?),
            TypeDefKind::Future(payload) => Type::future(self.optional(payload.as_ref())?),
            // A resource by itself is no type of a value; the rest has no encoding.
            TypeDefKind::Resource
            | TypeDefKind::Map(..)
            | TypeDefKind::FixedLengthList(..)
            | TypeDefKind::Unknown => {
                return Err(WitTypeError::Unsupported {
                    kind: kind.as_str(),
                });
            }
        })
    }

    fn optional(&mut self, ty: Option<&wit_parser::Type>) -> Result<Option<Type>, WitTypeError> {
        ty.map(|ty| self.ty(ty)).transpose()
    }

    fn name_of(&self, resource: TypeId) -> Arc<str> {
        let name = self.resolve.types[resource].name.as_deref();
        Arc::from(name.unwrap_or("resource"))
    }
}
