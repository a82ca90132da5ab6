//! Streams and futures of calls between hosts: bytes between the engine and the lattice. What they mean is
//! the engine's, how they travel is wRPC's.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _, join, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedSender};
use trellis_core::ErrorClass;
use trellis_engine::{ChannelSource, Outbound};
use trellis_wire::plan::{AsyncPath, FunctionPlan, PlanId};
use trellis_wire::{Dialect, Limits, Scan, scan};
use trellis_wrpc::{CallError, ChannelReader, ChannelWriter, ChannelWriters, IndexPath};

use super::serving::to_lattice;

/// Streams and futures of one direction of a call that are sent at once; further ones wait their turn. As
/// many as a function may declare, and as many windows as may wait for their readers in one call.
const CHANNELS_SENT_MAX: usize = 64;

/// Sends what guests of this host write in one direction of a call, and what is found inside of it.
/// `explain` says in the words of the engine how the other end failed.
#[derive(Clone)]
pub(super) struct Sending {
    writers: ChannelWriters,
    explain: Arc<dyn Fn(&CallError) -> trellis_engine::CallError + Send + Sync>,
    turns: Arc<Semaphore>,
}

impl Sending {
    pub(super) fn new<E>(writers: ChannelWriters, explain: E) -> Self
    where
        E: Fn(&CallError) -> trellis_engine::CallError + Send + Sync + 'static,
    {
        Self {
            writers,
            explain: Arc::new(explain),
            turns: Arc::new(Semaphore::new(CHANNELS_SENT_MAX)),
        }
    }

    /// Sends each of these to its end.
    pub(super) async fn send_all(self, outbound: Vec<Outbound>) {
        let all = outbound.into_iter().map(|it| self.clone().send(it));
        join_all(all).await;
    }

    /// Sends one to its end, and what is inside of it beside it.
    pub(super) fn send(self, outbound: Outbound) -> BoxFuture<'static, ()> {
        let sending = async move {
            // Bounded by turns: no more is read of a stream before what was found in it has one.
            let (found, mut inner) = mpsc::unbounded_channel();
            let inside = async {
                let mut running = FuturesUnordered::new();
                loop {
                    tokio::select! {
                        Some(inner) = inner.recv() => running.push(self.clone().send(inner)),
                        Some(()) = running.next() => {}
                        else => return,
                    }
                }
            };
            join(self.send_one(outbound, found), inside).await;
        };
        sending.boxed()
    }

    /// Sends one. A reader that wants no more ends it too; any other failure is told to the guest.
    async fn send_one(&self, mut outbound: Outbound, found: UnboundedSender<Outbound>) {
        let turn = self.turns.acquire().await;
        let mut writer = match self.writers.open(IndexPath::new(outbound.path())) {
            Ok(writer) => writer,
            Err(error) => return outbound.fail((self.explain)(&error)),
        };
        let failed = loop {
            let next = outbound.next().await;
            let inner = outbound.take_inner();
            let has_inner = !inner.is_empty();
            for inner in inner {
                let _ = found.send(inner); // who takes it is beside us
            }
            let sent = match next {
                Ok(Some(bytes)) => writer.write(bytes).await,
                Ok(None) => break finish(writer).await,
                Err(error) => return writer.fail(&to_lattice(&error)),
            };
            if let Err(error) = sent {
                break Some(error);
            }
            if has_inner {
                tokio::task::yield_now().await; // they stand in the queue before us
                drop(self.turns.acquire().await);
            }
        };
        drop(turn);
        if let Some(error) = failed
            && error.class() != ErrorClass::Cancelled
        {
            outbound.fail((self.explain)(&error));
        }
    }
}

/// Sends the end of a channel. Its guest has nothing to do with it any more.
async fn finish(writer: ChannelWriter) -> Option<CallError> {
    if let Err(error) = writer.finish().await {
        tracing::debug!(%error, "the end of a stream was not sent");
    }
    None
}

/// What arrives for a guest of this host, with the words for its failures.
pub(super) struct Arriving<E> {
    reader: ChannelReader,
    explain: E,
}

impl<E> Arriving<E>
where
    E: Fn(&CallError) -> trellis_engine::CallError + Send + 'static,
{
    pub(super) fn new(reader: ChannelReader, explain: E) -> Self {
        Self { reader, explain }
    }
}

impl<E> ChannelSource for Arriving<E>
where
    E: Fn(&CallError) -> trellis_engine::CallError + Send + 'static,
{
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, trellis_engine::CallError>> {
        let next = self.reader.poll_next(context);
        next.map_err(|error| (self.explain)(&error))
    }
}

/// Where streams and futures are in a tuple.
pub(super) struct Places<'a> {
    /// All of them.
    pub(super) all: &'a [AsyncPath],
    /// Those that are not inside of another.
    pub(super) outermost: &'a [AsyncPath],
}

impl Places<'_> {
    /// Says that somebody reads what is at `path`, where that may be inside of another stream or future.
    pub(super) fn claim_inside(&self, reader: &ChannelReader, path: &[u32]) {
        let at = |places: &[AsyncPath]| places.iter().filter(|it| it.is_at(path)).count();
        if at(self.all) > at(self.outermost) {
            reader.claim();
        }
    }
}

/// Tells whether nothing is missing from the bytes of a tuple.
pub(super) fn is_whole(plan: &FunctionPlan, tuple: PlanId, bytes: &[u8]) -> bool {
    let scanned = scan(&plan.plan, tuple, bytes, Dialect::A, &Limits::default());
    !matches!(scanned, Ok(Scan::NeedMore { .. }))
}
