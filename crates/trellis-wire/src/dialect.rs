//! The two dialects of wRPC, which differ in how a stream that is already complete is written.
//!
//! | a stream of 2 bytes, 7 and 8 | A | B |
//! |---|---|---|
//! | pending | `00` | `00` |
//! | complete | `02 07 08` | `01 02 07 08` |
//! | complete and empty | cannot be said | `01 00` |
//!
//! What follows a pending stream on its channel is the same in both: chunks, each a list, and an
//! empty list at the end. Chunks may be cut and joined anywhere on the way.
//!
//! Peers of the 1.x line have faults that nothing here can mend, so an interface for them avoids the
//! values: they refuse the right bytes of an `s16` below -8,192, an `s32` below -2^27 and an `s64`
//! below -2^62, they write flags of 17 to 24 labels with one byte too many, and they cannot receive a
//! stream or future inside a list or a stream. They send any NaN, and may end a stream twice; both
//! are taken.

mod future;
mod stream;

pub use future::FutureDecoder;
pub use stream::{StreamDecoder, StreamEncoder, StreamPart};

use bytes::{Bytes, BytesMut};

use crate::error::DecodeError;
use crate::reader::Reader;

/// Which wRPC a peer speaks. Both call themselves version 0, so it follows from the transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Everything on NATS (`wrpc.0.0.1`), and so every wasmCloud 1.x peer.
    #[default]
    A,
    /// The byte-stream transports of upstream wRPC 0.30 and later.
    B,
}

/// Why a channel does not hold a stream or a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The bytes are wrong.
    #[error("a stream or future cannot be read")]
    Decode(#[from] DecodeError),
    /// The channel was closed before the end, so the sender failed or something was lost.
    #[error("the channel was closed before the end of its stream or future")]
    CutShort,
}

impl Dialect {
    /// Reads the beginning of a stream: true when all its elements follow at once as a list, false
    /// when they will come on a channel.
    ///
    /// # Errors
    /// When it is neither.
    pub fn read_complete(self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match self {
            Self::B => reader.bool(),
            Self::A => {
                let mut ahead = *reader;
                let complete = ahead.u32()? != 0;
                if !complete {
                    *reader = ahead;
                }
                Ok(complete)
            }
        }
    }
}

/// Adds what arrived to what was left of before.
fn join(unread: &mut Bytes, arrived: Bytes) {
    if unread.is_empty() {
        *unread = arrived;
    } else {
        // A rest that is ours alone grows in place, by doubling.
        let mut joined = BytesMut::from(std::mem::take(unread));
        joined.extend_from_slice(&arrived);
        *unread = joined.freeze();
    }
}
