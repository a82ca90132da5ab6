//! The body of a request on its way in: counted, timed, and closed to framing headers in trailers.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::limits::{GatewayLimits, MinimumRate};
use crate::refusal::Rejection;
use crate::request_head;
use crate::stall::StallMeter;

/// Why the rest of a request body cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client sent more than the gateway takes.
    #[error("the request body is larger than {bytes_max} bytes")]
    TooLarge {
        /// The bound.
        bytes_max: u64,
    },
    /// The client sent too slowly, or nothing at all.
    #[error("the request body came slower than {} bytes per second", rate.bytes_per_second)]
    TooSlow {
        /// The pace that was asked for.
        rate: MinimumRate,
    },
    /// The connection broke, or what came over it is no valid body.
    #[error("cannot read the request body")]
    Connection(#[source] hyper::Error),
}

/// The body of a request, as a stream of frames.
///
/// Ends with a [`BodyError`] when it grows too large or comes too slowly; the client is then
/// answered by the gateway, whatever the handler says.
pub struct RequestBody {
    source: Source,
    peer: SocketAddr,
    bytes_left: u64,
    bytes_max: u64,
    rate: MinimumRate,
    meter: StallMeter,
    fault: Option<Arc<BodyFault>>,
}

enum Source {
    Network(Incoming),
    Memory(Option<Bytes>),
    Failed,
}

impl RequestBody {
    /// Takes a body from the network, and tells its faults to `fault`.
    pub(crate) fn new(
        incoming: Incoming,
        peer: SocketAddr,
        limits: &GatewayLimits,
        fault: Option<Arc<BodyFault>>,
    ) -> Self {
        Self {
            source: Source::Network(incoming),
            peer,
            bytes_left: limits.request_body_bytes_max,
            bytes_max: limits.request_body_bytes_max,
            rate: limits.request_body_rate,
            meter: StallMeter::new(limits.request_body_rate),
            fault,
        }
    }

    /// Makes a body of `bytes` in memory, for callers that are not the network.
    pub fn full(bytes: impl Into<Bytes>, peer: SocketAddr) -> Self {
        let bytes = bytes.into();
        let limits = GatewayLimits::default();
        Self {
            bytes_left: bytes.len() as u64,
            bytes_max: bytes.len() as u64,
            source: Source::Memory(Some(bytes).filter(|bytes| !bytes.is_empty())),
            peer,
            rate: limits.request_body_rate,
            meter: StallMeter::new(limits.request_body_rate),
            fault: None,
        }
    }

    /// Returns the address of the client's end of the connection.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn fail(
        &mut self,
        fault: u8,
        error: BodyError,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(shared) = &self.fault {
            shared.0.store(fault, Ordering::Release);
        }
        self.source = Source::Failed;
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let incoming = match &mut this.source {
            Source::Network(incoming) => incoming,
            Source::Memory(bytes) => {
                return Poll::Ready(bytes.take().map(|it| Ok(Frame::data(it))));
            }
            Source::Failed => return Poll::Ready(None),
        };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    request_head::clean_trailers(trailers);
                }
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.meter.moved(bytes);
                match this.bytes_left.checked_sub(bytes as u64) {
                    Some(left) => this.bytes_left = left,
                    None => {
                        let error = BodyError::TooLarge {
                            bytes_max: this.bytes_max,
                        };
                        return this.fail(TOO_LARGE, error);
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => this.fail(BROKEN, BodyError::Connection(error)),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match this.meter.poll_stalled(cx) {
                Poll::Ready(()) => {
                    let error = BodyError::TooSlow { rate: this.rate };
                    this.fail(TOO_SLOW, error)
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Network(incoming) => incoming.is_end_stream(),
            Source::Memory(bytes) => bytes.is_none(),
            Source::Failed => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Network(incoming) => incoming.size_hint(),
            Source::Memory(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Source::Failed => SizeHint::with_exact(0),
        }
    }
}

const SOUND: u8 = 0;
const TOO_LARGE: u8 = 1;
const TOO_SLOW: u8 = 2;
const BROKEN: u8 = 3;

/// How a body failed, for the answer to its request.
#[derive(Default)]
pub(crate) struct BodyFault(AtomicU8);

impl BodyFault {
    /// Returns what to answer when the body failed before the answer began.
    pub(crate) fn rejection(&self) -> Option<Rejection> {
        match self.0.load(Ordering::Acquire) {
            SOUND => None,
            TOO_LARGE => Some(BODY_TOO_LARGE),
            TOO_SLOW => Some(Rejection::closing(
                StatusCode::REQUEST_TIMEOUT,
                "request timeout: the request body came too slowly\n",
            )),
            _ => Some(Rejection::closing(
                StatusCode::BAD_REQUEST,
                "bad request: the request body is malformed or incomplete\n",
            )),
        }
    }
}

/// The answer to a body that is, or says it will be, too large.
pub(crate) const BODY_TOO_LARGE: Rejection = Rejection::closing(
    StatusCode::PAYLOAD_TOO_LARGE,
    "payload too large: the request body is larger than this gateway takes\n",
);
