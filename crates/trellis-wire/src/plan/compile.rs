//! From a tree of types to a plan.

use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;

use super::abi::{Abi, Layout, discriminant_bytes, of_variant};
use super::{
    CaseRange, FLAGS_MAX, Member, MemberRange, NESTING_MAX, NODES_MAX, Node, Op, Plan, PlanError,
    PlanId, Scalar, VariantKind,
};
use crate::types::Type;

/// Builds one plan.
#[derive(Default)]
pub(super) struct Compiler {
    nodes: Vec<Node>,
    members: Vec<Member>,
    cases: Vec<Option<PlanId>>,
    types: Vec<Type>,
    /// What was compiled before, by what the type is and where its parts are. A type that is used
    /// twice is planned once, so a doubling chain of types costs its length and not its expansion.
    done: HashMap<Key, PlanId>,
    depth: usize,
}

/// Types with shared parts are the same when they are the same kind of the same allocation. `types`
/// keeps every allocation alive, so that none is reused while the compiler works.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    kind: std::mem::Discriminant<Type>,
    parts: *const (),
}

/// What the parts of a type add up to.
#[derive(Clone, Copy)]
struct Sum {
    wire_min: u32,
    wire_max: Option<u32>,
    nesting: u16,
    has_async: bool,
    has_resources: bool,
}

impl Sum {
    const NOTHING: Self = Self::bytes(0, Some(0));
    /// A byte string, or a list.
    const LENGTH: Self = Self::bytes(1, None);

    const fn bytes(wire_min: u32, wire_max: Option<u32>) -> Self {
        Self {
            wire_min,
            wire_max,
            nesting: 0,
            has_async: false,
            has_resources: false,
        }
    }

    fn of(node: &Node) -> Self {
        Self {
            wire_min: node.wire_min,
            wire_max: node.wire_max,
            nesting: node.nesting,
            has_async: node.has_async,
            has_resources: node.has_resources,
        }
    }

    /// One after the other.
    fn then(self, other: Self) -> Self {
        Self {
            wire_min: self.wire_min.saturating_add(other.wire_min),
            wire_max: self
                .wire_max
                .zip(other.wire_max)
                .and_then(|(a, b)| a.checked_add(b)),
            ..self.with_marks_of(other)
        }
    }

    /// One of the two.
    fn or(self, other: Self) -> Self {
        Self {
            wire_min: self.wire_min.min(other.wire_min),
            wire_max: self.wire_max.zip(other.wire_max).map(|(a, b)| a.max(b)),
            ..self.with_marks_of(other)
        }
    }

    /// Holds the other somewhere, without adding to the least size.
    fn with_marks_of(self, other: Self) -> Self {
        Self {
            nesting: self.nesting.max(other.nesting),
            has_async: self.has_async || other.has_async,
            has_resources: self.has_resources || other.has_resources,
            ..self
        }
    }
}

impl Compiler {
    pub(super) fn finish(self) -> Plan {
        Plan {
            nodes: self.nodes,
            members: self.members,
            cases: self.cases,
            types: self.types,
        }
    }

    /// Adds a type and returns its node.
    pub(super) fn add(&mut self, ty: &Type) -> Result<PlanId, PlanError> {
        let key = Key {
            kind: std::mem::discriminant(ty),
            parts: parts_of(ty),
        };
        if let Some(id) = self.done.get(&key) {
            return Ok(*id);
        }
        if self.depth >= NESTING_MAX {
            return Err(PlanError::TooDeep);
        }
        self.depth += 1;
        let id = self.add_new(ty)?;
        self.depth -= 1;
        self.done.insert(key, id);
        Ok(id)
    }

    /// Adds a tuple that may be empty: the parameters or the results of a function.
    pub(super) fn add_tuple<'a>(
        &mut self,
        members: impl Iterator<Item = &'a Type> + Clone,
    ) -> Result<PlanId, PlanError> {
        let ty = Type::tuple(members.clone().cloned());
        self.add_fields(members, ty)
    }

    fn add_new(&mut self, ty: &Type) -> Result<PlanId, PlanError> {
        let node = match ty {
            Type::Tuple(members) => {
                not_empty(members, "tuple")?;
                return self.add_fields(members.iter(), ty.clone());
            }
            Type::Record(fields) => {
                not_empty(fields, "record")?;
                return self.add_fields(fields.iter().map(|field| &field.ty), ty.clone());
            }
            Type::Variant(cases) => {
                not_empty(cases, "variant")?;
                let payloads = cases.iter().map(|case| case.ty.as_ref());
                return self.add_variant(VariantKind::Variant, payloads, ty);
            }
            Type::Option(some) => {
                return self.add_variant(
                    VariantKind::Option,
                    [None, Some(&**some)].into_iter(),
                    ty,
                );
            }
            Type::Result(sides) => {
                let payloads = [sides.ok.as_ref(), sides.err.as_ref()];
                return self.add_variant(VariantKind::Result, payloads.into_iter(), ty);
            }
            Type::String => (Op::String, Abi::POINTER_AND_LENGTH, Sum::LENGTH),
            Type::List(element) => self.list(element)?,
            Type::Enum(cases) => enumeration(cases)?,
            Type::Flags(labels) => flags(labels)?,
            Type::Own(_) => (
                Op::Own,
                Abi::INDEX,
                Sum {
                    has_resources: true,
                    ..Sum::LENGTH
                },
            ),
            Type::Borrow(_) => (
                Op::Borrow,
                Abi::INDEX,
                Sum {
                    has_resources: true,
                    ..Sum::LENGTH
                },
            ),
            Type::Stream(element) => {
                let (element, sum) = self.asynchronous(element.as_deref())?;
                (Op::Stream { element }, Abi::INDEX, sum)
            }
            Type::Future(payload) => {
                let (payload, sum) = self.asynchronous(payload.as_deref())?;
                (Op::Future { payload }, Abi::INDEX, sum)
            }
            scalar => scalar_node(scalar),
        };
        self.push(node.0, node.1, node.2, ty.clone())
    }

    fn push(&mut self, op: Op, abi: Abi, sum: Sum, ty: Type) -> Result<PlanId, PlanError> {
        // Members and cases count too: they are what a wide type spends.
        if self.nodes.len() + self.members.len() + self.cases.len() >= NODES_MAX {
            return Err(PlanError::TooManyNodes);
        }
        let id = PlanId(self.nodes.len() as u32);
        self.nodes.push(Node {
            op,
            abi,
            wire_min: sum.wire_min,
            wire_max: sum.wire_max,
            nesting: sum.nesting + 1,
            has_async: sum.has_async,
            has_resources: sum.has_resources,
        });
        self.types.push(ty);
        Ok(id)
    }

    fn add_fields<'a>(
        &mut self,
        fields: impl Iterator<Item = &'a Type>,
        ty: Type,
    ) -> Result<PlanId, PlanError> {
        let mut layout = Layout::new();
        let mut sum = Sum::NOTHING;
        let mut members = Vec::new();
        for field in fields {
            let plan = self.add(field)?;
            let node = &self.nodes[plan.0 as usize];
            let offset = layout.push(node.abi)?;
            sum = sum.then(Sum::of(node));
            members.push(Member { plan, offset });
            self.check_width(members.len())?;
        }
        // The members of inner types lie before ours, so a range is in one piece.
        let start = self.members.len() as u32;
        self.members.append(&mut members);
        let range = MemberRange {
            start,
            end: self.members.len() as u32,
        };
        self.push(Op::Fields(range), layout.finish()?, sum, ty)
    }

    fn add_variant<'a>(
        &mut self,
        kind: VariantKind,
        payloads: impl Iterator<Item = Option<&'a Type>>,
        ty: &Type,
    ) -> Result<PlanId, PlanError> {
        let mut cases = Vec::new();
        for payload in payloads {
            cases.push(payload.map(|payload| self.add(payload)).transpose()?);
            self.check_width(cases.len())?;
        }
        let count = cases.len() as u32;
        let (mut abis, mut sum) = (Vec::with_capacity(cases.len()), None::<Sum>);
        for case in &cases {
            let node = case.map(|id| &self.nodes[id.0 as usize]);
            abis.extend(node.map(|node| node.abi));
            let one = node.map_or(Sum::NOTHING, Sum::of);
            sum = Some(sum.map_or(one, |sum| sum.or(one)));
        }
        let number = case_number(count);
        let sum = number.then(sum.unwrap_or(Sum::NOTHING));
        let discriminant_bytes = discriminant_bytes(count);
        let (abi, payload_offset) = of_variant(discriminant_bytes, abis.into_iter())?;
        let start = self.cases.len() as u32;
        self.cases.append(&mut cases);
        let op = Op::Variant {
            kind,
            cases: CaseRange {
                start,
                end: self.cases.len() as u32,
            },
            discriminant_bytes,
            payload_offset,
        };
        self.push(op, abi, sum, ty.clone())
    }

    /// Stops a wide type before its table is built.
    fn check_width(&self, count: usize) -> Result<(), PlanError> {
        if count > NODES_MAX {
            return Err(PlanError::TooManyNodes);
        }
        Ok(())
    }

    fn list(&mut self, element: &Type) -> Result<(Op, Abi, Sum), PlanError> {
        let element = self.add(element)?;
        let node = &self.nodes[element.0 as usize];
        let op = match node.op {
            Op::Scalar(Scalar::U8) => Op::Bytes,
            Op::Scalar(scalar) => Op::ScalarList(scalar),
            _ => Op::List { element },
        };
        let sum = Sum::LENGTH.with_marks_of(Sum::of(node));
        Ok((op, Abi::POINTER_AND_LENGTH, sum))
    }

    fn asynchronous(&mut self, inner: Option<&Type>) -> Result<(Option<PlanId>, Sum), PlanError> {
        let inner = inner.map(|inner| self.add(inner)).transpose()?;
        let mut sum = Sum {
            has_async: true,
            ..Sum::LENGTH
        };
        if let Some(id) = inner {
            sum = sum.with_marks_of(Sum::of(&self.nodes[id.0 as usize]));
        }
        Ok((inner, sum))
    }
}

/// The bytes of a case number on the wire: LEB128 of at least one byte.
fn case_number(count: u32) -> Sum {
    Sum::bytes(1, Some(if count <= 2 { 1 } else { 5 }))
}

fn enumeration(cases: &Arc<[String]>) -> Result<(Op, Abi, Sum), PlanError> {
    not_empty(cases, "enum")?;
    if cases.len() > NODES_MAX {
        return Err(PlanError::TooManyNodes);
    }
    let cases = cases.len() as u32;
    let discriminant_bytes = discriminant_bytes(cases);
    let (abi, _) = of_variant(discriminant_bytes, std::iter::empty())?;
    let op = Op::Enum {
        cases,
        discriminant_bytes,
    };
    Ok((op, abi, Sum::bytes(1, Some(5))))
}

fn flags(labels: &Arc<[String]>) -> Result<(Op, Abi, Sum), PlanError> {
    not_empty(labels, "flags type")?;
    let count = labels.len();
    if count > FLAGS_MAX {
        return Err(PlanError::TooManyFlags { count });
    }
    let labels = count as u8;
    let bytes = u32::from(labels.div_ceil(8));
    Ok((
        Op::Flags { labels },
        Abi::of_flags(labels),
        Sum::bytes(bytes, Some(bytes)),
    ))
}

fn not_empty<T>(parts: &[T], kind: &'static str) -> Result<(), PlanError> {
    if parts.is_empty() {
        return Err(PlanError::Empty { kind });
    }
    Ok(())
}

/// The node of a type without parts. The longest LEB128 of a number has ceil(bits / 7) bytes.
fn scalar_node(ty: &Type) -> (Op, Abi, Sum) {
    let (scalar, min, max) = match ty {
        Type::Bool => (Scalar::Bool, 1, 1),
        Type::S8 => (Scalar::S8, 1, 1),
        Type::S16 => (Scalar::S16, 1, 3),
        Type::U16 => (Scalar::U16, 1, 3),
        Type::S32 => (Scalar::S32, 1, 5),
        Type::U32 => (Scalar::U32, 1, 5),
        Type::S64 => (Scalar::S64, 1, 10),
        Type::U64 => (Scalar::U64, 1, 10),
        Type::F32 => (Scalar::F32, 4, 4),
        Type::F64 => (Scalar::F64, 8, 8),
        Type::Char => (Scalar::Char, 1, 4),
        // Every type with parts was taken before; what is left is `u8`.
        _ => (Scalar::U8, 1, 1),
    };
    (
        Op::Scalar(scalar),
        Abi::of_scalar(scalar),
        Sum::bytes(min, Some(max)),
    )
}

/// Where the parts of a type are; null for a type without parts.
fn parts_of(ty: &Type) -> *const () {
    match ty {
        Type::List(inner) | Type::Option(inner) => Arc::as_ptr(inner).cast(),
        Type::Tuple(parts) => Arc::as_ptr(parts).cast(),
        Type::Record(parts) => Arc::as_ptr(parts).cast(),
        Type::Variant(parts) => Arc::as_ptr(parts).cast(),
        Type::Enum(names) | Type::Flags(names) => Arc::as_ptr(names).cast(),
        Type::Result(sides) => Arc::as_ptr(sides).cast(),
        Type::Own(name) | Type::Borrow(name) => Arc::as_ptr(name).cast(),
        Type::Stream(Some(inner)) | Type::Future(Some(inner)) => Arc::as_ptr(inner).cast(),
        _ => ptr::null(),
    }
}
