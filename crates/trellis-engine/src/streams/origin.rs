//! Where the streams and futures inside of a tuple, an element or a value come from.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use trellis_core::ErrorClass;
use trellis_wire::plan::{FunctionPlan, PlanId};
use trellis_wire::{Dialect, find_pending};

use super::codec::{Decoder, Kind};
use super::outbound::Outbound;
use super::source::{CalleeTask, Channel, ChannelSource, Inbound, Source};
use crate::call_error::CallError;

/// Streams and futures that are pending in one value, which is also the most that an instance may have open.
/// It is far more than a component works on at once; with a full pipe for each, 64 MiB.
pub(crate) const STREAMS_OPEN_MAX: usize = 1_024;

/// Where the streams and futures of one value come from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Origin {
    sender: Arc<Sender>,
    /// The place of the value in what the sender counts.
    base: Vec<u32>,
}

enum Sender {
    /// Another guest of this host.
    Guest {
        pipes: Mutex<Vec<Outbound>>,
        task: Option<Arc<CalleeTask>>,
    },
    /// Elsewhere.
    Elsewhere {
        inbound: Arc<dyn Inbound>,
        /// What comes at a place that was read from before.
        rest: Mutex<Option<Rest>>,
    },
}

/// The rest of the channel of a future whose value has come. Where that is a stream or future that is
/// pending, it is its channel.
pub(crate) struct Rest {
    pub(crate) place: Vec<u32>,
    pub(crate) unread: Bytes,
    pub(crate) bytes: Option<Box<dyn ChannelSource>>,
}

impl Origin {
    /// What another guest of this host writes, and what it runs in where its call has a result already.
    pub(crate) fn guest(pipes: Vec<Outbound>, task: Option<Arc<CalleeTask>>) -> Self {
        let pipes = Mutex::new(pipes);
        Self {
            sender: Arc::new(Sender::Guest { pipes, task }),
            base: Vec::new(),
        }
    }

    /// What comes with a call from elsewhere, or with its result, for the value at `base`.
    pub(crate) fn elsewhere(inbound: Arc<dyn Inbound>, base: Vec<u32>, rest: Option<Rest>) -> Self {
        let rest = Mutex::new(rest);
        Self {
            sender: Arc::new(Sender::Elsewhere { inbound, rest }),
            base,
        }
    }

    /// Returns the same, for the value at `path` inside of this one.
    pub(crate) fn below(&self, path: &[u32]) -> Self {
        Self {
            sender: self.sender.clone(),
            base: [&self.base, path].concat(),
        }
    }

    /// Returns what is pending at `path`, the stream or future `id`.
    ///
    /// # Errors
    /// When nobody sends it.
    pub(crate) fn open(
        &self,
        function: &Arc<FunctionPlan>,
        id: PlanId,
        path: &[u32],
    ) -> Result<Source, CallError> {
        let place = [&self.base, path].concat();
        match &*self.sender {
            Sender::Guest { pipes, task } => {
                let mut pipes = pipes.lock().unwrap_or_else(PoisonError::into_inner);
                let found = pipes.iter().position(|it| it.path == place);
                let found = found.map(|index| pipes.swap_remove(index));
                Ok(match found.ok_or_else(nobody_sends)?.source {
                    Source::Pipe(pipe, None) => Source::Pipe(pipe, task.clone()),
                    passed_on => passed_on,
                })
            }
            Sender::Elsewhere { inbound, rest } => {
                let mut decoder = Decoder::of(function, id, Kind::of(function, id)?);
                let mut rest = rest.lock().unwrap_or_else(PoisonError::into_inner);
                let bytes = match rest.take_if(|rest| rest.place == place) {
                    Some(rest) => {
                        decoder.push(rest.unread);
                        rest.bytes
                    }
                    None => Some(inbound.open(&place)),
                };
                Ok(Source::Channel(Box::new(Channel {
                    bytes,
                    decoder,
                    is_over: false,
                    inbound: inbound.clone(),
                    path: place,
                })))
            }
        }
    }

    /// Opens everything that is pending in the value `wire` of the type at `id`, to be carried on as it
    /// is. Their paths begin in the value.
    ///
    /// # Errors
    /// When nobody sends one of them, or they are too many.
    pub(crate) fn open_all(
        &self,
        function: &Arc<FunctionPlan>,
        id: PlanId,
        wire: &[u8],
    ) -> Result<Vec<Outbound>, CallError> {
        let pending = find_pending(&function.plan, id, wire, Dialect::A, STREAMS_OPEN_MAX);
        let pending =
            pending.map_err(|error| CallError::new(ErrorClass::Unavailable, error.to_string()))?;
        pending
            .into_iter()
            .map(|it| {
                let source = self.open(function, it.plan, &it.path)?;
                Outbound::new(function.clone(), it.plan, it.path, source)
            })
            .collect()
    }
}

fn nobody_sends() -> CallError {
    CallError::new(ErrorClass::Trap, "a stream was passed that nobody writes")
}
