//! Streams and futures of a wRPC peer on their channels: the same parts and the same end however the
//! bytes are cut, what was read encodes to the same stream again, and what is pending inside of it is found
//! at the places that its type has.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use trellis_fuzz::{Choices, pieces, within};
use trellis_wire::dialect::{
    ChannelError, FutureDecoder, StreamDecoder, StreamEncoder, StreamPart,
};
use trellis_wire::plan::{Op, PlanId};
use trellis_wire::{
    Dialect, Field, FunctionPlan, FunctionType, Limits, Scan, Type, find_pending, scan,
};

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let (dialect, limits) = choices.dialect_and_limits();
    let (cuts, shape) = (choices.cuts(), choices.byte());
    // With streams and futures inside, or without.
    let content = (shape & 2 == 0).then(|| choices.any_type(shape & 4 != 0));
    let wire = choices.rest();
    within((1 << 20) + 64 * data.len(), || {
        let param = if shape & 1 == 0 {
            Type::stream(content)
        } else {
            Type::future(content)
        };
        let Some((function, place)) = compile(param) else {
            return;
        };
        let channel = Channel {
            function,
            place,
            dialect,
            limits,
        };
        if shape & 1 == 0 {
            let whole = channel.stream([wire]);
            assert_eq!(whole, channel.stream(pieces(wire, cuts)), "in pieces");
            if let Ok(stream) = whole {
                channel.look_inside(&stream.wire);
                let wire = stream.encode();
                assert_eq!(
                    channel.stream([&wire[..]]).as_ref(),
                    Ok(&stream),
                    "encoded again"
                );
            }
        } else {
            let whole = channel.future([wire]);
            assert_eq!(whole, channel.future(pieces(wire, cuts)), "in pieces");
            if let Ok(value) = whole {
                channel.look_inside(&value);
            }
        }
    });
});

fn compile(ty: Type) -> Option<(Arc<FunctionPlan>, PlanId)> {
    let name = "p".to_owned();
    let signature = FunctionType {
        params: vec![Field { name, ty }],
        result: None,
    };
    let function = FunctionPlan::compile(&signature).ok()?;
    let place = function.param_paths.first()?.plan;
    Some((Arc::new(function), place))
}

struct Channel {
    function: Arc<FunctionPlan>,
    place: PlanId,
    dialect: Dialect,
    limits: Limits,
}

/// All parts of a stream joined: where they were cut means nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stream {
    count: u64,
    wire: Vec<u8>,
    is_bytes: bool,
}

/// What went wrong, without the place, which depends on the cuts.
#[derive(Debug, PartialEq, Eq)]
enum Broken {
    Wrong,
    CutShort,
}

impl From<ChannelError> for Broken {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Decode(_) => Self::Wrong,
            ChannelError::CutShort => Self::CutShort,
        }
    }
}

impl Channel {
    fn stream<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Stream, Broken> {
        let mut decoder = StreamDecoder::of(&self.function, self.place, self.dialect, self.limits);
        let mut stream = Stream::default();
        for piece in pieces {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(part) = decoder.next_part()? {
                if !stream.add(part) {
                    break;
                }
            }
        }
        decoder.finish()?;
        Ok(stream)
    }

    fn future<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Bytes, Broken> {
        let mut decoder = FutureDecoder::of(&self.function, self.place, self.dialect, self.limits);
        let mut early = None;
        for piece in pieces {
            decoder.push(Bytes::copy_from_slice(piece));
            early = decoder.ready()?.or(early);
        }
        let value = decoder.finish()?;
        assert!(
            early.is_none_or(|early| early == value),
            "it was ready as another"
        );
        Ok(value)
    }
}

/// Streams and futures that are looked for in one value.
const PENDING_MAX: usize = 64;

impl Channel {
    /// Finds what is pending in values that were read: each at a place of the type, and none twice.
    fn look_inside(&self, mut wire: &[u8]) {
        let plan = &self.function.plan;
        let (Op::Stream { element: id } | Op::Future { payload: id }) = plan.node(self.place).op
        else {
            return;
        };
        let Some(id) = id else { return };
        while !wire.is_empty() {
            let limits = &Limits::default();
            let Ok(Scan::Complete { length, .. }) = scan(plan, id, wire, self.dialect, limits)
            else {
                panic!("a value that was read is no value");
            };
            let (value, rest) = wire.split_at(length);
            if let Ok(pending) = find_pending(plan, id, value, self.dialect, PENDING_MAX) {
                assert!(pending.len() <= PENDING_MAX);
                for (index, it) in pending.iter().enumerate() {
                    let node = plan.node(it.plan);
                    assert!(matches!(node.op, Op::Stream { .. } | Op::Future { .. }));
                    assert!(!pending[..index].contains(it), "{it:?} was found twice");
                }
            }
            wire = rest;
        }
    }
}

impl Stream {
    /// Adds a part; false at the end.
    fn add(&mut self, part: StreamPart) -> bool {
        match part {
            StreamPart::Bytes(bytes) => {
                assert!(!bytes.is_empty(), "an empty part");
                self.is_bytes = true;
                self.count += bytes.len() as u64;
                self.wire.extend_from_slice(&bytes);
            }
            StreamPart::Elements { count, wire } => {
                assert!(count > 0, "an empty part");
                self.count += u64::from(count);
                self.wire.extend_from_slice(&wire);
            }
            StreamPart::Units(count) => self.count += u64::from(count),
            StreamPart::End => return false,
        }
        true
    }

    fn encode(&self) -> Vec<u8> {
        let (mut encoder, mut out) = (StreamEncoder::default(), Vec::new());
        if self.is_bytes {
            encoder.bytes(&self.wire, &mut out);
        } else {
            let mut left = self.count;
            // Only a stream without elements can have more than a chunk can say.
            while left > 0 {
                let now = u32::try_from(left).unwrap_or(u32::MAX);
                encoder.chunk(now, &self.wire, &mut out);
                left -= u64::from(now);
            }
        }
        encoder.end(&mut out);
        out
    }
}
