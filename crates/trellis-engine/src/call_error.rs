//! How a call into a component fails.

use std::fmt;

use trellis_core::ErrorClass;

/// A call that did not end well: its class, and what to tell an operator.
#[derive(Debug)]
pub struct CallError {
    /// The class, which decides what the caller sees.
    pub class: ErrorClass,
    message: Box<str>,
    source: Option<wasmtime::Error>,
    /// Whether the function that was called had begun.
    ran: bool,
}

impl CallError {
    /// Makes an error of `class` that says `message`.
    pub fn new(class: ErrorClass, message: impl Into<Box<str>>) -> Self {
        Self {
            class,
            message: message.into(),
            source: None,
            ran: false,
        }
    }

    /// Sorts an error of wasmtime into a class. An error of ours that travelled through the guest
    /// (a limit, a failed link call) keeps its own class.
    pub(crate) fn from_guest(error: wasmtime::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(error) => Self {
                class: ErrorClass::Trap,
                message: describe_trap(&error).into(),
                source: Some(error),
                ran: true,
            },
        }
    }

    /// Adds `note` to the message, for a cause that only the host saw.
    pub(crate) fn with_note(mut self, note: &str) -> Self {
        self.message = format!("{}; {note}", self.message).into();
        self
    }

    /// Returns the error for one of `requests` that were in an instance which failed.
    pub(crate) fn share(&self, requests: usize) -> Self {
        let message = if requests > 1 {
            format!(
                "{} (one of {requests} requests in its instance)",
                self.message
            )
        } else {
            self.message.clone().into()
        };
        Self {
            ran: self.ran,
            ..Self::new(self.class, message)
        }
    }

    /// Returns the same error without its causes, for another one who has to know it.
    pub(crate) fn copy(&self) -> Self {
        Self {
            ran: self.ran,
            ..Self::new(self.class, self.message.clone())
        }
    }

    /// Returns the same error in `class`, of a function that did not begin.
    pub(crate) fn before_start(self, class: ErrorClass) -> Self {
        Self {
            class,
            ran: false,
            ..self
        }
    }

    /// Marks the error of a function that had begun to run: its own, or one of a call that it made.
    #[must_use]
    pub fn having_run(mut self) -> Self {
        self.ran = true;
        self
    }

    /// Tells whether the function that was called never began, so that the call can be made again.
    pub fn did_not_run(&self) -> bool {
        !self.ran
            && matches!(
                self.class,
                ErrorClass::Unavailable | ErrorClass::Overloaded | ErrorClass::Denied
            )
    }

    /// Returns what happened in one line, without its causes.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Names the trap, or the innermost cause where the guest failed without one.
fn describe_trap(error: &wasmtime::Error) -> String {
    if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        return format!("the component trapped: {trap}");
    }
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return format!(
            "the component exited with status {} instead of answering",
            exit.0
        );
    }
    let cause = error.root_cause().to_string();
    // wasmtime has no type for this error.
    if cause.contains("fuel allocated for hostcalls") {
        return "the component passed more data in one call than it may (limits.hostcallBytes)"
            .into();
    }
    format!("the component failed: {cause}")
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_shares_an_error_knows_whether_the_function_had_begun() {
        let refused = CallError::new(ErrorClass::Overloaded, "full");
        for requests in [1, 2] {
            assert!(refused.share(requests).did_not_run());
        }
        assert!(refused.copy().did_not_run());
        let failed = refused.having_run();
        for requests in [1, 2] {
            assert!(!failed.share(requests).did_not_run());
        }
        assert!(!failed.copy().did_not_run());
    }
}
