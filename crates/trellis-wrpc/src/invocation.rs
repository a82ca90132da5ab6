//! A call as its handler sees it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use async_nats::Subject;
use bytes::Bytes;

use crate::call_error::CallError;
use crate::call_state::Dialect;
use crate::channel::{ChannelReader, ChannelWriter, ChannelWriters};
use crate::headers::Headers;
use crate::open_call::OpenCall;
use crate::subject::IndexPath;

/// One call to a function that is served here.
pub struct Invocation {
    pub(crate) open: Arc<OpenCall>,
    pub(crate) subject: Subject,
    pub(crate) headers: Headers,
}

impl Invocation {
    /// Returns the subject that was called.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the headers of the call, trace context included.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Returns the id of the caller, as it says itself. Anyone who may publish can say anything.
    pub fn source_id(&self) -> Option<&str> {
        self.headers.get("source-id")
    }

    /// Returns the link by which the caller came, where it says so. Providers of 1.x do not.
    pub fn link_name(&self) -> Option<&str> {
        self.headers.get("link-name")
    }

    /// Tells whether the caller is a host of ours, which understands the errors of this crate. Peers of 1.x
    /// see no more of them than that nothing comes.
    pub fn is_of_ours(&self) -> bool {
        self.open.caller_dialect() == Dialect::Extended
    }

    /// Returns when the call ends, done or not.
    pub fn deadline(&self) -> Instant {
        self.open.state.deadline
    }

    /// Waits until the caller says that it has sent all parameters.
    ///
    /// Callers of ours say so with the first message. Callers of 1.x only after they were accepted,
    /// which costs a round trip: prefer [`params_until`](Self::params_until).
    ///
    /// # Errors
    /// Parameters that are lost, too large or too late.
    pub async fn params(&self) -> Result<Bytes, CallError> {
        if !self.open.state.value_is_complete() {
            self.open.accept();
        }
        let all = poll_fn(|cx| self.open.state.poll_value(cx));
        self.open.within(all).await
    }

    /// Waits for parameters of which `is_complete` says that nothing is missing. It is asked again
    /// with more bytes until it is content or the caller has sent all.
    ///
    /// # Errors
    /// Parameters that are lost, too large or too late.
    pub async fn params_until(
        &self,
        mut is_complete: impl FnMut(&[u8]) -> bool,
    ) -> Result<Bytes, CallError> {
        let mut wanted = 0;
        loop {
            let more = poll_fn(|cx| self.open.state.poll_more(cx, wanted));
            let params = self.open.within(more).await?;
            if params.is_whole || is_complete(&params.bytes) {
                return Ok(params.bytes);
            }
            self.open.accept();
            // Joining copies: ask again when there is twice as much. The end is always told.
            wanted = (params.bytes.len() * 2).max(1);
        }
    }

    /// Reads the stream or future at this path of the parameters.
    pub fn param_reader(&self, path: IndexPath) -> ChannelReader {
        ChannelReader::new(self.open.clone(), path)
    }

    /// Returns what writes the streams and futures of the result.
    pub fn result_writers(&self) -> ChannelWriters {
        ChannelWriters::new(self.open.clone())
    }

    /// Writes the stream or future at this path of the result.
    ///
    /// # Errors
    /// Overloaded, when the call has too many streams.
    pub fn result_writer(&self, path: IndexPath) -> Result<ChannelWriter, CallError> {
        ChannelWriter::new(self.open.clone(), path)
    }
}

/// What a handler answers.
pub struct Reply {
    pub(crate) result: Bytes,
    pub(crate) rest: Option<Rest>,
}

pub(crate) type Rest = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

impl Reply {
    /// Answers with a result that is all in the value.
    pub fn value(result: impl Into<Bytes>) -> Self {
        Self {
            result: result.into(),
            rest: None,
        }
    }

    /// Answers with a result whose streams and futures `rest` writes, after the result was sent. The
    /// call is open until `rest` ends, and `rest` is dropped when the caller goes away.
    pub fn with_rest(
        result: impl Into<Bytes>,
        rest: impl Future<Output = Result<(), CallError>> + Send + 'static,
    ) -> Self {
        Self {
            result: result.into(),
            rest: Some(Box::pin(rest)),
        }
    }
}

/// Answers the calls of one function.
pub trait Handler: Send + Sync + 'static {
    /// Works on one call. The future is dropped when the caller cancels or the deadline passes.
    fn handle(
        &self,
        invocation: Invocation,
    ) -> impl Future<Output = Result<Reply, CallError>> + Send;
}

impl<F, W> Handler for F
where
    F: Fn(Invocation) -> W + Send + Sync + 'static,
    W: Future<Output = Result<Reply, CallError>> + Send,
{
    fn handle(
        &self,
        invocation: Invocation,
    ) -> impl Future<Output = Result<Reply, CallError>> + Send {
        self(invocation)
    }
}
