//! The closed set of ways in which a call can fail, the same in every link tier.

use std::fmt;

/// Why a call did not end well. One word each, the same in every tier, log line and reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The component stopped itself: a trap, a panic, an exhausted memory or CPU budget.
    Trap,
    /// The wall-clock deadline of the call passed.
    Deadline,
    /// The caller went away before the answer.
    Cancelled,
    /// Nothing can answer: not deployed, not linked, or gone.
    Unavailable,
    /// Something can answer, but its queue is full. Try again later.
    Overloaded,
    /// A policy forbids the call.
    Denied,
}

impl ErrorClass {
    /// Every class, in the order of their HTTP status.
    pub const ALL: [Self; 6] = [
        Self::Denied,
        Self::Cancelled,
        Self::Trap,
        Self::Unavailable,
        Self::Overloaded,
        Self::Deadline,
    ];

    /// Returns the lower-case name used in logs, headers and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Denied => "denied",
        }
    }

    /// Returns the HTTP status with which a gateway reports this class.
    ///
    /// 499 is the customary status for a client that closed its request; nobody receives it, the
    /// access log shows it.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Denied => 403,
            Self::Cancelled => 499,
            Self::Trap => 500,
            Self::Unavailable | Self::Overloaded => 503,
            Self::Deadline => 504,
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
