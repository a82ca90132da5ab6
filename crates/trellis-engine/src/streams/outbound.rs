//! A stream or future on its way to elsewhere, as a transport sees it.

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use trellis_core::ErrorClass;
use trellis_wire::plan::{FunctionPlan, PlanId};

use super::codec::{Kind, first_of};
use super::pipe::Piece;
use super::source::Source;
use crate::call_error::CallError;

/// A stream or future that a guest of this host writes for somebody elsewhere. Dropping it tells the
/// guest that nobody reads it any more.
pub struct Outbound {
    /// Its place in what it is inside of: in the tuple for a transport, in a stream for who carries that.
    pub(crate) path: Vec<u32>,
    pub(crate) source: Source,
    kind: Kind,
    function: Arc<FunctionPlan>,
    /// Elements that were given.
    given: u32,
    is_over: bool,
    /// The stream or future that is the value of this future: it goes on, on the same channel.
    next: Option<Box<Outbound>>,
    inner: Vec<Outbound>,
}

impl Outbound {
    /// Makes the stream or future `id` at `path` of what `source` gives.
    ///
    /// # Errors
    /// When `id` is neither.
    pub(crate) fn new(
        function: Arc<FunctionPlan>,
        id: PlanId,
        path: Vec<u32>,
        source: Source,
    ) -> Result<Self, CallError> {
        Ok(Self {
            path,
            source,
            kind: Kind::of(&function, id)?,
            function,
            given: 0,
            is_over: false,
            next: None,
            inner: Vec::new(),
        })
    }

    /// Returns its place in the parameters or the result, as wRPC counts.
    pub fn path(&self) -> &[u32] {
        &self.path
    }

    /// Waits for the next bytes of its channel, the mark of its end included. Nothing says that it is
    /// complete. Whatever is inside of what was given is then in [`Self::take_inner`].
    ///
    /// # Errors
    /// The error of the guest that writes it.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Returns the streams and futures inside of the elements or the value that were given so far. They
    /// have channels of their own, and are to be carried too.
    pub fn take_inner(&mut self) -> Vec<Outbound> {
        mem::take(&mut self.inner)
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CallError>> {
        while !self.is_over {
            if let Some(mut piece) = ready!(self.source.poll_next(context))? {
                self.open_inner(&mut piece)?;
                return Poll::Ready(Ok(Some(self.kind.encode(piece))));
            }
            if let Some(next) = self.next.take() {
                (self.source, self.kind, self.given) = (next.source, next.kind, 0);
                continue;
            }
            self.is_over = true;
            let end = Some(self.kind.end()).filter(|end| !end.is_empty());
            return Poll::Ready(Ok(end));
        }
        Poll::Ready(Ok(None))
    }

    /// Takes note of what is pending in a piece.
    fn open_inner(&mut self, piece: &mut Piece) -> Result<(), CallError> {
        let Some(id) = self.kind.with_inner(&self.function) else {
            return Ok(());
        };
        let found = match &mut self.source {
            Source::Pipe(..) => mem::take(&mut piece.inner),
            passed_on => {
                let origin = passed_on.origin(piece);
                if self.kind.is_future() {
                    origin.open_all(&self.function, id, &piece.wire)?
                } else {
                    self.open_elements(id, piece, &origin)?
                }
            }
        };
        self.given = number_after(self.given, piece.count)?;
        for mut inner in found {
            if self.kind.is_future() && inner.path.is_empty() {
                self.next = Some(Box::new(inner));
                continue;
            }
            inner.path.splice(..0, self.path.iter().copied());
            self.inner.push(inner);
        }
        Ok(())
    }

    fn open_elements(
        &self,
        id: PlanId,
        piece: &Piece,
        origin: &super::origin::Origin,
    ) -> Result<Vec<Outbound>, CallError> {
        let (mut found, mut wire) = (Vec::new(), &piece.wire[..]);
        for number in 0..piece.count {
            let place = [number_after(self.given, number)?];
            let (element, rest) = wire.split_at(first_of(&self.function, id, wire)?);
            let opened = origin.below(&place).open_all(&self.function, id, element)?;
            found.extend(opened.into_iter().map(|it| it.below(&place)));
            wire = rest;
        }
        Ok(found)
    }

    /// Returns it as seen from what holds its place at `path`.
    pub(crate) fn below(mut self, path: &[u32]) -> Self {
        self.path.splice(..0, path.iter().copied());
        self
    }

    /// Tells the guest that what it writes does not arrive. It fails with this error when it writes on.
    pub fn fail(self, error: CallError) {
        if let Source::Pipe(pipe, _) = self.source {
            pipe.fail(error);
        }
    }
}

/// Numbers elements that have streams or futures in them.
///
/// # Errors
/// When wRPC's paths have no such number.
pub(crate) fn number_after(number: u32, count: u32) -> Result<u32, CallError> {
    number.checked_add(count).ok_or_else(|| {
        let text = "a stream has more elements with streams in them than can be numbered";
        CallError::new(ErrorClass::Overloaded, text).having_run()
    })
}
