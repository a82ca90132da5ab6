//! Calls to functions that others serve.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
use trellis_core::ErrorClass;

use crate::call_error::CallError;
use crate::call_state::{CallState, Dialect, Side};
use crate::channel::{ChannelReader, ChannelWriter, ChannelWriters};
use crate::config::NOTE_BYTES_MAX;
use crate::extension::{HEADER, Note};
use crate::headers::{Headers, wire_bytes};
use crate::open_call::OpenCall;
use crate::outbox::SMALL_BYTES_MAX;
use crate::subject::{IndexPath, Returns, Target};
use crate::transport::{Shared, Transport, message, too_many_open};

/// How one call is made.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// Time from now to the end of the call, its streams included. A peer of ours ends its work then.
    pub deadline: Duration,
    /// Headers that travel with the call: `source-id`, `link-name`, `traceparent` and the like.
    pub headers: Headers,
    /// Whether parameters have streams or futures that are written after the call began.
    pub params: ParamStreams,
    /// What the called host is told of us.
    pub offer: Offer,
    /// Who may take the call, as far as is known.
    pub takers: Takers,
}

/// Who may take a call. It decides what silence means: a host of ours says within milliseconds that it
/// took a call, one of 1.x may have it wait for as long as its component is busy, and say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takers {
    /// Anyone who serves the function. The call waits until its deadline.
    #[default]
    Anyone,
    /// Those who take a call at once: hosts of ours, as always where one is addressed alone
    /// ([`Target::at`]), and providers, since those of 1.x do not make a call wait before they took it. A
    /// call that none of them takes within [`peer_silence_max`](crate::Config::peer_silence_max) is lost.
    Prompt,
}

/// Whether the parameters are all in the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParamStreams {
    /// They are; nothing follows.
    #[default]
    None,
    /// Streams or futures follow, through [`Call::param_writer`].
    Follow,
}

/// Whether the extension is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    /// It is. Hosts of 1.x ignore that.
    #[default]
    Extended,
    /// It is not: the call is one of 1.x.
    Legacy,
}

impl CallOptions {
    /// Makes the options of a call that may take this long.
    pub fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            headers: Headers::new(),
            params: ParamStreams::None,
            offer: Offer::Extended,
            takers: Takers::Anyone,
        }
    }
}

/// Makes calls on one transport. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
}

/// A call that was sent, with its result and streams still to come. Dropping it and everything
/// that it gave cancels the call.
pub struct Call {
    open: Arc<OpenCall>,
    returns: Returns,
}

/// What does not fit in the first message, and where it begins.
struct Rest {
    bytes: Bytes,
    at: usize,
}

impl Client {
    /// Makes a client on this transport.
    pub fn new(transport: &Transport) -> Self {
        Self {
            transport: transport.clone(),
        }
    }

    /// Tells whether calls can leave this host.
    pub fn is_connected(&self) -> bool {
        !self.transport.shared.is_disconnected()
    }

    /// Calls a function without streams: parameters to result.
    ///
    /// # Errors
    /// What the called end answered, or what kept an answer from coming.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call.
    pub async fn call(
        &self,
        target: &Target,
        params: Bytes,
        options: CallOptions,
    ) -> Result<Bytes, CallError> {
        let deadline = Instant::now() + options.deadline;
        let work = async {
            let call = self.start(target, params, options, deadline).await?;
            poll_fn(|cx| call.open.state.poll_value(cx))
                .await
                .and_then(|result| check(call.returns, result))
        };
        match tokio::time::timeout_at(deadline.into(), work).await {
            Ok(result) => result,
            Err(_) => Err(CallError::deadline()),
        }
    }

    /// Starts a call whose parameters or result have streams or futures.
    ///
    /// # Errors
    /// What kept the call from being sent. A function that nobody serves is an error of the result.
    pub async fn invoke(
        &self,
        target: &Target,
        params: Bytes,
        options: CallOptions,
    ) -> Result<Call, CallError> {
        let deadline = Instant::now() + options.deadline;
        let start = self.start(target, params, options, deadline);
        match tokio::time::timeout_at(deadline.into(), start).await {
            Ok(call) => call,
            Err(_) => Err(CallError::deadline()),
        }
    }

    async fn start(
        &self,
        target: &Target,
        params: Bytes,
        options: CallOptions,
        deadline: Instant,
    ) -> Result<Call, CallError> {
        let shared = &self.transport.shared;
        if shared.is_disconnected() {
            return Err(CallError::before_start(
                ErrorClass::Unavailable,
                "there is no connection to NATS",
            ));
        }
        let mut state = CallState::new(Side::Caller, deadline, shared.bounds());
        state.tells_params_end = params.is_empty();
        state.is_soon_taken = target.is_at_host || options.takers == Takers::Prompt;
        let follows = options.params == ParamStreams::Follow;
        let mut headers = options.headers.into_map();
        let cut = self.cut(&params, &headers, options.offer)?;
        if cut == params.len() {
            state.tells_params_end |= follows;
        }
        if options.offer == Offer::Extended {
            let left = options.deadline.max(Duration::from_millis(1));
            let note = Note {
                end: cut == params.len(),
                size: (cut < params.len()).then_some(params.len() as u64),
                more: follows,
                deadline: Some(left),
                window: shared.window_to_tell(),
                ..Note::default()
            };
            headers.insert(HEADER, note.value());
        }
        let state = Arc::new(state);
        let slot = shared
            .slots
            .insert(state.clone())
            .ok_or_else(too_many_open)?;
        let open = Arc::new(OpenCall::caller(shared.clone(), state, slot));
        let (first, rest) = (params.slice(..cut), params.slice(cut..));
        let headers = (!headers.is_empty()).then_some(headers);
        let reply = Some(shared.call_subject(slot));
        let invocation = message(target.subject.clone(), reply, headers, first);
        if options.offer == Offer::Extended && invocation.payload.len() <= SMALL_BYTES_MAX {
            // Nothing of a call follows its first message before somebody has taken the call.
            if let Some(load) = shared.gather(invocation).await {
                load.send().await?;
            }
        } else {
            shared.publish(invocation).await?;
        }
        if !rest.is_empty() {
            let rest = Rest {
                bytes: rest,
                at: cut,
            };
            send_rest(shared, &open, rest).await?;
        }
        Ok(Call {
            open,
            returns: target.returns,
        })
    }

    /// Decides how many bytes go with the first message.
    fn cut(&self, params: &Bytes, headers: &HeaderMap, offer: Offer) -> Result<usize, CallError> {
        let note = match offer {
            Offer::Extended => NOTE_BYTES_MAX,
            Offer::Legacy => 0,
        };
        // Peers of 1.x leave room for the reply subject too; it is less than this.
        const REPLY_BYTES_MAX: usize = 128;
        let taken = wire_bytes(headers) + note + REPLY_BYTES_MAX;
        let room = self.transport.shared.message_bytes().checked_sub(taken);
        let room = room.ok_or_else(|| {
            CallError::before_start(
                ErrorClass::Denied,
                "the headers of the call are larger than a message",
            )
        })?;
        Ok(params.len().min(room))
    }
}

async fn send_rest(shared: &Shared, open: &OpenCall, rest: Rest) -> Result<(), CallError> {
    let other = open.other_end().await?;
    let subject = format!("{}.params", other.control).into();
    // Whoever is called may fail before it has everything.
    let send = shared.publish_value(&subject, rest.bytes, rest.at, other.dialect);
    let failed = poll_fn(|cx| open.state.poll_failure(cx));
    tokio::select! {
        sent = send => sent,
        error = failed => Err(error),
    }
}

/// A peer of 1.x tells of its failure by answering nothing.
fn check(returns: Returns, result: Bytes) -> Result<Bytes, CallError> {
    if result.is_empty() && returns == Returns::Value {
        return Err(CallError::new(
            ErrorClass::Trap,
            "the called component failed without a reason, as one of 1.x does",
        ));
    }
    Ok(result)
}

impl Call {
    /// Waits for the result. Its streams may still be open.
    ///
    /// # Errors
    /// What the called end answered, or what kept an answer from coming.
    ///
    /// # Cancel safety
    /// Nothing is lost; asked again, it gives the same.
    pub async fn result(&self) -> Result<Bytes, CallError> {
        let value = poll_fn(|cx| self.open.state.poll_value(cx));
        check(self.returns, self.open.within(value).await?)
    }

    /// Waits for a result of which `is_complete` says that nothing is missing. Peers of 1.x may send
    /// streams first and say later that the value has ended.
    ///
    /// # Errors
    /// As [`result`](Self::result).
    pub async fn result_until(
        &self,
        mut is_complete: impl FnMut(&[u8]) -> bool,
    ) -> Result<Bytes, CallError> {
        let mut wanted = 1;
        loop {
            let more = poll_fn(|cx| self.open.state.poll_more(cx, wanted));
            let value = self.open.within(more).await?;
            if value.is_whole || is_complete(&value.bytes) {
                return check(self.returns, value.bytes);
            }
            wanted = value.bytes.len() + 1;
        }
    }

    /// Reads the stream or future at this path of the result.
    pub fn result_reader(&self, path: IndexPath) -> ChannelReader {
        ChannelReader::new(self.open.clone(), path)
    }

    /// Returns what writes the streams and futures of the parameters.
    pub fn param_writers(&self) -> ChannelWriters {
        ChannelWriters::new(self.open.clone())
    }

    /// Writes the stream or future at this path of the parameters.
    ///
    /// # Errors
    /// Overloaded, when the call has too many streams.
    pub fn param_writer(&self, path: IndexPath) -> Result<ChannelWriter, CallError> {
        ChannelWriter::new(self.open.clone(), path)
    }

    /// Waits until someone took the call, and returns whether it is a host of ours.
    ///
    /// # Errors
    /// What keeps the call from being taken.
    pub async fn accepted_by(&self) -> Result<AcceptedBy, CallError> {
        let other = self.open.other_end().await?;
        let host = other.peer.and_then(|peer| peer.host().map(str::to_owned));
        Ok(match other.dialect {
            Dialect::Extended => AcceptedBy::Host(host.unwrap_or_default()),
            Dialect::Legacy => AcceptedBy::Legacy,
        })
    }
}

/// Who took a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptedBy {
    /// A host of ours, with its id.
    Host(String),
    /// A host or provider of 1.x.
    Legacy,
}
