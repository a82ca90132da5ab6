//! One request and its one answer.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use trellis_lattice::{Headers, Message, RequestError};

use super::errors::action;
use super::{Client, ClientError};
use crate::change::new_change;
use crate::json::{self, JsonError, REPLY_BYTES_MAX};
use crate::messages::{Answer, CtlResponse};
use crate::request::Request;
use crate::subjects::Route;

/// After this silence a request that may be repeated is sent again: a host that is well answers within
/// milliseconds, the disks of a cluster in a few hundred.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(400);
/// How long the next one is waited for before yet another is sent.
const ASK_AGAIN_EVERY: Duration = Duration::from_millis(100);
/// So often a request is sent at most. NATS draws the host that hears it: where one of two is deaf, all
/// reach the deaf one in one case of 32,000 within the usual 2 s.
const ASKS_MAX: usize = 16;

impl Client {
    /// Sends a command of 1.x and returns the host's words: empty, what it did, or a warning.
    pub(super) async fn command<T: Serialize>(
        &self,
        route: &Route,
        message: &T,
    ) -> Result<String, ClientError> {
        let payload = json::encode(message);
        let wait = self.timing.request;
        Ok(self
            .control::<IgnoredAny>(route, payload, wait)
            .await?
            .message)
    }

    /// Sends a query of 1.x without payload and returns the data.
    pub(super) async fn query<T: DeserializeOwned>(&self, route: &Route) -> Result<T, ClientError> {
        let wait = self.timing.request;
        let reply = self.control(route, Bytes::new(), wait).await?;
        reply.response.ok_or_else(|| self.unreadable(route, None))
    }

    /// Sends a request of 1.x and returns the reply, which says success.
    pub(super) async fn control<T: DeserializeOwned>(
        &self,
        route: &Route,
        payload: Bytes,
        wait: Duration,
    ) -> Result<CtlResponse<T>, ClientError> {
        let answer = self.ask(route, payload, wait).await?;
        self.read_reply(route, &answer)
    }

    /// Reads a reply of 1.x; one that says failure is an error.
    pub(super) fn read_reply<T: DeserializeOwned>(
        &self,
        route: &Route,
        answer: &[u8],
    ) -> Result<CtlResponse<T>, ClientError> {
        let reply: CtlResponse<T> = json::decode(answer, REPLY_BYTES_MAX)
            .map_err(|source| self.unreadable(route, Some(source)))?;
        if reply.success {
            return Ok(reply);
        }
        Err(ClientError::Refused {
            action: action(route),
            lattice: self.lattice.name().clone(),
            host: route.host().cloned(),
            message: reply.message,
        })
    }

    /// Sends a request of ours and returns the data.
    pub(super) async fn ours<T: DeserializeOwned>(
        &self,
        route: &Route,
        payload: Bytes,
        wait: Duration,
    ) -> Result<T, ClientError> {
        let answer = self.ask(route, payload, wait).await?;
        match json::decode(&answer, REPLY_BYTES_MAX) {
            Ok(Answer::Ok(data)) => Ok(data),
            Ok(Answer::Error(source)) => Err(ClientError::Failed {
                action: action(route),
                host: route.host().cloned(),
                source,
            }),
            Err(source) => Err(self.unreadable(route, Some(source))),
        }
    }

    /// Checks a request as its receiver will, sends it and returns the answer.
    async fn ask(
        &self,
        route: &Route,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Bytes, ClientError> {
        let subject = self.checked_subject(route, &payload)?;
        let headers = route.changes_state().then(new_change);
        let asked = if route.may_be_repeated() {
            self.ask_again(&subject, headers, payload, wait).await
        } else {
            self.lattice.request(&subject, headers, payload, wait).await
        };
        match asked {
            Ok(answer) => Ok(answer.payload),
            Err(error) => Err(self.no_answer(route, error)),
        }
    }

    /// Sends a request until somebody answers: NATS may give it to a host that does not hear, and does so
    /// until it notices, which takes minutes. Whichever host answers first, its answer counts. The others
    /// know by the id in the headers that a change was made, however late they hear of it.
    async fn ask_again(
        &self,
        subject: &str,
        headers: Option<Headers>,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Message, RequestError> {
        let mut asked = FuturesUnordered::new();
        let mut again = interval_at(Instant::now() + ASK_AGAIN_AFTER, ASK_AGAIN_EVERY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // The first is the first whose time is over, and then all of it was waited.
            let (headers, payload) = (headers.clone(), payload.clone());
            asked.push(self.lattice.request(subject, headers, payload, wait));
            tokio::select! {
                biased;
                Some(answer) = asked.next() => return answer,
                _ = again.tick(), if asked.len() < ASKS_MAX => {}
            }
        }
    }

    /// Returns the subject of a request that its receiver would take.
    pub(super) fn checked_subject(
        &self,
        route: &Route,
        payload: &Bytes,
    ) -> Result<String, ClientError> {
        let subject = self.subjects.subject(route);
        match Request::decode(&self.subjects, &subject, payload) {
            Ok(_) => Ok(subject),
            Err(source) => Err(ClientError::Invalid {
                action: action(route),
                source,
            }),
        }
    }

    pub(super) fn no_answer(&self, route: &Route, error: RequestError) -> ClientError {
        let action = action(route);
        let lattice = self.lattice.name().clone();
        let host = route.host().cloned();
        match error {
            RequestError::NoResponders { .. } => ClientError::Nobody {
                action,
                lattice,
                host,
                ours: route.is_ours(),
            },
            RequestError::Timeout { after, .. } => ClientError::NoAnswer {
                action,
                lattice,
                host,
                after,
            },
            source => ClientError::Connection {
                action,
                lattice,
                source,
            },
        }
    }

    fn unreadable(&self, route: &Route, source: Option<JsonError>) -> ClientError {
        ClientError::Unreadable {
            action: action(route),
            lattice: self.lattice.name().clone(),
            host: route.host().cloned(),
            source,
        }
    }
}
