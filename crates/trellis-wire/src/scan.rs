//! Looks through bytes that just arrived, without a side effect: are they whole, are they right, and
//! what will they cost.
//!
//! Whoever lowers a value into a guest cannot stop half way, so it scans first. A scan takes no
//! memory whatever the bytes say.

use crate::budget::{Budget, Element};
use crate::error::Fault;
use crate::plan::{CaseRange, Op, Plan, PlanId, Scalar, VariantKind};
use crate::reader::Reader;
use crate::{DecodeError, Dialect, Limits};

type Result<T> = std::result::Result<T, DecodeError>;

/// What lowering asks a guest's allocator for, apart from alignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reallocations {
    /// How often.
    pub count: usize,
    /// How many bytes altogether.
    pub bytes: usize,
}

/// What a scan found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A whole value, which is right in every part.
    Complete {
        /// How many bytes it takes; more may follow.
        length: usize,
        /// What it takes in the memory of a guest.
        reallocations: Reallocations,
    },
    /// The beginning of a value.
    NeedMore {
        /// Fewest bytes that are missing.
        missing: usize,
    },
}

/// Scans the start of `bytes` for a value of the type at `id`.
///
/// # Errors
/// When no bytes that follow could make it a value, or when it exceeds `limits`, or will.
pub fn scan(
    plan: &Plan,
    id: PlanId,
    bytes: &[u8],
    dialect: Dialect,
    limits: &Limits,
) -> Result<Scan> {
    let mut scanner = Scanner::new(plan, bytes, dialect, limits);
    // What the value is part of pays for it, as in the decoder.
    match scanner.paid(id) {
        Ok(()) => {
            scanner.budget.wire(&scanner.reader)?;
            Ok(Scan::Complete {
                length: scanner.reader.position(),
                reallocations: scanner.budget.reallocations,
            })
        }
        Err(DecodeError {
            fault: Fault::Truncated { missing },
            ..
        }) => {
            if bytes.len().saturating_add(missing) > limits.wire_bytes_max {
                let max = limits.wire_bytes_max;
                let limit = "wire_bytes_max";
                return Err(scanner.reader.error(Fault::Limit { limit, max }));
            }
            Ok(Scan::NeedMore { missing })
        }
        Err(error) => Err(error),
    }
}

/// Scans a message that is known to be whole, and has nothing after the value.
///
/// # Errors
/// As [`scan`], and when the value is cut short or bytes follow it.
pub fn scan_whole(
    plan: &Plan,
    id: PlanId,
    bytes: &[u8],
    dialect: Dialect,
    limits: &Limits,
) -> Result<Reallocations> {
    let at_end = |fault| DecodeError {
        at: bytes.len(),
        fault,
    };
    match scan(plan, id, bytes, dialect, limits)? {
        Scan::Complete {
            length,
            reallocations,
        } if length == bytes.len() => Ok(reallocations),
        Scan::Complete { length, .. } => Err(DecodeError {
            at: length,
            fault: Fault::Trailing {
                count: bytes.len() - length,
            },
        }),
        Scan::NeedMore { missing } => Err(at_end(Fault::Truncated { missing })),
    }
}

/// A stream or future that will come on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Where it is, from the value that was looked through.
    pub path: Vec<u32>,
    /// Its node.
    pub plan: PlanId,
}

/// Finds what is pending in a value that was scanned before, at most `count_max`.
///
/// # Errors
/// As [`scan`], when the value is cut short, and when more is pending.
pub fn find_pending(
    plan: &Plan,
    id: PlanId,
    bytes: &[u8],
    dialect: Dialect,
    count_max: usize,
) -> Result<Vec<Pending>> {
    let mut scanner = Scanner::new(plan, bytes, dialect, &Limits::default());
    scanner.pending = Some(Vec::new());
    scanner.pending_max = count_max;
    scanner.paid(id)?;
    Ok(scanner.pending.unwrap_or_default())
}

struct Scanner<'a> {
    plan: &'a Plan,
    reader: Reader<'a>,
    dialect: Dialect,
    budget: Budget,
    /// What is pending, where that is asked for.
    pending: Option<Vec<Pending>>,
    pending_max: usize,
    /// Where it is, as far as there are streams or futures below.
    path: Vec<u32>,
}

impl<'a> Scanner<'a> {
    fn new(plan: &'a Plan, bytes: &'a [u8], dialect: Dialect, limits: &Limits) -> Self {
        Self {
            plan,
            reader: Reader::new(bytes),
            dialect,
            budget: Budget::new(limits),
            pending: None,
            pending_max: 0,
            path: Vec::new(),
        }
    }

    fn pending(&mut self, id: PlanId) -> Result<()> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        if pending.len() >= self.pending_max {
            let (limit, max) = ("streams and futures", self.pending_max);
            return Err(self.reader.error(Fault::Limit { limit, max }));
        }
        pending.push(Pending {
            path: self.path.clone(),
            plan: id,
        });
        Ok(())
    }

    /// Scans a part of a value that is one step deeper.
    fn step(&mut self, index: usize, id: PlanId) -> Result<()> {
        if self.pending.is_none() || !self.plan.node(id).has_async {
            return self.paid(id);
        }
        self.path.push(index as u32); // a tuple, list or chunk counts in 32 bits
        self.paid(id)?;
        self.path.pop();
        Ok(())
    }

    fn value(&mut self, id: PlanId) -> Result<()> {
        self.budget.values(&self.reader, 1)?;
        self.paid(id)
    }

    fn paid(&mut self, id: PlanId) -> Result<()> {
        match self.plan.node(id).op {
            Op::Scalar(scalar) => self.scalar(scalar),
            Op::String => {
                let length = self.reader.string()?.len();
                self.budget.memory(&self.reader, length)
            }
            Op::Bytes => self.bytes(),
            Op::ScalarList(scalar) => self.scalars(scalar),
            Op::List { element } => self.list(element),
            Op::Fields(range) => {
                let mut members = self.plan.members(range).iter().enumerate();
                members.try_for_each(|(number, member)| {
                    self.budget.values(&self.reader, 1)?;
                    self.step(number, member.plan)
                })
            }
            Op::Variant { kind, cases, .. } => self.case(kind, cases),
            Op::Enum { cases, .. } => self.reader.case(VariantKind::Variant, cases).map(drop),
            Op::Flags { labels } => self.reader.flags(labels).map(drop),
            // The bytes of a handle go no further than the host; it is an index in the guest.
            Op::Own | Op::Borrow => self.reader.bytes().map(drop),
            Op::Stream { element } => self.stream(id, element),
            Op::Future { payload } => match (self.reader.bool()?, payload) {
                (true, Some(payload)) => self.value(payload),
                (true, None) => Ok(()),
                (false, _) => self.pending(id),
            },
        }
    }

    fn bytes(&mut self) -> Result<()> {
        let length = self.reader.bytes()?.len();
        self.budget.memory(&self.reader, length)
    }

    fn case(&mut self, kind: VariantKind, cases: CaseRange) -> Result<()> {
        let case = self.reader.case(kind, cases.count() as u32)?;
        match self.plan.cases(cases)[case as usize] {
            Some(payload) => self.value(payload),
            None => Ok(()),
        }
    }

    fn scalars(&mut self, scalar: Scalar) -> Result<()> {
        let count = self
            .budget
            .elements(&mut self.reader, Element::of(scalar))?;
        let reader = &mut self.reader;
        match scalar {
            // Any bytes of the right number are right.
            Scalar::U8 | Scalar::S8 => reader.take(count).map(drop),
            Scalar::F32 => reader.take(count * 4).map(drop),
            Scalar::F64 => reader.take(count * 8).map(drop),
            // A loop of its own for each, without a choice for each element.
            Scalar::Bool => repeat(reader, count, Reader::bool),
            Scalar::Char => repeat(reader, count, Reader::char),
            Scalar::U16 => repeat(reader, count, Reader::u16),
            Scalar::S16 => repeat(reader, count, Reader::s16),
            Scalar::U32 => repeat(reader, count, Reader::u32),
            Scalar::S32 => repeat(reader, count, Reader::s32),
            Scalar::U64 => repeat(reader, count, Reader::u64),
            Scalar::S64 => repeat(reader, count, Reader::s64),
        }
    }

    fn list(&mut self, element: PlanId) -> Result<()> {
        let size = Element::from(self.plan.node(element));
        let count = self.budget.elements(&mut self.reader, size)?;
        (0..count).try_for_each(|index| self.step(index, element))
    }

    fn stream(&mut self, id: PlanId, element: Option<PlanId>) -> Result<()> {
        if !self.dialect.read_complete(&mut self.reader)? {
            return self.pending(id);
        }
        let Some(element) = element else {
            return self.reader.u32().map(drop);
        };
        match self.plan.node(element).op {
            Op::Scalar(Scalar::U8) => self.bytes(),
            Op::Scalar(scalar) => self.scalars(scalar),
            _ => self.list(element),
        }
    }

    fn scalar(&mut self, scalar: Scalar) -> Result<()> {
        let reader = &mut self.reader;
        match scalar {
            Scalar::Bool => reader.bool().map(drop),
            Scalar::U8 | Scalar::S8 => reader.u8().map(drop),
            Scalar::U16 => reader.u16().map(drop),
            Scalar::S16 => reader.s16().map(drop),
            Scalar::U32 => reader.u32().map(drop),
            Scalar::S32 => reader.s32().map(drop),
            Scalar::U64 => reader.u64().map(drop),
            Scalar::S64 => reader.s64().map(drop),
            Scalar::F32 => reader.take(4).map(drop),
            Scalar::F64 => reader.take(8).map(drop),
            Scalar::Char => reader.char().map(drop),
        }
    }
}

fn repeat<'a, T>(
    reader: &mut Reader<'a>,
    count: usize,
    read: impl Fn(&mut Reader<'a>) -> Result<T>,
) -> Result<()> {
    (0..count).try_for_each(|_| read(reader).map(drop))
}
