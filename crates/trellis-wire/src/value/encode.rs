//! From values to bytes.

use super::{FutureValue, StreamValue, Value};
use crate::plan::{Op, Plan, PlanId, Scalar};
use crate::{Dialect, EncodeError, write};

type Result<T> = std::result::Result<T, EncodeError>;

/// Appends `value` of the type at `id`. On an error `out` may hold the beginning of it.
///
/// # Errors
/// When the value is not of that type.
pub fn encode(
    plan: &Plan,
    id: PlanId,
    value: &Value,
    dialect: Dialect,
    out: &mut Vec<u8>,
) -> Result<()> {
    Encoder { plan, dialect, out }.value(id, value)
}

/// Appends the members of a tuple.
pub(super) fn tuple(
    plan: &Plan,
    id: PlanId,
    members: &[Value],
    dialect: Dialect,
    out: &mut Vec<u8>,
) -> Result<()> {
    Encoder { plan, dialect, out }.members(id, members)
}

struct Encoder<'a> {
    plan: &'a Plan,
    dialect: Dialect,
    out: &'a mut Vec<u8>,
}

impl Encoder<'_> {
    fn value(&mut self, id: PlanId, value: &Value) -> Result<()> {
        match (self.plan.node(id).op, value) {
            (Op::Scalar(expected), value) => self.scalar(id, expected, value),
            (Op::String, Value::String(text)) => self.bytes(text.as_bytes()),
            (Op::Bytes, Value::Bytes(bytes)) => self.bytes(bytes),
            (Op::ScalarList(expected), Value::List(elements)) => {
                write::unsigned(self.out, count(elements.len())?);
                elements
                    .iter()
                    .try_for_each(|element| self.scalar(id, expected, element))
            }
            (Op::List { element }, Value::List(elements)) => {
                write::unsigned(self.out, count(elements.len())?);
                self.elements(element, elements)
            }
            (Op::Fields(_), Value::Fields(fields)) => self.members(id, fields),
            (Op::Variant { cases, .. }, Value::Case(case, payload)) => {
                let Some(expected) = self.plan.cases(cases).get(*case as usize) else {
                    return Err(self.mismatch(id, value.kind()));
                };
                write::unsigned(self.out, u64::from(*case));
                self.optional(id, *expected, payload.as_deref())
            }
            (Op::Enum { cases, .. }, Value::Enum(case)) if *case < cases => {
                write::unsigned(self.out, u64::from(*case));
                Ok(())
            }
            (Op::Flags { labels }, Value::Flags(bits)) if labels >= 32 || bits >> labels == 0 => {
                write::flags(self.out, labels, *bits);
                Ok(())
            }
            (Op::Own | Op::Borrow, Value::Handle(handle)) => self.bytes(handle),
            (Op::Stream { element }, Value::Stream(value)) => self.stream(id, element, value),
            (Op::Future { payload }, Value::Future(value)) => self.future(id, payload, value),
            (_, value) => Err(self.mismatch(id, value.kind())),
        }
    }

    fn members(&mut self, id: PlanId, values: &[Value]) -> Result<()> {
        let members = match self.plan.node(id).op {
            Op::Fields(range) => self.plan.members(range),
            _ => &[],
        };
        if members.len() != values.len() {
            return Err(self.mismatch(id, "one with another number of members"));
        }
        members
            .iter()
            .zip(values)
            .try_for_each(|(member, value)| self.value(member.plan, value))
    }

    fn elements(&mut self, element: PlanId, elements: &[Value]) -> Result<()> {
        elements
            .iter()
            .try_for_each(|value| self.value(element, value))
    }

    /// Appends the payload of a case or a future, where its type has one.
    fn optional(
        &mut self,
        parent: PlanId,
        payload: Option<PlanId>,
        value: Option<&Value>,
    ) -> Result<()> {
        match (payload, value) {
            (None, None) => Ok(()),
            (Some(payload), Some(value)) => self.value(payload, value),
            (Some(_), None) => Err(self.mismatch(parent, "one without its payload")),
            (None, Some(_)) => Err(self.mismatch(parent, "one with a payload")),
        }
    }

    fn stream(&mut self, id: PlanId, element: Option<PlanId>, value: &StreamValue) -> Result<()> {
        let is_bytes = element.is_some_and(|id| self.plan.node(id).op == Op::Scalar(Scalar::U8));
        match (value, element) {
            (StreamValue::Pending, _) => {
                self.out.push(0);
                Ok(())
            }
            (StreamValue::CompleteUnits(units), None) => self.complete(*units as usize),
            (StreamValue::Complete(elements), Some(element)) => match &**elements {
                Value::Bytes(bytes) if is_bytes => {
                    self.complete(bytes.len())?;
                    self.out.extend_from_slice(bytes);
                    Ok(())
                }
                Value::List(elements) if !is_bytes => {
                    self.complete(elements.len())?;
                    self.elements(element, elements)
                }
                other => Err(self.mismatch(id, other.kind())),
            },
            _ => Err(self.mismatch(id, "a stream of another type")),
        }
    }

    /// Appends the head of a stream that is already complete.
    fn complete(&mut self, elements: usize) -> Result<()> {
        match self.dialect {
            Dialect::A if elements == 0 => return Err(EncodeError::EmptyStream),
            Dialect::A => {}
            Dialect::B => self.out.push(1),
        }
        write::unsigned(self.out, count(elements)?);
        Ok(())
    }

    fn future(&mut self, id: PlanId, payload: Option<PlanId>, value: &FutureValue) -> Result<()> {
        match value {
            FutureValue::Pending => {
                self.out.push(0);
                Ok(())
            }
            FutureValue::Ready(value) => {
                self.out.push(1);
                self.optional(id, payload, value.as_deref())
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        count(bytes.len())?;
        write::bytes(self.out, bytes);
        Ok(())
    }

    fn scalar(&mut self, id: PlanId, expected: Scalar, value: &Value) -> Result<()> {
        let out = &mut *self.out;
        match (expected, value) {
            (Scalar::Bool, Value::Bool(value)) => write::bool(out, *value),
            (Scalar::U8, Value::U8(value)) => out.push(*value),
            (Scalar::S8, Value::S8(value)) => out.push(*value as u8),
            (Scalar::U16, Value::U16(value)) => write::unsigned(out, u64::from(*value)),
            (Scalar::U32, Value::U32(value)) => write::unsigned(out, u64::from(*value)),
            (Scalar::U64, Value::U64(value)) => write::unsigned(out, *value),
            (Scalar::S16, Value::S16(value)) => write::signed(out, i64::from(*value)),
            (Scalar::S32, Value::S32(value)) => write::signed(out, i64::from(*value)),
            (Scalar::S64, Value::S64(value)) => write::signed(out, *value),
            (Scalar::F32, Value::F32(value)) => write::f32(out, *value),
            (Scalar::F64, Value::F64(value)) => write::f64(out, *value),
            (Scalar::Char, Value::Char(value)) => write::char(out, *value),
            (_, value) => return Err(self.mismatch(id, value.kind())),
        }
        Ok(())
    }

    #[cold]
    fn mismatch(&self, id: PlanId, found: &'static str) -> EncodeError {
        EncodeError::Type {
            expected: self.plan.ty(id).to_string(),
            found,
        }
    }
}

fn count(count: usize) -> Result<u64> {
    u32::try_from(count)
        .map(u64::from)
        .map_err(|_| EncodeError::TooLong { count })
}
