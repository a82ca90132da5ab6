//! Bodies and trailers on the channels of a call: sent from one end, read at the other.
//!
//! A body that was cut short is an error at the reader, never a short success: by the end mark in the
//! stream, and by the announced length, since senders of wasmCloud 1.x mark the end whatever happened.

use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use trellis_core::ErrorClass;
use trellis_wire::dialect::{ChannelError, StreamDecoder, StreamEncoder, StreamPart};
use trellis_wire::twins::http::Fields;
use trellis_wire::twins::{Decode, to_wire};
use trellis_wire::{DecodeError, Dialect, Limits, Reader};
use trellis_wrpc::{CallError, ChannelReader, ChannelWriter, IndexPath};

use super::http_head::{self, Found, Inline};

/// Where the body of a request or response is.
pub(super) static BODY: LazyLock<IndexPath> = LazyLock::new(|| IndexPath::new(&[0, 0]));
/// Where its trailers are.
pub(super) static TRAILERS: LazyLock<IndexPath> = LazyLock::new(|| IndexPath::new(&[0, 1]));

/// A body of at most so many bytes travels with its head, which saves its channels.
const INLINE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of trailers that are read: what gateways take of headers.
const TRAILER_BYTES_MAX: usize = 64 << 10;

/// Why the rest of a body cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// The call that it belongs to failed.
    #[error("the body broke off")]
    Call(#[from] CallError),
    /// It has no end, or is no stream of bytes.
    #[error("the body cannot be read")]
    Stream(#[from] ChannelError),
    /// It is longer or shorter than announced.
    #[error("the body has {bytes} bytes of the {announced} that its content-length announced")]
    Length {
        /// What the head says.
        announced: u64,
        /// What came, at least.
        bytes: u64,
    },
    /// What follows it are no trailers.
    #[error("the trailers cannot be read")]
    Trailers(#[source] DecodeError),
    /// The trailers are missing, too long, or not those of HTTP.
    #[error("the trailers {0}")]
    BadTrailers(&'static str),
}

/// A body that comes with a call. Dropping it tells the sender to stop.
pub struct ChannelBody {
    source: Source,
    trailers: Following,
    left: Left,
    /// What is still being sent for the call. It ends with the body at the latest.
    _sending: JoinSet<()>,
}

enum Source {
    Whole(Bytes),
    Channel(Box<DataChannel>),
    Over,
}

struct DataChannel {
    reader: ChannelReader,
    decoder: StreamDecoder,
}

enum Following {
    Ready(HeaderMap),
    Channel(ChannelReader, BytesMut),
    /// They were read; the end of their channel is still to be heard.
    Read {
        _reader: ChannelReader,
    },
    Over,
}

/// The length that a body still has to have.
struct Left {
    announced: Option<u64>,
    bytes: u64,
}

impl Left {
    fn count(&mut self, bytes: usize) -> Result<(), BodyFault> {
        self.bytes += bytes as u64;
        match self.announced {
            Some(announced) if self.bytes > announced => Err(self.fault(announced)),
            _ => Ok(()),
        }
    }

    fn finish(&self) -> Result<(), BodyFault> {
        match self.announced {
            Some(announced) if self.bytes != announced => Err(self.fault(announced)),
            _ => Ok(()),
        }
    }

    fn fault(&self, announced: u64) -> BodyFault {
        let bytes = self.bytes;
        BodyFault::Length { announced, bytes }
    }
}

/// Returns the length that the body of a request must have, where its head says so.
pub(super) fn request_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns the length that the body of a response must have, where its head says so. Some responses only
/// say how long the body would be.
pub(super) fn response_length(
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<u64> {
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    if *method == Method::HEAD || bodiless {
        return None;
    }
    request_length(headers)
}

impl ChannelBody {
    /// Takes what came with a head, and the rest from the channels that `reader` opens.
    pub(super) fn new<H>(
        found: &mut Found<H>,
        announced: Option<u64>,
        reader: impl Fn(IndexPath) -> ChannelReader,
    ) -> Self {
        let source = match found.whole.take() {
            Some(bytes) => Source::Whole(bytes),
            None => Source::Channel(Box::new(DataChannel {
                reader: reader(BODY.clone()),
                decoder: StreamDecoder::bytes(Dialect::A, Limits::default()),
            })),
        };
        let trailers = match found.trailers.take() {
            Some(Some(trailers)) => Following::Ready(trailers),
            Some(None) => Following::Over,
            None => Following::Channel(reader(TRAILERS.clone()), BytesMut::new()),
        };
        let left = Left {
            announced,
            bytes: 0,
        };
        Self {
            source,
            trailers,
            left,
            _sending: JoinSet::new(),
        }
    }

    /// Lets `sending` go on until the body is dropped: whoever asks may send on without reading.
    pub(super) fn beside(mut self, sending: JoinSet<()>) -> Self {
        self._sending = sending;
        self
    }

    /// Takes all of it, where it came with its head and is what its head announced. Any other is still to
    /// come, or must be read to find its fault.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        match (&self.source, &self.trailers, self.left.announced) {
            (Source::Whole(bytes), Following::Over, announced)
                if announced.is_none_or(|length| length == bytes.len() as u64) =>
            {
                let bytes = bytes.clone();
                self.source = Source::Over;
                Some(bytes)
            }
            _ => None,
        }
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        let channel = match &mut self.source {
            Source::Over => return Poll::Ready(None),
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Source::Over;
                let counted = self.left.count(bytes.len());
                let counted = counted.and_then(|()| self.left.finish());
                return Poll::Ready(Some(counted.map(|()| bytes)));
            }
            Source::Channel(channel) => channel,
        };
        match ready!(channel.poll_next(context))? {
            Some(bytes) => Poll::Ready(Some(self.left.count(bytes.len()).map(|()| bytes))),
            None => {
                self.left.finish()?;
                Poll::Ready(None)
            }
        }
    }

    fn poll_trailers(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<HeaderMap, BodyFault>>> {
        let trailers = match std::mem::replace(&mut self.trailers, Following::Over) {
            Following::Over | Following::Read { .. } => return Poll::Ready(None),
            Following::Ready(trailers) => return Poll::Ready(Some(Ok(trailers))),
            Following::Channel(reader, bytes) => (reader, bytes),
        };
        let (mut reader, mut bytes) = trailers;
        loop {
            if let Some(read) = read_trailers(&bytes) {
                self.trailers = Following::Read { _reader: reader };
                return Poll::Ready(read.transpose());
            }
            if bytes.len() > TRAILER_BYTES_MAX {
                let fault = BodyFault::BadTrailers("are too long");
                return Poll::Ready(Some(Err(fault)));
            }
            match reader.poll_next(context) {
                Poll::Ready(Ok(Some(more))) => bytes.extend_from_slice(&more),
                Poll::Ready(Ok(None)) => {
                    let fault = BodyFault::BadTrailers("are missing");
                    return Poll::Ready(Some(Err(fault)));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Pending => {
                    self.trailers = Following::Channel(reader, bytes);
                    return Poll::Pending;
                }
            }
        }
    }
}

impl DataChannel {
    /// Returns the next bytes; nothing at the end. The end mark counts: some senders never end the channel
    /// behind it. Until the body is dropped the reader stays, so that the end of others is heard.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyFault>> {
        loop {
            match self.decoder.next_part()? {
                Some(StreamPart::Bytes(bytes)) => return Poll::Ready(Ok(Some(bytes))),
                Some(StreamPart::End) => return Poll::Ready(Ok(None)),
                Some(StreamPart::Elements { .. } | StreamPart::Units(_)) => {} // of other streams
                None => match ready!(self.reader.poll_next(context))? {
                    Some(more) => self.decoder.push(more),
                    None => {
                        self.decoder.finish()?;
                        return Poll::Ready(Ok(None));
                    }
                },
            }
        }
    }
}

/// Reads trailers, if they are all there.
fn read_trailers(bytes: &[u8]) -> Option<Result<Option<HeaderMap>, BodyFault>> {
    match Option::<Fields<'_>>::decode(&mut Reader::new(bytes)) {
        Ok(None) => Some(Ok(None)),
        Ok(Some(fields)) => {
            let trailers = http_head::header_map(fields);
            let trailers = trailers.map_err(|_| BodyFault::BadTrailers("are not those of HTTP"));
            Some(trailers.map(Some))
        }
        Err(error) if error.is_truncated() => None,
        Err(error) => Some(Err(BodyFault::Trailers(error))),
    }
}

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        let frame = match ready!(this.poll_data(context)) {
            Some(data) => Some(data.map(Frame::data)),
            None => ready!(this.poll_trailers(context)).map(|it| it.map(Frame::trailers)),
        };
        if let Some(Err(_)) = frame {
            (this.source, this.trailers) = (Source::Over, Following::Over);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        matches!(
            (&self.source, &self.trailers),
            (Source::Over, Following::Over)
        )
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Over => SizeHint::with_exact(0),
            Source::Channel(_) => SizeHint::default(),
        }
    }
}

/// A body that is to be sent.
#[derive(Clone)]
pub(super) enum Outgoing<B> {
    /// All of it, and its trailers.
    Whole(Bytes, Option<HeaderMap>),
    /// It comes.
    Stream(B),
}

/// What of a body goes on channels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    /// Nothing: it travels with its head.
    None,
    /// Only that it is empty, for which a value has no word.
    Body,
    /// Body and trailers.
    Both,
}

impl<B: Body<Data = Bytes, Error: std::fmt::Display + Send> + Unpin> Outgoing<B> {
    /// Waits for a body that says that it is small.
    ///
    /// # Errors
    /// When it breaks off.
    pub(super) async fn new(body: B) -> Result<Self, CallError> {
        let length = body.size_hint().exact();
        if length.is_none_or(|length| length > INLINE_BYTES_MAX) {
            return Ok(Self::Stream(body));
        }
        let whole = body.collect().await.map_err(|error| broken(&error))?;
        let trailers = whole.trailers().cloned();
        Ok(Self::Whole(whole.to_bytes(), trailers))
    }

    /// Tells whether all of it is here.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(..))
    }

    /// Returns what travels with the head.
    pub(super) fn inline(&self) -> Inline<'_> {
        match self {
            Self::Whole(bytes, trailers) => Inline::All(bytes, trailers.as_ref()),
            Self::Stream(_) => Inline::Nothing,
        }
    }

    /// Returns which channels it needs.
    pub(super) fn channels(&self) -> Channels {
        match self {
            Self::Whole(bytes, _) if bytes.is_empty() => Channels::Body,
            Self::Whole(..) => Channels::None,
            Self::Stream(_) => Channels::Both,
        }
    }

    /// Sends what does not travel with the head, on the channels that `writer` opens.
    ///
    /// # Errors
    /// When the body breaks off, its reader goes away, or the call ends.
    pub(super) async fn send(
        self,
        writer: impl Fn(IndexPath) -> Result<ChannelWriter, CallError>,
    ) -> Result<(), CallError> {
        match self {
            Self::Whole(bytes, _) if bytes.is_empty() => {
                let mut data = writer(BODY.clone())?;
                let mut end = Vec::new();
                StreamEncoder::default().end(&mut end);
                data.write(end.into()).await?;
                data.finish().await
            }
            Self::Whole(..) => Ok(()),
            Self::Stream(body) => {
                let (data, trailers) = (writer(BODY.clone())?, writer(TRAILERS.clone())?);
                send_stream(body, data, trailers).await
            }
        }
    }
}

async fn send_stream<B>(
    body: B,
    mut data: ChannelWriter,
    mut trailers: ChannelWriter,
) -> Result<(), CallError>
where
    B: Body<Data = Bytes, Error: std::fmt::Display + Send>,
{
    let mut body = pin!(body);
    let mut encoder = StreamEncoder::default();
    let mut following = None;
    loop {
        // A body that waits for its next part must not outlive its reader.
        let next = tokio::select! {
            biased;
            next = body.frame() => next,
            error = data.stopped() => return Err(error),
        };
        let frame = match next {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                let error = broken(&error);
                data.fail(&error);
                trailers.fail(&error);
                return Err(error);
            }
        };
        match frame.into_data() {
            Ok(bytes) => {
                let mut wire = Vec::new();
                encoder.bytes(&bytes, &mut wire);
                if body.is_end_stream() {
                    encoder.end(&mut wire); // in the same message
                }
                data.write(wire.into()).await?;
            }
            Err(frame) => following = frame.into_trailers().ok(),
        }
    }
    let mut end = Vec::new();
    encoder.end(&mut end);
    data.write(end.into()).await?;
    data.finish().await?;
    let fields = following.as_ref().map(http_head::fields);
    trailers.write(to_wire(&fields).into()).await?;
    trailers.finish().await
}

fn broken(error: &dyn std::fmt::Display) -> CallError {
    CallError::new(
        ErrorClass::Unavailable,
        format!("the body broke off: {error}"),
    )
}
