//! A transport in memory: carries bytes between two components as one to another host does, cut in odd
//! places.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use trellis_core::ErrorClass;
use trellis_engine::{
    CallError, ChannelSource, FunctionRef, Generation, Inbound, Opened, Outbound, RemoteTarget,
    Streaming,
};

/// Messages that wait on one channel.
const MESSAGES_MAX: usize = 2;

/// What comes on a channel.
pub(crate) enum Line {
    Bytes(Bytes),
    Done,
    Lost,
    Failed(CallError),
}

/// The channels of one direction.
pub(crate) struct Lines(Mutex<Vec<(Vec<u32>, Channel)>>);

enum Channel {
    Written(VecDeque<Line>),
    Live(mpsc::Receiver<Line>),
}

impl Lines {
    pub(crate) fn none() -> Arc<dyn Inbound> {
        Arc::new(Self(Mutex::default()))
    }

    /// One channel with all that comes on it.
    pub(crate) fn of(path: impl Into<Vec<u32>>, lines: Vec<Line>) -> Arc<dyn Inbound> {
        let channel = Channel::Written(lines.into());
        Arc::new(Self(Mutex::new(vec![(path.into(), channel)])))
    }

    /// Carries what goes out.
    fn carry(outbound: Vec<Outbound>) -> Self {
        let mut channels = Vec::new();
        for outbound in outbound {
            let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
            channels.push((outbound.path().to_vec(), Channel::Live(receiver)));
            tokio::spawn(carry(outbound, sender));
        }
        Self(Mutex::new(channels))
    }
}

async fn carry(mut outbound: Outbound, sender: mpsc::Sender<Line>) {
    loop {
        let line = match outbound.next().await {
            Ok(Some(mut bytes)) => {
                let head = bytes.split_to(bytes.len().min(3));
                if sender.send(Line::Bytes(head)).await.is_err() {
                    return;
                }
                Line::Bytes(bytes)
            }
            Ok(None) => Line::Done,
            Err(error) => Line::Failed(error),
        };
        let is_last = !matches!(line, Line::Bytes(_));
        if sender.send(line).await.is_err() || is_last {
            return;
        }
    }
}

impl Inbound for Lines {
    fn open(&self, path: &[u32]) -> Box<dyn ChannelSource> {
        let mut channels = self.0.lock().unwrap();
        let found = channels.iter().position(|(it, _)| it == path);
        Box::new(channels.swap_remove(found.expect("nobody sends that")).1)
    }
}

impl ChannelSource for Channel {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CallError>> {
        let line = match self {
            Self::Written(lines) => lines.pop_front(),
            Self::Live(receiver) => std::task::ready!(receiver.poll_recv(context)),
        };
        Poll::Ready(match line {
            Some(Line::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Line::Done) => Ok(None),
            Some(Line::Failed(error)) => Err(error),
            Some(Line::Lost) | None => Err(CallError::new(
                ErrorClass::Unavailable,
                "the other host is gone",
            )),
        })
    }
}

/// A component that is reached as one on another host is.
pub(crate) struct Elsewhere(Arc<Generation>);

impl Elsewhere {
    pub(crate) fn of(generation: Arc<Generation>) -> Arc<Self> {
        Arc::new(Self(generation))
    }
}

#[async_trait]
impl RemoteTarget for Elsewhere {
    async fn call(
        &self,
        _function: &FunctionRef,
        _params: Bytes,
        _expires: Instant,
    ) -> Result<Bytes, CallError> {
        unreachable!("all functions of the interface pass streams")
    }

    async fn open(
        &self,
        function: &FunctionRef,
        params: Bytes,
        outbound: Vec<Outbound>,
        _expires: Instant,
    ) -> Result<Opened, CallError> {
        let export = self.0.function(&function.interface, &function.function);
        let (export, inbound) = (export.unwrap(), Arc::new(Lines::carry(outbound)));
        // On a task of its own, as everything that comes from another host.
        let callee = self.0.clone();
        let call = async move { callee.call_streaming(&export, params, inbound).await };
        let Streaming {
            result,
            outbound,
            rest,
        } = tokio::spawn(call).await.unwrap()?;
        tokio::spawn(rest);
        let inbound = Arc::new(Lines::carry(outbound));
        Ok(Opened { result, inbound })
    }
}
