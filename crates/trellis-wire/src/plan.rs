//! Types compiled into plans: flat arrays of steps that a codec walks without looking at a name.
//!
//! Each [`Node`] knows both of its ends: the bytes on the wire, and the memory or flat slots of the
//! canonical ABI of the component model (32-bit memories). So one plan drives lifting from a guest,
//! lowering into a guest, scanning bytes that just arrived, and the dynamic values of this crate.
//! Names stay in the [`Type`] of a node, for people and for the slow path.

mod abi;
mod compile;
mod paths;

use std::ops::Range;

pub use abi::{Abi, discriminant_bytes};
pub use paths::AsyncPath;

use crate::types::{FunctionType, Type};

/// Nesting of one type. The same as wasmtime's, so that what it accepts can be planned.
pub const NESTING_MAX: usize = 100;
/// Nodes of one plan. The error type of `wasi:http` has about 60; a function that needs thousands was
/// made to exhaust something.
pub const NODES_MAX: usize = 10_000;
/// Streams and futures in the parameters, or in the result, of one function. Each one becomes a
/// subscription of every call, so 64 is already more than a transport should hold.
pub const ASYNC_PATHS_MAX: usize = 64;
/// Labels of one flags type: the component model's own bound.
pub const FLAGS_MAX: usize = 32;

/// Why a type has no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nested too deeply.
    #[error("the type is nested more than {NESTING_MAX} levels deep")]
    TooDeep,
    /// Too many types inside.
    #[error("the type is made of more than {NODES_MAX} types")]
    TooManyNodes,
    /// The memory that a value takes overflows 32 bits.
    #[error("a value of the type does not fit in a 32-bit memory")]
    TooLarge,
    /// More flags than the component model allows.
    #[error("a flags type has {count} labels; the component model allows {FLAGS_MAX}")]
    TooManyFlags {
        /// The labels it has.
        count: usize,
    },
    /// More streams and futures than a call can have.
    #[error("the function passes more than {ASYNC_PATHS_MAX} streams and futures in one direction")]
    TooManyAsyncPaths,
    /// A tuple, record, variant, enum or flags without members, which WIT does not allow.
    #[error("a {kind} has no members")]
    Empty {
        /// What it is.
        kind: &'static str,
    },
}

/// The place of a node in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanId(u32);

/// A place in a plan's table of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberRange {
    start: u32,
    end: u32,
}

/// A place in a plan's table of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaseRange {
    start: u32,
    end: u32,
}

/// A type whose values have a fixed size in memory and no parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// One byte, 0 or 1.
    Bool,
    /// One raw byte.
    U8,
    /// One raw byte, two's complement.
    S8,
    /// Unsigned LEB128.
    U16,
    /// Signed LEB128.
    S16,
    /// Unsigned LEB128.
    U32,
    /// Signed LEB128.
    S32,
    /// Unsigned LEB128.
    U64,
    /// Signed LEB128.
    S64,
    /// Four bytes, little endian.
    F32,
    /// Eight bytes, little endian.
    F64,
    /// The UTF-8 bytes of one character, without a length.
    Char,
}

/// Which of the three types with cases and payloads a [`Op::Variant`] is. Only the wire differs: the
/// case of an option or a result is one byte, that of a variant a LEB128 number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariantKind {
    /// A declared variant.
    Variant,
    /// `option`: case 0 is none, case 1 is some.
    Option,
    /// `result`: case 0 is ok, case 1 is err.
    Result,
}

/// What to do at one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// One scalar.
    Scalar(Scalar),
    /// A LEB128 length in bytes, then UTF-8. In memory: pointer and length.
    String,
    /// `list<u8>`: a LEB128 count, then the bytes as they are in memory.
    Bytes,
    /// A list of any other scalar. (`s8` is raw bytes on both ends too.)
    ScalarList(Scalar),
    /// A list of anything else. The stride in memory is the size of the element.
    List {
        /// The element.
        element: PlanId,
    },
    /// The members of a tuple or record, one after the other.
    Fields(MemberRange),
    /// A case number, then the payload of that case.
    Variant {
        /// Which type it is.
        kind: VariantKind,
        /// The payloads, by case number.
        cases: CaseRange,
        /// Size of the case number in memory: 1, 2 or 4.
        discriminant_bytes: u8,
        /// Offset of the payload in memory.
        payload_offset: u32,
    },
    /// A LEB128 case number and nothing more.
    Enum {
        /// How many cases there are.
        cases: u32,
        /// Size of the case number in memory: 1, 2 or 4.
        discriminant_bytes: u8,
    },
    /// `ceil(labels / 8)` bytes. In memory 1, 2 or 4 bytes, in flat form one `i32`.
    Flags {
        /// How many labels there are, 1 to [`FLAGS_MAX`].
        labels: u8,
    },
    /// An owned handle: an opaque byte string on the wire, an `i32` index in memory.
    Own,
    /// A borrowed handle: as [`Op::Own`].
    Borrow,
    /// A stream: 0, or its elements as the dialect has them; an `i32` index in memory.
    Stream {
        /// The element, where it has one.
        element: Option<PlanId>,
    },
    /// A future: 0, or 1 and the value; an `i32` index in memory.
    Future {
        /// The value, where it has one.
        payload: Option<PlanId>,
    },
}

/// One step of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// What to do.
    pub op: Op,
    /// Size, alignment and flat slots by the canonical ABI.
    pub abi: Abi,
    /// Fewest bytes of a value on the wire; at least 1 for everything but an empty parameter list.
    pub wire_min: u32,
    /// Most bytes of a value on the wire, where there is a bound (no list, string, handle, stream).
    pub wire_max: Option<u32>,
    /// Levels of types below and including this one.
    pub nesting: u16,
    /// Whether a stream or a future is inside.
    pub has_async: bool,
    /// Whether a handle is inside.
    pub has_resources: bool,
}

/// One member of a tuple or record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it is.
    pub plan: PlanId,
    /// Where it begins in memory, from the start of the tuple or record.
    pub offset: u32,
}

/// A set of compiled types.
#[derive(Clone, Debug)]
pub struct Plan {
    nodes: Vec<Node>,
    members: Vec<Member>,
    cases: Vec<Option<PlanId>>,
    /// The type of each node: the side table of names.
    types: Vec<Type>,
}

impl Plan {
    /// Compiles one type.
    ///
    /// # Errors
    /// When the type exceeds a bound of this module, or has a part without members.
    pub fn compile(ty: &Type) -> Result<(Self, PlanId), PlanError> {
        let mut compiler = compile::Compiler::default();
        let id = compiler.add(ty)?;
        Ok((compiler.finish(), id))
    }

    /// Returns the step at `id`.
    ///
    /// # Panics
    /// When `id` is of another plan and out of this one's range.
    #[inline]
    pub fn node(&self, id: PlanId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Returns the type at `id`, with the names that the step does not need.
    pub fn ty(&self, id: PlanId) -> &Type {
        &self.types[id.0 as usize]
    }

    /// Returns the members of [`Op::Fields`].
    #[inline]
    pub fn members(&self, range: MemberRange) -> &[Member] {
        &self.members[range.start as usize..range.end as usize]
    }

    /// Returns where streams and futures are in a value of the type at `id`, not counting those inside of
    /// other streams and futures. The paths begin in the value.
    ///
    /// # Errors
    /// When there are more than [`ASYNC_PATHS_MAX`].
    pub fn channels(&self, id: PlanId) -> Result<Vec<AsyncPath>, PlanError> {
        paths::outermost(self, id)
    }

    /// Returns the payloads of [`Op::Variant`], by case number.
    #[inline]
    pub fn cases(&self, range: CaseRange) -> &[Option<PlanId>] {
        &self.cases[range.start as usize..range.end as usize]
    }
}

/// The plan of one function.
#[derive(Clone, Debug)]
pub struct FunctionPlan {
    /// The arena that the ids below are of.
    pub plan: Plan,
    /// All parameters, as one tuple; [`Op::Fields`] with as many members as there are parameters.
    pub params: PlanId,
    /// The result as a tuple of none or one member.
    pub results: PlanId,
    /// Where streams and futures are in the parameters, outermost first.
    pub param_paths: Vec<AsyncPath>,
    /// Where streams and futures are in the result, outermost first.
    pub result_paths: Vec<AsyncPath>,
    /// Those of `param_paths` that are not inside of another stream or future.
    pub param_channels: Vec<AsyncPath>,
    /// Those of `result_paths` that are not inside of another stream or future.
    pub result_channels: Vec<AsyncPath>,
    /// Flat slots of the parameters, before the spill to memory (above 16).
    pub flat_params: u32,
    /// Flat slots of the result, before the spill to memory (above 1).
    pub flat_results: u32,
    /// Whether a stream or a future is in either direction.
    pub has_async: bool,
    /// Whether a handle is in either direction.
    pub has_resources: bool,
    /// The types as declared, with the names of parameters.
    pub signature: FunctionType,
}

impl FunctionPlan {
    /// Compiles one function.
    ///
    /// # Errors
    /// When a type exceeds a bound of this module, or has a part without members.
    pub fn compile(signature: &FunctionType) -> Result<Self, PlanError> {
        let mut compiler = compile::Compiler::default();
        let params = compiler.add_tuple(signature.params.iter().map(|param| &param.ty))?;
        let results = compiler.add_tuple(signature.result.iter())?;
        let plan = compiler.finish();
        let (params_node, results_node) = (*plan.node(params), *plan.node(results));
        Ok(Self {
            param_paths: paths::of_tuple(&plan, params)?,
            result_paths: paths::of_tuple(&plan, results)?,
            param_channels: plan.channels(params)?,
            result_channels: plan.channels(results)?,
            flat_params: params_node.abi.flat,
            flat_results: results_node.abi.flat,
            has_async: params_node.has_async || results_node.has_async,
            has_resources: params_node.has_resources || results_node.has_resources,
            signature: signature.clone(),
            plan,
            params,
            results,
        })
    }

    /// Fewest bytes of the parameters on the wire.
    pub fn params_wire_min(&self) -> u32 {
        self.plan.node(self.params).wire_min
    }

    /// Fewest bytes of the result on the wire.
    pub fn results_wire_min(&self) -> u32 {
        self.plan.node(self.results).wire_min
    }
}

impl MemberRange {
    /// Returns how many members there are.
    pub fn count(self) -> usize {
        Range::from(self).len()
    }
}

impl CaseRange {
    /// Returns how many cases there are.
    pub fn count(self) -> usize {
        (self.end - self.start) as usize
    }
}

impl From<MemberRange> for Range<u32> {
    fn from(range: MemberRange) -> Self {
        range.start..range.end
    }
}

#[cfg(test)]
mod tests;
