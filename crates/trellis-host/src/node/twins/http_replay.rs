//! The body of a request that can be sent again, as far as it is small or was just begun.

use std::fmt::Display;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// Bytes of a body that are kept until somebody has answered: what can be on its way, by the window of a
/// stream, before a host that refuses has said so.
pub(super) const KEPT_BYTES_MAX: usize = 256 << 10;

/// A body that can be read again from its beginning, as long as not too much of it was read. Clones read
/// the same body.
pub(super) struct Replay<B>(Arc<Mutex<Kept<B>>>);

struct Kept<B> {
    body: B,
    /// What was read of it; none where it cannot be read again.
    read: Option<Vec<Part>>,
    bytes: usize,
    bytes_max: usize,
    /// How many parts were given out since the beginning.
    given: usize,
}

#[derive(Clone)]
enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Part {
    fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(bytes) => Frame::data(bytes),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

impl<B> Clone for Replay<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B> Replay<B> {
    /// Keeps at most `bytes_max` of `body`.
    pub(super) fn new(body: B, bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            body,
            read: Some(Vec::new()),
            bytes: 0,
            bytes_max,
            given: 0,
        })))
    }

    /// Goes back to the beginning. Returns whether that can be had. Nobody may be reading.
    pub(super) fn rewind(&self) -> bool {
        let mut kept = self.lock();
        kept.given = 0;
        kept.read.is_some()
    }

    /// Lets go of what was kept: the body is not needed again.
    pub(super) fn forget(&self) {
        let mut kept = self.lock();
        let is_at_end = kept.unread().is_none();
        if is_at_end {
            kept.read = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Kept<B> {
    fn unread(&self) -> Option<&Part> {
        self.read.as_ref()?.get(self.given)
    }

    /// Keeps a part that was read, or from now on nothing.
    fn keep(&mut self, part: &Part) {
        if let Part::Data(bytes) = part {
            self.bytes += bytes.len();
        }
        if self.bytes > self.bytes_max {
            self.read = None;
        } else if let Some(read) = &mut self.read {
            read.push(part.clone());
            self.given = read.len();
        }
    }
}

impl<B: Body<Data = Bytes, Error: Display + Send> + Unpin> Body for Replay<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut kept = self.lock();
        if let Some(part) = kept.unread().cloned() {
            kept.given += 1;
            return Poll::Ready(Some(Ok(part.into_frame())));
        }
        let frame = match ready!(Pin::new(&mut kept.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                kept.read = None; // what is broken stays so
                return Poll::Ready(Some(Err(error)));
            }
            None => return Poll::Ready(None),
        };
        let part = match frame.into_data() {
            Ok(bytes) => Part::Data(bytes),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Part::Trailers(trailers),
                Err(frame) => {
                    kept.read = None; // of a kind that nobody knows
                    return Poll::Ready(Some(Ok(frame)));
                }
            },
        };
        kept.keep(&part);
        Poll::Ready(Some(Ok(part.into_frame())))
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.lock();
        kept.unread().is_none() && kept.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.lock();
        match kept.given {
            0 if kept.bytes == 0 => kept.body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    fn body(parts: &'static [&'static str]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let frame = |part: &&'static str| Ok(Frame::data(Bytes::from_static(part.as_bytes())));
        StreamBody::new(stream::iter(parts.iter().map(frame)))
    }

    async fn next<B: Body<Data = Bytes, Error = Infallible> + Unpin>(
        body: &mut Replay<B>,
    ) -> Option<Bytes> {
        Some(body.frame().await?.unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn a_body_that_was_just_begun_is_read_again_as_a_whole() {
        let mut replay = Replay::new(body(&["one", "two", "three"]), 100);
        for _ in 0..2 {
            assert_eq!(next(&mut replay).await.unwrap(), "one");
            assert_eq!(next(&mut replay).await.unwrap(), "two");
            assert!(replay.rewind());
        }
        let whole = replay.collect().await.unwrap().to_bytes();
        assert_eq!(whole, "onetwothree");
    }

    #[tokio::test]
    async fn one_of_which_too_much_was_read_goes_on_but_not_back() {
        let mut replay = Replay::new(body(&["one", "two", "three"]), 5);
        assert_eq!(next(&mut replay).await.unwrap(), "one");
        assert!(replay.rewind());
        assert_eq!(next(&mut replay).await.unwrap(), "one");
        assert_eq!(next(&mut replay).await.unwrap(), "two");
        assert_eq!(next(&mut replay).await.unwrap(), "three");
        assert!(!replay.rewind());
        assert_eq!(next(&mut replay).await, None);
    }

    #[tokio::test]
    async fn what_is_let_go_of_is_not_read_again() {
        let mut replay = Replay::new(body(&["one", "two"]), 100);
        assert_eq!(next(&mut replay).await.unwrap(), "one");
        replay.forget();
        assert!(!replay.rewind());
        assert_eq!(next(&mut replay).await.unwrap(), "two");
    }
}
