//! The gateway's strict reading of HTTP/1 framing: the same verdict however the bytes arrive.
//!
//! Compiled in as a file, because nothing outside of the gateway has a use for it.
#![no_main]

use std::mem::discriminant;

use libfuzzer_sys::fuzz_target;
use trellis_fuzz::{Choices, pieces, within};

#[allow(dead_code)]
#[path = "../../../crates/trellis-gateway/src/framing.rs"]
mod framing;

use framing::{Framing, Verdict};

/// So short that inputs of a fuzzer reach it.
const TARGET_BYTES_MAX: usize = 64;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let cuts = choices.cuts();
    let input = choices.rest();
    within((1 << 16) + 8 * data.len(), || {
        let whole = scan([input]);
        for parts in [scan(pieces(input, cuts)), scan(input.chunks(1))] {
            assert_eq!(discriminant(&parts.verdict), discriminant(&whole.verdict));
            assert_eq!(parts.heads, whole.heads);
            if whole.verdict == Verdict::Pass {
                assert_eq!(parts.between_messages, whole.between_messages);
            }
        }
    });
});

struct Scanned {
    verdict: Verdict,
    heads: u64,
    between_messages: bool,
}

fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Scanned {
    let mut framing = Framing::new(TARGET_BYTES_MAX);
    let mut verdict = Verdict::Pass;
    for piece in pieces {
        verdict = framing.scan(piece);
        match verdict {
            Verdict::Pass => continue,
            Verdict::BadHead(at) | Verdict::LongTarget(at) | Verdict::BadBody(at) => {
                assert!(at < piece.len(), "{verdict:?} of {} bytes", piece.len());
            }
        }
        break;
    }
    assert!(!(framing.is_between_messages() && framing.is_in_head()));
    Scanned {
        verdict,
        heads: framing.heads(),
        between_messages: framing.is_between_messages(),
    }
}
