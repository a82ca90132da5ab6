//! From bytes to values.

use super::{FutureValue, StreamValue, Value};
use crate::budget::{Budget, Element};
use crate::plan::{CaseRange, Op, Plan, PlanId, Scalar, VariantKind};
use crate::reader::Reader;
use crate::{DecodeError, Dialect, Limits};

type Result<T> = std::result::Result<T, DecodeError>;

/// Decodes one value of the type at `id` from the start of `bytes`, and returns how many bytes it
/// took.
///
/// # Errors
/// When the bytes do not hold such a value, hold only its beginning, or it exceeds `limits`.
pub fn decode(
    plan: &Plan,
    id: PlanId,
    bytes: &[u8],
    dialect: Dialect,
    limits: &Limits,
) -> Result<(Value, usize)> {
    let mut decoder = Decoder::new(plan, bytes, dialect, limits);
    let value = decoder.paid(id)?;
    decoder.budget.wire(&decoder.reader)?;
    Ok((value, decoder.reader.position()))
}

/// Decodes the members of a tuple, which must be all of `bytes`.
pub(super) fn tuple(
    plan: &Plan,
    id: PlanId,
    bytes: &[u8],
    dialect: Dialect,
    limits: &Limits,
) -> Result<Vec<Value>> {
    let mut decoder = Decoder::new(plan, bytes, dialect, limits);
    let values = decoder.members(id)?;
    decoder.budget.wire(&decoder.reader)?;
    decoder.reader.finish()?;
    Ok(values)
}

struct Decoder<'a> {
    plan: &'a Plan,
    reader: Reader<'a>,
    dialect: Dialect,
    budget: Budget,
}

impl<'a> Decoder<'a> {
    fn new(plan: &'a Plan, bytes: &'a [u8], dialect: Dialect, limits: &Limits) -> Self {
        Self {
            plan,
            reader: Reader::new(bytes),
            dialect,
            budget: Budget::new(limits),
        }
    }

    fn value(&mut self, id: PlanId) -> Result<Value> {
        self.budget.values(&self.reader, 1)?;
        self.paid(id)
    }

    /// Decodes a value that the budget was charged for, as a list does for its elements at once.
    /// Recursion ends: a value is as deep as its type, which was bounded when it was compiled.
    fn paid(&mut self, id: PlanId) -> Result<Value> {
        Ok(match self.plan.node(id).op {
            Op::Scalar(scalar) => self.scalar(scalar)?,
            Op::String => {
                let text = self.reader.string()?;
                self.budget.memory(&self.reader, text.len())?;
                Value::String(text.to_owned())
            }
            Op::Bytes => Value::Bytes(self.bytes()?),
            Op::ScalarList(scalar) => self.scalars(scalar)?,
            Op::List { element } => self.list(element)?,
            Op::Fields(_) => Value::Fields(self.members(id)?),
            Op::Variant { kind, cases, .. } => self.case(kind, cases)?,
            Op::Enum { cases, .. } => Value::Enum(self.reader.case(VariantKind::Variant, cases)?),
            Op::Flags { labels } => Value::Flags(self.reader.flags(labels)?),
            // It is an index in a guest, so its bytes are no memory there.
            Op::Own | Op::Borrow => Value::Handle(self.reader.bytes()?.to_owned()),
            Op::Stream { element } => Value::Stream(self.stream(element)?),
            Op::Future { payload } => Value::Future(self.future(payload)?),
        })
    }

    fn members(&mut self, id: PlanId) -> Result<Vec<Value>> {
        let members = match self.plan.node(id).op {
            Op::Fields(range) => self.plan.members(range),
            _ => &[],
        };
        members
            .iter()
            .map(|member| self.value(member.plan))
            .collect()
    }

    fn bytes(&mut self) -> Result<Vec<u8>> {
        let bytes = self.reader.bytes()?;
        self.budget.memory(&self.reader, bytes.len())?;
        Ok(bytes.to_owned())
    }

    fn case(&mut self, kind: VariantKind, cases: CaseRange) -> Result<Value> {
        let case = self.reader.case(kind, cases.count() as u32)?;
        let payload = self.plan.cases(cases)[case as usize];
        let payload = payload.map(|payload| self.value(payload)).transpose()?;
        Ok(Value::Case(case, payload.map(Box::new)))
    }

    fn scalars(&mut self, scalar: Scalar) -> Result<Value> {
        let count = self
            .budget
            .elements(&mut self.reader, Element::of(scalar))?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(self.scalar(scalar)?);
        }
        Ok(Value::List(elements))
    }

    fn list(&mut self, element: PlanId) -> Result<Value> {
        let size = Element::from(self.plan.node(element));
        let count = self.budget.elements(&mut self.reader, size)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(self.paid(element)?);
        }
        Ok(Value::List(elements))
    }

    fn stream(&mut self, element: Option<PlanId>) -> Result<StreamValue> {
        if !self.dialect.read_complete(&mut self.reader)? {
            return Ok(StreamValue::Pending);
        }
        let Some(element) = element else {
            return Ok(StreamValue::CompleteUnits(self.reader.u32()?));
        };
        let elements = match self.plan.node(element).op {
            Op::Scalar(Scalar::U8) => Value::Bytes(self.bytes()?),
            _ => self.list(element)?,
        };
        Ok(StreamValue::Complete(Box::new(elements)))
    }

    fn future(&mut self, payload: Option<PlanId>) -> Result<FutureValue> {
        if !self.reader.bool()? {
            return Ok(FutureValue::Pending);
        }
        let payload = payload.map(|payload| self.value(payload)).transpose()?;
        Ok(FutureValue::Ready(payload.map(Box::new)))
    }

    fn scalar(&mut self, scalar: Scalar) -> Result<Value> {
        let reader = &mut self.reader;
        Ok(match scalar {
            Scalar::Bool => Value::Bool(reader.bool()?),
            Scalar::U8 => Value::U8(reader.u8()?),
            Scalar::S8 => Value::S8(reader.s8()?),
            Scalar::U16 => Value::U16(reader.u16()?),
            Scalar::S16 => Value::S16(reader.s16()?),
            Scalar::U32 => Value::U32(reader.u32()?),
            Scalar::S32 => Value::S32(reader.s32()?),
            Scalar::U64 => Value::U64(reader.u64()?),
            Scalar::S64 => Value::S64(reader.s64()?),
            Scalar::F32 => Value::F32(reader.f32()?),
            Scalar::F64 => Value::F64(reader.f64()?),
            Scalar::Char => Value::Char(reader.char()?),
        })
    }
}
