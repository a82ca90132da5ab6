//! The body of a response on its way out: small answers without a box, lengths kept honest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

use crate::connection::Admission;
use crate::http2_watch::{Http2Watch, Turn};
use crate::limits::HTTP2_PIECE_BYTES_MAX;
use crate::response_head;

/// Any error of a response body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response.
pub enum ResponseBody {
    /// All of it, at once.
    Full(Bytes),
    /// A stream of frames.
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
}

impl ResponseBody {
    /// Makes a body without bytes.
    pub const fn empty() -> Self {
        Self::Full(Bytes::new())
    }

    /// Boxes any body.
    pub fn boxed<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self::Boxed(body.map_err(Into::into).boxed_unsync())
    }

    /// Returns the number of bytes, where it is known.
    pub(crate) fn exact_length(&self) -> Option<u64> {
        match self {
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Boxed(body) => body.size_hint().exact(),
        }
    }
}

impl<T: Into<Bytes>> From<T> for ResponseBody {
    fn from(bytes: T) -> Self {
        Self::Full(bytes.into())
    }
}

/// Why a response was cut off after its head.
#[derive(Debug, thiserror::Error)]
enum LengthError {
    #[error("the response body is longer than its content-length")]
    TooLong,
    #[error("the response body is shorter than its content-length")]
    TooShort,
}

/// A response body as the connection sees it. Holds the request's admission until it is sent.
pub(crate) struct OutgoingBody {
    body: ResponseBody,
    /// What is left of an announced length that only we can check.
    announced_left: Option<u64>,
    turn: Option<Turn>,
    _admission: Option<Admission>,
}

impl OutgoingBody {
    pub(crate) fn new(
        body: ResponseBody,
        announced: Option<u64>,
        watch: Option<Arc<Http2Watch>>,
        admission: Option<Admission>,
    ) -> Self {
        let turn = watch.map(Turn::of_peer);
        Self {
            body,
            announced_left: announced,
            turn,
            _admission: admission,
        }
    }

    /// Takes the next piece of a body in memory; HTTP/2 gets it in pieces whose progress is seen.
    fn take_full(&mut self) -> Option<Bytes> {
        let ResponseBody::Full(bytes) = &mut self.body else {
            return None;
        };
        if bytes.is_empty() {
            return None;
        }
        if self.turn.is_some() && bytes.len() > HTTP2_PIECE_BYTES_MAX {
            return Some(bytes.split_to(HTTP2_PIECE_BYTES_MAX));
        }
        Some(std::mem::take(bytes))
    }

    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let stream = match &mut self.body {
            ResponseBody::Full(_) => {
                return Poll::Ready(self.take_full().map(|it| Ok(Frame::data(it))));
            }
            ResponseBody::Boxed(stream) => stream,
        };
        let Some(frame) = ready!(Pin::new(stream).poll_frame(cx)?) else {
            return match self.announced_left {
                Some(left) if left > 0 => Poll::Ready(Some(Err(LengthError::TooShort.into()))),
                _ => Poll::Ready(None),
            };
        };
        Poll::Ready(Some(self.check(frame)))
    }

    fn check(&mut self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, BoxError> {
        if let Some(trailers) = frame.trailers_mut() {
            response_head::clean_trailers(trailers);
        }
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        if let Some(left) = &mut self.announced_left {
            *left = left.checked_sub(bytes).ok_or(LengthError::TooLong)?;
        }
        Ok(frame)
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = self.poll_any(cx);
        if let Some(turn) = &mut self.turn {
            match &polled {
                Poll::Ready(_) => turn.pass_to_peer(),
                Poll::Pending => turn.pass_to_handler(),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            ResponseBody::Full(bytes) => bytes.is_empty(),
            // An announced length that was not reached must come out as an error, not as an end.
            ResponseBody::Boxed(body) => {
                body.is_end_stream() && self.announced_left.unwrap_or(0) == 0
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            ResponseBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ResponseBody::Boxed(body) => body.size_hint(),
        }
    }
}
