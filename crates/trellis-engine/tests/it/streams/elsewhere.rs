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

/// The channels of one direction. Either end may be the first to open one.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// Nobody will open what is inside of these.
    closed: Vec<Vec<u32>>,
}

/// One channel, and what was not yet taken of it.
struct Entry {
    path: Vec<u32>,
    sender: Option<mpsc::Sender<Line>>,
    receiver: Option<Channel>,
}

enum Channel {
    Written(VecDeque<Line>),
    Live(mpsc::Receiver<Line>),
}

impl Lines {
    pub(crate) fn none() -> Arc<dyn Inbound> {
        Arc::new(Self::default())
    }

    /// One channel with all that comes on it.
    pub(crate) fn of(path: impl Into<Vec<u32>>, lines: Vec<Line>) -> Arc<dyn Inbound> {
        let entry = Entry {
            path: path.into(),
            sender: None,
            receiver: Some(Channel::Written(lines.into())),
        };
        let entries = vec![entry];
        let closed = Vec::new();
        Arc::new(Self(Arc::new(Mutex::new(State { entries, closed }))))
    }

    /// Carries what goes out.
    fn carry_all(&self, outbound: Vec<Outbound>) {
        for outbound in outbound {
            let sender = self.take(outbound.path(), |entry| entry.sender.take());
            tokio::spawn(carry(outbound, sender, self.clone()));
        }
    }

    fn take<T>(&self, path: &[u32], take: impl Fn(&mut Entry) -> Option<T>) -> T {
        let mut state = self.0.lock().unwrap();
        let is_closed = state.closed.iter().any(|it| path.starts_with(it));
        let entries = &mut state.entries;
        let found = entries.iter().position(|entry| entry.path == path);
        let index = found.unwrap_or_else(|| {
            let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
            entries.push(Entry {
                path: path.to_vec(),
                sender: Some(sender),
                receiver: (!is_closed).then_some(Channel::Live(receiver)),
            });
            entries.len() - 1
        });
        take(&mut entries[index]).expect("a channel is opened once")
    }

    fn close(&self, path: &[u32]) {
        let mut state = self.0.lock().unwrap();
        let inside = state.entries.iter_mut();
        for entry in inside.filter(|entry| entry.path.starts_with(path)) {
            entry.receiver = None;
        }
        state.closed.push(path.to_vec());
    }
}

/// A channel that somebody reads. Dropping it before its end closes what is inside of it.
struct Reading {
    channel: Channel,
    path: Vec<u32>,
    lines: Lines,
    is_over: bool,
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.is_over {
            self.lines.close(&self.path);
        }
    }
}

async fn carry(mut outbound: Outbound, sender: mpsc::Sender<Line>, lines: Lines) {
    loop {
        let next = outbound.next().await;
        lines.carry_all(outbound.take_inner());
        let line = match next {
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
        Box::new(Reading {
            channel: self.take(path, |entry| entry.receiver.take()),
            path: path.to_vec(),
            lines: self.clone(),
            is_over: false,
        })
    }
}

impl ChannelSource for Reading {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CallError>> {
        let line = match &mut self.channel {
            Channel::Written(lines) => lines.pop_front(),
            Channel::Live(receiver) => std::task::ready!(receiver.poll_recv(context)),
        };
        self.is_over = !matches!(line, Some(Line::Bytes(_)));
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
        let (export, inbound) = (export.unwrap(), Lines::default());
        inbound.carry_all(outbound);
        let inbound = Arc::new(inbound);
        // On a task of its own, as everything that comes from another host.
        let callee = self.0.clone();
        let call = async move { callee.call_streaming(&export, params, inbound).await };
        let Streaming {
            result,
            outbound,
            rest,
        } = tokio::spawn(call).await.unwrap()?;
        tokio::spawn(rest);
        let inbound = Lines::default();
        inbound.carry_all(outbound);
        let inbound = Arc::new(inbound);
        Ok(Opened { result, inbound })
    }
}
