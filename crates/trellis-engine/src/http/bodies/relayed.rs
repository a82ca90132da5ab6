//! A body from outside that a guest passes on as it is: its bytes do not go through the guest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, WasiBody};

use super::Message;
use super::error_code::error_code;
use super::given::Given;
use super::sent::Sent;

/// The rest of a body that was given to a guest.
pub(super) struct Relayed {
    /// What was read already.
    unread: Bytes,
    body: WasiBody,
    passed: u64,
    length: Option<u64>,
    message: Message,
    sent: Arc<Sent>,
}

impl Relayed {
    /// Passes on what the guest has not read: `length` bytes, where its head declares that.
    pub(super) fn new(
        given: &mut Given,
        length: Option<u64>,
        message: Message,
    ) -> (Self, Arc<Sent>) {
        let sent = Arc::new(Sent::default());
        let relayed = Self {
            unread: std::mem::take(&mut given.unread),
            body: std::mem::take(&mut given.body),
            passed: 0,
            length,
            message,
            sent: sent.clone(),
        };
        (relayed, sent)
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if !self.unread.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.unread)))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn fail(&self, code: ErrorCode) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.sent.end(Err(code.clone()));
        Poll::Ready(Some(Err(code.into())))
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match ready!(self.poll_next(context)) {
            Some(Ok(mut frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.passed = self.passed.saturating_add(data.len() as u64);
                    if self.length.is_some_and(|length| self.passed > length) {
                        return self.fail(self.message.wrong_size(self.passed));
                    }
                } else if let Some(trailers) = frame.trailers_mut() {
                    for name in &DEFAULT_FORBIDDEN_HEADERS {
                        trailers.remove(name);
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.sent.end(Err(error_code(&error)));
                Poll::Ready(Some(Err(error)))
            }
            None if self.length.is_some_and(|length| self.passed < length) => {
                self.fail(self.message.wrong_size(self.passed))
            }
            None => {
                self.sent.end(Ok(()));
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_short = self.length.is_some_and(|length| self.passed < length);
        self.unread.is_empty() && self.body.is_end_stream() && !is_short
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        // A reader that knows the length need not ask for the end.
        let has_all = self.unread.is_empty() && self.length == Some(self.passed);
        let end = if has_all || self.is_end_stream() {
            Ok(())
        } else {
            Err(ErrorCode::ConnectionTerminated)
        };
        self.sent.end(end);
    }
}
