//! An input taken apart: choices from its front, the rest as what is to be read.

use std::sync::Arc;

use trellis_wire::{Dialect, Limits, Type};

/// Parts of one type, those inside others included. Small types find what large ones would.
const PARTS_MAX: usize = 48;

/// Nesting of one type.
const DEPTH_MAX: usize = 6;

/// The longest piece that an input is cut into, in bytes.
const PIECE_BYTES_MAX: usize = 32;

/// Names of cases; some are words of WAVE too, so that its escapes are used.
const CASES: [&str; 5] = ["some", "nan", "plain", "true-north", "ok"];

/// Takes choices from the front of an input.
pub struct Choices<'a> {
    input: &'a [u8],
    parts_left: usize,
}

impl<'a> Choices<'a> {
    /// Begins at the front of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            parts_left: PARTS_MAX,
        }
    }

    /// Returns what no choice has taken.
    pub fn rest(&self) -> &'a [u8] {
        self.input
    }

    /// Takes a byte; 0 when there is none.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.input.split_first() else {
            return 0;
        };
        self.input = rest;
        *first
    }

    /// Takes the lengths of the pieces for [`pieces`].
    pub fn cuts(&mut self) -> [u8; 3] {
        [self.byte(), self.byte(), self.byte()]
    }

    /// Takes a dialect, and limits that small inputs can reach or the usual ones.
    pub fn dialect_and_limits(&mut self) -> (Dialect, Limits) {
        let byte = self.byte();
        let dialect = if byte & 1 == 0 {
            Dialect::A
        } else {
            Dialect::B
        };
        let small = Limits {
            wire_bytes_max: 256,
            values_max: 64,
            memory_bytes_max: 512,
        };
        let limits = if byte & 2 == 0 {
            Limits::default()
        } else {
            small
        };
        (dialect, limits)
    }

    /// Takes a type: a byte for each kind, and one for the number of its parts.
    pub fn any_type(&mut self, with_channels: bool) -> Type {
        self.nested(with_channels, DEPTH_MAX)
    }

    fn nested(&mut self, with_channels: bool, depth: usize) -> Type {
        let kind = self.byte();
        self.parts_left = self.parts_left.saturating_sub(1);
        let kinds = match (depth == 0 || self.parts_left == 0, with_channels) {
            (true, _) => 15,
            (false, false) => 21,
            (false, true) => 24,
        };
        match kind % kinds {
            13 => Type::enumeration((0..=self.byte() % 40).map(|it| format!("case{it}"))),
            14 => Type::flags((0..=self.byte() % 32).map(|it| format!("label{it}"))),
            15 => Type::list(self.nested(with_channels, depth - 1)),
            16 => Type::option(self.nested(with_channels, depth - 1)),
            17 => {
                let count = 1 + self.byte() % 5;
                Type::tuple((0..count).map(|_| self.nested(with_channels, depth - 1)))
            }
            18 => {
                let count = 1 + self.byte() % 5;
                let field = |it| (format!("field{it}"), self.nested(with_channels, depth - 1));
                Type::record((0..count).map(field))
            }
            19 => {
                let count = 1 + usize::from(self.byte()) % CASES.len();
                let case = |name| (name, self.maybe(with_channels, depth - 1));
                Type::variant(CASES.into_iter().take(count).map(case))
            }
            20 => {
                let ok = self.maybe(with_channels, depth - 1);
                Type::result(ok, self.maybe(with_channels, depth - 1))
            }
            21 => Type::Own(Arc::from("thing")),
            22 => Type::stream(self.maybe(with_channels, depth - 1)),
            23 => Type::future(self.maybe(with_channels, depth - 1)),
            scalar => scalar_type(scalar),
        }
    }

    fn maybe(&mut self, with_channels: bool, depth: usize) -> Option<Type> {
        let exists = self.byte() & 1 == 1;
        exists.then(|| self.nested(with_channels, depth))
    }
}

fn scalar_type(kind: u8) -> Type {
    match kind {
        0 => Type::Bool,
        1 => Type::S8,
        2 => Type::U8,
        3 => Type::S16,
        4 => Type::U16,
        5 => Type::S32,
        6 => Type::U32,
        7 => Type::S64,
        8 => Type::U64,
        9 => Type::F32,
        10 => Type::F64,
        11 => Type::Char,
        _ => Type::String,
    }
}

/// Cuts `bytes` into pieces whose lengths `cuts` chooses, over and over.
pub fn pieces(bytes: &[u8], cuts: [u8; 3]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let mut cuts = cuts.into_iter().cycle();
    std::iter::from_fn(move || {
        let length = 1 + usize::from(cuts.next()?) % PIECE_BYTES_MAX;
        let (piece, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        (!piece.is_empty()).then_some(piece)
    })
}
