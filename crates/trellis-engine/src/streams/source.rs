//! Where what a guest reads comes from: a pipe of this host, a channel of a transport, or a value.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::AbortHandle;

use super::codec::Decoder;
use super::origin::{Origin, Rest};
use super::pipe::{Piece, PipeReader};
use crate::call_error::CallError;

/// The bytes of one stream or future from elsewhere, in order and without holes. Dropping it tells the
/// other end to stop.
pub trait ChannelSource: Send + 'static {
    /// Waits for the next bytes, cut anywhere. Nothing says that the channel is complete.
    ///
    /// # Errors
    /// Whatever keeps it from being complete.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CallError>>;
}

/// The streams and futures that come with a call from elsewhere, or with its result.
pub trait Inbound: Send + Sync + 'static {
    /// Opens the stream or future at `path`, as wRPC counts.
    fn open(&self, path: &[u32]) -> Box<dyn ChannelSource>;
}

/// A call on this host that goes on after its result, because its instance still writes streams. It
/// ends when its caller is gone.
pub(crate) struct CalleeTask(pub(crate) AbortHandle);

/// Where one stream or future comes from.
pub(crate) enum Source {
    /// A guest of this host, and what it runs in.
    Pipe(PipeReader, Option<Arc<CalleeTask>>),
    /// Elsewhere.
    Channel(Box<Channel>),
    /// The value itself, and where what is inside of it comes from.
    Whole(Option<Piece>, Origin),
}

/// A channel with its decoder.
pub(crate) struct Channel {
    /// None once its rest is that of a stream inside.
    pub(crate) bytes: Option<Box<dyn ChannelSource>>,
    pub(crate) decoder: Decoder,
    pub(crate) is_over: bool,
    pub(crate) inbound: Arc<dyn Inbound>,
    pub(crate) path: Vec<u32>,
}

impl Source {
    /// Waits for the next piece; nothing when it is complete.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, CallError>> {
        match self {
            Self::Pipe(pipe, _) => pipe.poll_next(context),
            Self::Channel(channel) => channel.poll_next(context),
            Self::Whole(piece, _) => Poll::Ready(Ok(piece.take())),
        }
    }

    /// Returns where what is inside of `piece` comes from, which was read last.
    pub(crate) fn origin(&mut self, piece: &mut Piece) -> Origin {
        match self {
            Self::Pipe(_, task) => Origin::guest(std::mem::take(&mut piece.inner), task.clone()),
            Self::Channel(channel) => channel.origin(),
            Self::Whole(_, origin) => origin.clone(),
        }
    }

    /// Says that the reader's store ended: who writes for nobody else is stopped.
    pub(crate) fn abandon(&self) {
        if let Self::Pipe(_, Some(callee)) = self {
            callee.0.abort();
        }
    }
}

impl Channel {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Piece>, CallError>> {
        loop {
            if self.is_over {
                return Poll::Ready(Ok(None));
            }
            if let Some(next) = self.decoder.next()? {
                self.is_over = next.is_none();
                return Poll::Ready(Ok(next));
            }
            let arrived = match &mut self.bytes {
                Some(bytes) => ready!(bytes.poll_next(context))?,
                None => None,
            };
            match arrived {
                Some(bytes) => self.decoder.push(bytes),
                None => {
                    self.is_over = true;
                    return Poll::Ready(self.decoder.finish());
                }
            }
        }
    }

    fn origin(&mut self) -> Origin {
        let rest = match &self.decoder {
            Decoder::Done(_) => Some(Rest {
                place: self.path.clone(),
                unread: self.decoder.take_rest(),
                bytes: self.bytes.take(),
            }),
            _ => None,
        };
        Origin::elsewhere(self.inbound.clone(), self.path.clone(), rest)
    }
}
