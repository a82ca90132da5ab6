//! The body of a component's answer.

mod streaming;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use trellis_core::{ComponentId, ErrorClass};
use wasmtime_wasi_http::{Error, WasiBody};

use self::streaming::Stream;
pub(crate) use self::streaming::{GuestTask, Rest};
use crate::figures::Tally;

/// The body of a component's answer: whole when the guest finished before it was needed, else a
/// stream that carries the guest along.
pub struct ResponseBody(Inner);

enum Inner {
    Whole(Option<Bytes>),
    Replay(Box<Replay>),
    Stream(Stream),
}

/// A frame of a body, or its end.
type Next = Option<Result<Frame<Bytes>, Error>>;

/// The count of a call whose body is on its way.
struct Counted {
    tally: Tally,
    /// Bytes that are still to come, where that was announced: nobody asks for the end behind them.
    left: Option<u64>,
}

impl Counted {
    /// Begins to count the bytes of a body, unless the call has ended with its head: where nobody reads
    /// a body, or none was announced.
    fn begin(
        mut tally: Tally,
        has_body: bool,
        length: impl FnOnce() -> Option<u64>,
    ) -> Option<Self> {
        let left = if has_body { length() } else { Some(0) };
        if left == Some(0) {
            tally.end(None);
            return None;
        }
        Some(Self { tally, left })
    }

    /// Takes note of what comes. Returns whether all is through.
    fn see(&mut self, next: &Next) -> bool {
        match next {
            None => self.tally.end(None),
            Some(Err(error)) => {
                // How a body is cut off at its deadline.
                let class = match error {
                    Error::HttpResponseTimeout => ErrorClass::Deadline,
                    _ => ErrorClass::Trap,
                };
                self.tally.end(Some(class));
                return false;
            }
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.left = self.left.map(|left| left.saturating_sub(bytes));
                if self.left != Some(0) {
                    return false;
                }
                self.tally.end(None);
            }
        }
        true
    }
}

/// Says that a guest has left its answer as it was, without an end.
fn log_unfinished(component: &ComponentId, error: &Error) {
    let component_id = component.as_str();
    tracing::warn!(component_id, ?error, "component did not finish its answer");
}

impl ResponseBody {
    /// Makes a body of `bytes`.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Inner::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// Takes a body whose guest has finished. Where it is a single piece the length becomes known.
    pub(crate) fn finished(body: WasiBody) -> Self {
        Self::read_ahead(body)
    }

    /// Names the component whose guest has finished, for the log.
    pub(crate) fn of(mut self, component: &ComponentId) -> Self {
        if let Inner::Replay(replay) = &mut self.0 {
            replay.component = Some(component.clone());
        }
        self
    }

    /// Takes a body whose guest is still at work.
    pub(crate) fn streaming(body: WasiBody, rest: Rest) -> Self {
        Self(Inner::Stream(Stream::new(body, rest)))
    }

    /// Counts the call until the body has ended, where it is one that somebody reads. Only then `length` is
    /// asked how many bytes were announced.
    pub(crate) fn counted(
        mut self,
        mut tally: Tally,
        has_body: bool,
        length: impl FnOnce() -> Option<u64>,
    ) -> Self {
        match &mut self.0 {
            Inner::Whole(_) => tally.end(None),
            Inner::Replay(replay) => replay.counted = Counted::begin(tally, has_body, length),
            Inner::Stream(stream) => stream.count(tally, has_body, length),
        }
        self
    }

    /// Returns all of it, where it is there.
    ///
    /// # Errors
    /// The body itself where it is a stream.
    pub fn into_whole(self) -> Result<Bytes, Self> {
        match self.0 {
            Inner::Whole(data) => Ok(data.unwrap_or_default()),
            inner => Err(Self(inner)),
        }
    }

    fn read_ahead(mut body: WasiBody) -> Self {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let first = match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(None) => return Self(Inner::Whole(None)),
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Self::replayed(Some(Err(error)), None, None),
            Poll::Pending => return Self::replayed(None, None, Some(body)),
        };
        match (
            first.into_data(),
            Pin::new(&mut body).poll_frame(&mut context),
        ) {
            (Ok(data), Poll::Ready(None)) => Self(Inner::Whole(Some(data))),
            (first, second) => {
                let first = first.map_or_else(|frame| frame, Frame::data);
                let second = match second {
                    Poll::Ready(second) => Some(second),
                    Poll::Pending => None,
                };
                Self::replayed(Some(Ok(first)), second, Some(body))
            }
        }
    }

    fn replayed(
        first: Option<Result<Frame<Bytes>, Error>>,
        second: Option<Next>,
        rest: Option<WasiBody>,
    ) -> Self {
        Self(Inner::Replay(Box::new(Replay {
            first,
            second,
            rest,
            counted: None,
            component: None,
        })))
    }
}

/// A body that begins with frames which were read ahead.
struct Replay {
    first: Option<Result<Frame<Bytes>, Error>>,
    /// What came after the first frame, where that is known: a frame, or the end.
    second: Option<Next>,
    rest: Option<WasiBody>,
    counted: Option<Counted>,
    component: Option<ComponentId>,
}

impl Replay {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let poll = self.poll_next(context);
        if let Poll::Ready(next) = &poll {
            if let Some(counted) = &mut self.counted {
                counted.see(next);
            }
            if let (Some(Err(error)), Some(component)) = (next, self.component.take()) {
                log_unfinished(&component, error);
            }
        }
        poll
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if let Some(frame) = self.first.take() {
            return Poll::Ready(Some(frame));
        }
        if let Some(frame) = self.second.take() {
            if frame.is_none() {
                self.rest = None;
            }
            return Poll::Ready(frame);
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Next> {
        match &mut self.0 {
            Inner::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Inner::Replay(replay) => replay.poll_frame(context),
            Inner::Stream(stream) => stream.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(data) => data.is_none(),
            Inner::Replay(_) => false,
            Inner::Stream(stream) => stream.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(data) => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
            Inner::Replay(_) | Inner::Stream(_) => SizeHint::default(),
        }
    }
}
