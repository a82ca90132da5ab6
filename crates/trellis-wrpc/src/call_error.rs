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
    lost: Option<Lost>,
}

/// Who was lost with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lost {
    /// The host that had taken it.
    Host(Box<str>),
    /// Whoever the call was given to; nobody said that it had taken it.
    Somebody,
}

impl CallError {
    /// Makes an error of a call that may have had effects.
    pub fn new(class: ErrorClass, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            class,
            message: message.into(),
            may_have_run: true,
            lost: None,
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

    /// Tells whether the call failed because nothing more was heard of whoever was called.
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Returns the id of the host that had taken the call, where the call failed because it was lost.
    pub fn lost_host(&self) -> Option<&str> {
        match self.lost.as_ref()? {
            Lost::Host(host) => Some(host),
            Lost::Somebody => None,
        }
    }

    pub(crate) fn of_lost_host(self, host: &str) -> Self {
        Self {
            lost: Some(Lost::Host(host.into())),
            ..self
        }
    }

    pub(crate) fn of_somebody_lost(self) -> Self {
        Self {
            lost: Some(Lost::Somebody),
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
