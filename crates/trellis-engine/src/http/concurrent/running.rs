//! The requests in progress in one instance. Most of the time there is one, which costs no allocation.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};

pin_project_lite::pin_project! {
    /// One future in place, and room for more.
    pub(super) struct Running<F> {
        #[pin]
        first: Option<F>,
        others: Option<FuturesUnordered<F>>,
    }
}

impl<F: Future<Output = wasmtime::Result<()>>> Running<F> {
    pub(super) fn new(first: F) -> Self {
        Self {
            first: Some(first),
            others: None,
        }
    }

    pub(super) fn push(self: Pin<&mut Self>, future: F) {
        let mut this = self.project();
        if this.first.is_none() {
            this.first.set(Some(future));
        } else {
            this.others
                .get_or_insert_with(FuturesUnordered::new)
                .push(future);
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.as_ref().map_or(0, FuturesUnordered::len)
    }

    /// Polls all of them until each waits or is done.
    pub(super) fn poll_all(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> wasmtime::Result<()> {
        let mut this = self.project();
        if let Some(first) = this.first.as_mut().as_pin_mut()
            && let Poll::Ready(result) = first.poll(context)
        {
            this.first.set(None);
            result?;
        }
        if let Some(others) = this.others {
            while let Poll::Ready(Some(result)) = others.poll_next_unpin(context) {
                result?;
            }
        }
        Ok(())
    }
}
