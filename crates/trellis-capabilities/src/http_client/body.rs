//! The bodies of outgoing requests and of their responses.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use super::error::ClientError;
use super::pool::Lease;

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request, and of the response of a local service.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// The body of a response. Ends with an error when the next bytes take too long; the time in which
/// nobody asks for them does not count.
pub struct ResponseBody {
    source: Source,
    between_bytes: Duration,
    /// Runs while the source is silent.
    silence: Option<Pin<Box<Sleep>>>,
    /// The connection, to be used again after the last byte; closed when the body is dropped early.
    lease: Option<Lease>,
}

enum Source {
    Network(Incoming),
    Local(RequestBody),
    /// After the last byte or an error; what was behind it is closed.
    Ended,
}

impl ResponseBody {
    /// Wraps a body from the network.
    pub(super) fn from_network(body: Incoming, lease: Lease, between_bytes: Duration) -> Self {
        let mut this = Self {
            source: Source::Network(body),
            between_bytes,
            silence: None,
            lease: Some(lease),
        };
        this.return_lease_at_end();
        this
    }

    /// Wraps a body from a service on this host.
    pub(super) fn from_local(body: RequestBody, between_bytes: Duration) -> Self {
        Self {
            source: Source::Local(body),
            between_bytes,
            silence: None,
            lease: None,
        }
    }

    fn return_lease_at_end(&mut self) {
        if self.is_end_stream() {
            self.end_well();
        }
    }

    /// Lets the next request have the connection.
    fn end_well(&mut self) {
        self.source = Source::Ended;
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    /// Closes the connection, in whose middle nobody could begin another response.
    fn end_badly(&mut self) {
        self.source = Source::Ended;
        self.lease = None;
    }

    fn poll_source(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        match &mut self.source {
            Source::Network(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(frame.map(|it| it.map_err(ClientError::from_hyper)))
            }
            Source::Local(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(frame.map(|it| it.map_err(ClientError::LocalBody)))
            }
            Source::Ended => Poll::Ready(None),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        let this = self.get_mut();
        match this.poll_source(context) {
            Poll::Ready(frame) => {
                this.silence = None;
                match &frame {
                    Some(Ok(_)) => this.return_lease_at_end(),
                    Some(Err(_)) => this.end_badly(),
                    None => this.end_well(),
                }
                Poll::Ready(frame)
            }
            Poll::Pending => {
                let between_bytes = this.between_bytes;
                let silence = this
                    .silence
                    .get_or_insert_with(|| Box::pin(sleep(between_bytes)));
                ready!(silence.as_mut().poll(context));
                this.end_badly();
                Poll::Ready(Some(Err(ClientError::BetweenBytesTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Network(body) => body.is_end_stream(),
            Source::Local(body) => body.is_end_stream(),
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Network(body) => body.size_hint(),
            Source::Local(body) => body.size_hint(),
            Source::Ended => SizeHint::with_exact(0),
        }
    }
}
