//! Why a call over the lattice did not end well: a class, a line of text, and whether it may have run.

use std::borrow::Cow;

use trellis_core::ErrorClass;

/// A failed call. The same type on both ends: what a handler returns is what its caller gets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{class}: {message}")]
pub struct CallError {
    class: ErrorClass,
    message: Cow<'static, str>,
    may_have_run: bool,
    lost_host: Option<Box<str>>,
}

impl CallError {
    /// Makes an error of a call that may have had effects.
    pub fn new(class: ErrorClass, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            class,
            message: message.into(),
            may_have_run: true,
            lost_host: None,
        }
    }

    /// Makes an error of a call that certainly did not begin, so that it may be made elsewhere.
    pub fn before_start(class: ErrorClass, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            may_have_run: false,
            ..Self::new(class, message)
        }
    }

    /// Returns the class of the failure.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// Returns what happened, without the class.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns whether the call may have had effects. Where it had none it can be made again.
    pub fn may_have_run(&self) -> bool {
        self.may_have_run
    }

    /// Returns the id of the host that had taken the call, where the call failed because it was lost.
    pub fn lost_host(&self) -> Option<&str> {
        self.lost_host.as_deref()
    }

    pub(crate) fn of_lost_host(self, host: &str) -> Self {
        Self {
            lost_host: Some(host.into()),
            ..self
        }
    }

    pub(crate) fn deadline() -> Self {
        Self::new(ErrorClass::Deadline, "the time for the call passed")
    }

    pub(crate) fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorClass::Unavailable, message)
    }
}
