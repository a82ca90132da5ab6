//! A stream or future on its way to elsewhere, as a transport sees it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::codec::Kind;
use super::pipe::PipeReader;
use crate::call_error::CallError;

/// A stream or future that a guest of this host writes for somebody elsewhere. Dropping it tells the
/// guest that nobody reads it any more.
pub struct Outbound {
    pub(crate) path: Vec<u32>,
    pub(crate) pipe: PipeReader,
    pub(crate) kind: Kind,
    pub(crate) is_over: bool,
}

impl Outbound {
    /// Returns its place in the parameters or the result, as wRPC counts.
    pub fn path(&self) -> &[u32] {
        &self.path
    }

    /// Waits for the next bytes of its channel, the mark of its end included. Nothing says that it is
    /// complete.
    ///
    /// # Errors
    /// Why it stays incomplete: what became of the guest that writes it.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CallError>> {
        if self.is_over {
            return Poll::Ready(Ok(None));
        }
        self.pipe.poll_next(context).map_ok(|piece| match piece {
            Some(piece) => Some(self.kind.encode(piece)),
            None => {
                self.is_over = true;
                Some(self.kind.end()).filter(|end| !end.is_empty())
            }
        })
    }

    /// Tells the guest that what it writes does not arrive. It fails with this error when it writes on.
    pub fn fail(self, error: CallError) {
        self.pipe.fail(error);
    }
}
