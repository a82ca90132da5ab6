//! Streams and futures of calls between hosts: bytes between the engine and the lattice. What they mean is
//! the engine's, how they travel is wRPC's.

use std::task::{Context, Poll};

use bytes::Bytes;
use trellis_core::ErrorClass;
use trellis_engine::{ChannelSource, Outbound};
use trellis_wire::plan::{FunctionPlan, PlanId};
use trellis_wire::{Dialect, Limits, Scan, scan};
use trellis_wrpc::{CallError, ChannelReader, ChannelWriter};

use super::serving::to_lattice;

/// Sends what a guest of this host writes, to its end. A reader that wants no more ends it too; any other
/// failure is told to the guest in the words of `explain`.
pub(super) async fn pump(
    mut outbound: Outbound,
    mut writer: ChannelWriter,
    explain: impl Fn(&CallError) -> trellis_engine::CallError,
) {
    let failed = loop {
        let sent = match outbound.next().await {
            Ok(Some(bytes)) => writer.write(bytes).await,
            Ok(None) => return finish(writer).await,
            Err(error) => return writer.fail(&to_lattice(&error)),
        };
        if let Err(error) = sent {
            break error;
        }
    };
    if failed.class() != ErrorClass::Cancelled {
        outbound.fail(explain(&failed));
    }
}

async fn finish(writer: ChannelWriter) {
    if let Err(error) = writer.finish().await {
        tracing::debug!(%error, "the end of a stream was not sent");
    }
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

/// Tells whether nothing is missing from the bytes of a tuple.
pub(super) fn is_whole(plan: &FunctionPlan, tuple: PlanId, bytes: &[u8]) -> bool {
    let scanned = scan(&plan.plan, tuple, bytes, Dialect::A, &Limits::default());
    !matches!(scanned, Ok(Scan::NeedMore { .. }))
}
