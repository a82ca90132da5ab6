//! One request and its one answer.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use trellis_lattice::RequestError;

use super::errors::action;
use super::{Client, ClientError};
use crate::json::{self, JsonError, REPLY_BYTES_MAX};
use crate::messages::{Answer, CtlResponse};
use crate::request::Request;
use crate::subjects::Route;

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
        let asking = self.lattice.request(&subject, None, payload, wait);
        match asking.await {
            Ok(answer) => Ok(answer.payload),
            Err(error) => Err(self.no_answer(route, error)),
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
