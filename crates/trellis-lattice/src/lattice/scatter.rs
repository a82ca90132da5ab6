//! One question to many, and their answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::subscription::Subscription;
use super::{RequestError, refused};
use crate::message::Message;

/// Answers to one question; more than any lattice has hosts.
const ANSWERS_MAX: usize = 10_000;

/// The status with which a server says that nobody listens.
const STATUS_NO_RESPONDERS: u16 = 503;

/// The answers to one question, until its window has passed.
#[derive(Debug)]
pub struct Scatter {
    subject: String,
    answers: Subscription,
    refusals: broadcast::Receiver<Arc<str>>,
    end: Instant,
    left: usize,
}

impl Scatter {
    pub(super) fn new(
        subject: String,
        answers: Subscription,
        refusals: broadcast::Receiver<Arc<str>>,
        window: Duration,
    ) -> Self {
        Self {
            subject,
            answers,
            refusals,
            end: Instant::now() + window,
            left: ANSWERS_MAX,
        }
    }

    /// Returns the next answer; `None` when the window has passed or nobody listens.
    ///
    /// # Errors
    /// When the server does not let this user ask.
    ///
    /// # Cancel safety
    /// Cancelling loses no answer.
    pub async fn next(&mut self) -> Result<Option<Message>, RequestError> {
        if self.left == 0 {
            return Ok(None);
        }
        let answer = tokio::select! {
            biased;
            answer = self.answers.next() => answer,
            () = refused(&mut self.refusals, &self.subject) => {
                self.left = 0;
                return Err(RequestError::Denied { subject: self.subject.clone() });
            }
            () = tokio::time::sleep_until(self.end) => None,
        };
        let answer = answer.filter(|answer| answer.status != Some(STATUS_NO_RESPONDERS));
        self.left = if answer.is_some() { self.left - 1 } else { 0 };
        Ok(answer)
    }

    /// Returns the answers that come in the rest of the window, at most `enough` of them.
    ///
    /// # Errors
    /// When the server does not let this user ask.
    pub async fn collect(mut self, enough: usize) -> Result<Vec<Message>, RequestError> {
        let mut answers = Vec::new();
        while answers.len() < enough {
            match self.next().await? {
                Some(answer) => answers.push(answer),
                None => break,
            }
        }
        Ok(answers)
    }
}
