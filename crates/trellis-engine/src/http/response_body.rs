//! The body of a component's answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use trellis_core::{ComponentId, ErrorClass};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::call_error::CallError;
use crate::component::Permit;
use crate::figures::Tally;

/// The guest's remaining work on a request, as far as the body carries it along.
pub(crate) type GuestTask = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

/// The body of a component's answer: whole when the guest finished before it was needed, else a
/// stream that carries the guest along.
pub struct ResponseBody(Inner);

enum Inner {
    Whole(Option<Bytes>),
    Replay(Box<Replay>),
    Stream(Box<Stream>),
}

struct Stream {
    body: WasiBody,
    ended: bool,
    rest: Rest,
    counted: Option<Counted>,
}

/// The count of a call whose body is on its way.
struct Counted {
    tally: Tally,
    /// Bytes that are still to come, where that was announced: nobody asks for the end behind them.
    left: Option<u64>,
}

impl Counted {
    /// Takes note of what comes.
    fn see(&mut self, frame: &Option<Result<Frame<Bytes>, Error>>) {
        match frame {
            None => self.tally.end(None),
            // How a body is cut off at its deadline.
            Some(Err(Error::HttpResponseTimeout)) => self.tally.end(Some(ErrorClass::Deadline)),
            Some(Err(_)) => self.tally.end(Some(ErrorClass::Trap)),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.left = self.left.map(|left| left.saturating_sub(bytes));
                if self.left == Some(0) {
                    self.tally.end(None);
                }
            }
        }
    }
}

/// What a streaming body keeps of its request.
pub(crate) struct Rest {
    pub(crate) component: ComponentId,
    /// The guest's remaining work, where this body drives it.
    pub(crate) task: Option<GuestTask>,
    /// The request's place, where the task does not hold it.
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) permit: Option<Permit>,
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

    /// Takes a body whose guest is still at work.
    pub(crate) fn streaming(body: WasiBody, rest: Rest) -> Self {
        Self(Inner::Stream(Box::new(Stream {
            body,
            ended: false,
            rest,
            counted: None,
        })))
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
            Inner::Stream(stream) if has_body => match length() {
                Some(0) => tally.end(None),
                left => stream.counted = Some(Counted { tally, left }),
            },
            _ => tally.end(None),
        }
        self
    }

    fn replayed(replay: Replay) -> Self {
        Self(Inner::Replay(Box::new(replay)))
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
            Poll::Ready(Some(Err(error))) => {
                return Self::replayed(Replay {
                    first: Some(Err(error)),
                    second: None,
                    rest: None,
                });
            }
            Poll::Pending => {
                return Self::replayed(Replay {
                    first: None,
                    second: None,
                    rest: Some(body),
                });
            }
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
                Self::replayed(Replay {
                    first: Some(Ok(first)),
                    second,
                    rest: Some(body),
                })
            }
        }
    }
}

/// A body that begins with frames which were read ahead.
struct Replay {
    first: Option<Result<Frame<Bytes>, Error>>,
    /// What came after the first frame, where that is known: a frame, or the end.
    second: Option<Option<Result<Frame<Bytes>, Error>>>,
    rest: Option<WasiBody>,
}

impl Body for Replay {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
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

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.0 {
            Inner::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Inner::Replay(replay) => Pin::new(replay).poll_frame(context),
            Inner::Stream(stream) => stream.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(data) => data.is_none(),
            Inner::Replay(_) => false,
            Inner::Stream(stream) => stream.ended,
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

impl Stream {
    /// Lets the guest work, then takes what it wrote. A guest that failed cuts the body short with an
    /// error, never with a silent end.
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(task) = &mut self.rest.task
            && let Poll::Ready(result) = task.as_mut().poll(context)
        {
            self.rest.task = None;
            if let Err(error) = result {
                let component_id = self.rest.component.as_str();
                tracing::warn!(component_id, %error, "component failed in the middle of its answer");
                self.ended = true;
                if let Some(counted) = &mut self.counted {
                    counted.tally.end(Some(error.class));
                }
                return Poll::Ready(Some(Err(Error::InternalError(Some(error.to_string())))));
            }
        }
        let poll = Pin::new(&mut self.body).poll_frame(context);
        self.ended = matches!(poll, Poll::Ready(None));
        if let (Poll::Ready(frame), Some(counted)) = (&poll, &mut self.counted) {
            counted.see(frame);
        }
        poll
    }
}

impl Drop for Stream {
    /// A guest may go on after its answer ended, within its deadline. A client that went away before
    /// that has cancelled it.
    fn drop(&mut self) {
        let Some(task) = self.rest.task.take() else {
            return;
        };
        if self.ended
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let component = self.rest.component.clone();
            runtime.spawn(async move {
                if let Err(error) = task.await {
                    let component_id = component.as_str();
                    tracing::warn!(component_id, %error, "component failed after its answer");
                }
            });
        }
    }
}
