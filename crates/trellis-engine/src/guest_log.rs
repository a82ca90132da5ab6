//! Standard output and error of guests, line by line into the host's log.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use trellis_core::ComponentId;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The longest line that is logged whole; a longer one is logged in pieces.
const LINE_BYTES_MAX: usize = 8 << 10;
/// What a guest may write in one call.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Which stream of the guest a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuestStream {
    Stdout,
    Stderr,
}

/// The log end of one stream of one component.
#[derive(Clone)]
pub(crate) struct GuestLog {
    component: Arc<ComponentId>,
    stream: GuestStream,
}

impl GuestLog {
    pub(crate) fn new(component: Arc<ComponentId>, stream: GuestStream) -> Self {
        Self { component, stream }
    }

    fn line(&self, bytes: &[u8]) {
        let text = neutralise(&String::from_utf8_lossy(bytes));
        let component_id = self.component.as_str();
        match self.stream {
            GuestStream::Stdout => {
                tracing::info!(target: "guest", component_id, stream = "stdout", "{text}");
            }
            GuestStream::Stderr => {
                tracing::warn!(target: "guest", component_id, stream = "stderr", "{text}");
            }
        }
    }
}

/// Replaces control characters, so that a guest cannot move the operator's cursor or forge a line.
fn neutralise(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// One open stream: holds the line that is not finished yet.
pub(crate) struct GuestLogWriter {
    log: GuestLog,
    line: Vec<u8>,
}

impl GuestLogWriter {
    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&bytes[..end]);
            self.flush_line();
            bytes = &bytes[end + 1..];
        }
        for piece in bytes.chunks(LINE_BYTES_MAX) {
            self.line.extend_from_slice(piece);
            if self.line.len() >= LINE_BYTES_MAX {
                self.flush_line();
            }
        }
    }

    fn flush_line(&mut self) {
        for piece in self.line.chunks(LINE_BYTES_MAX) {
            self.log.line(piece);
        }
        self.line.clear();
    }
}

impl Drop for GuestLogWriter {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.flush_line();
        }
    }
}

impl OutputStream for GuestLogWriter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait::async_trait]
impl Pollable for GuestLogWriter {
    async fn ready(&mut self) {}
}

impl AsyncWrite for GuestLogWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for GuestLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestLog {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(GuestLogWriter {
            log: self.clone(),
            line: Vec::new(),
        })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(GuestLogWriter {
            log: self.clone(),
            line: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_are_neutralised() {
        assert_eq!(neutralise("a\u{1b}[2Jb\tc\r"), "a\u{fffd}[2Jb\tc\u{fffd}");
    }
}
