//! What every reply is wrapped in: the envelope of 1.x, and that of our own subjects.

use serde::{Deserialize, Serialize};
use trellis_core::ErrorClass;

/// The reply of 1.x: whether it worked, words for people, and maybe data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtlResponse<T> {
    /// Whether the request was accepted.
    pub success: bool,
    /// What happened; may be empty.
    #[serde(default)]
    pub message: String,
    /// The data, where the request has any.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub response: Option<T>,
}

impl<T> CtlResponse<T> {
    /// Returns a success with data and without words.
    pub fn data(response: T) -> Self {
        Self {
            success: true,
            message: String::new(),
            response: Some(response),
        }
    }

    /// Returns a failure.
    pub fn failure(message: impl Into<String>) -> Self {
        Self {
            success: false,
            message: message.into(),
            response: None,
        }
    }
}

impl CtlResponse<()> {
    /// Returns a success without data; `message` may be empty or a warning.
    pub fn done(message: impl Into<String>) -> Self {
        Self {
            success: true,
            message: message.into(),
            response: None,
        }
    }
}

/// The words with which hosts of 1.x report success; some tools compare them.
pub mod success {
    /// Reply to `host.stop`.
    pub const HOST_STOPPED: &str = "successfully handled stop host";
    /// Reply to `label.put`.
    pub const LABEL_PUT: &str = "successfully put label";
    /// Reply to `label.del`.
    pub const LABEL_DELETED: &str = "successfully deleted label";
    /// Reply to `label.del` where there was no such label.
    pub const LABEL_ABSENT: &str = "successfully deleted label (no such label)";
    /// Reply to `provider.start`.
    pub const PROVIDER_STARTED: &str = "successfully started provider";
    /// Reply to `provider.stop`.
    pub const PROVIDER_STOPPED: &str = "successfully stopped provider";
    /// Reply to `link.put`.
    pub const LINK_PUT: &str = "successfully set link";
    /// Reply to `link.del`.
    pub const LINK_DELETED: &str = "successfully deleted link";
    /// Reply to `link.del` where the source has no spec.
    pub const LINK_ABSENT: &str = "successfully deleted link (spec doesn't exist)";
    /// Reply to `config.put`.
    pub const CONFIG_PUT: &str = "successfully put config";
    /// Reply to `config.del`.
    pub const CONFIG_DELETED: &str = "successfully deleted config";
    /// Reply to `config.get` where there is no such entry; still a success.
    pub const CONFIG_ABSENT: &str = "Configuration not found";
    /// Reply to `registry.put`.
    pub const REGISTRIES_PUT: &str = "successfully put registries";
}

/// The reply on subjects of our own: `{"ok": …}` or `{"error": {"code", "message"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// It worked.
    Ok(T),
    /// It did not.
    Error(Failure),
}

impl<T> Answer<T> {
    /// Returns a failure.
    pub fn failure(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Error(Failure {
            code,
            message: message.into(),
        })
    }
}

/// Why a request on a subject of our own did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Failure {
    /// The kind, for programs.
    pub code: ErrorCode,
    /// What happened, for people.
    pub message: String,
}

/// The closed set of kinds of [`Failure`]: the classes of calls, and those of requests themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The component trapped or exceeded a budget.
    Trap,
    /// The deadline passed.
    Deadline,
    /// The caller went away.
    Cancelled,
    /// Nothing can answer.
    Unavailable,
    /// Too much is asked for at once.
    Overloaded,
    /// A policy forbids it.
    Denied,
    /// The request itself is wrong.
    Invalid,
    /// What the request names does not exist on this host.
    NotFound,
    /// The host failed in a way that is its own fault; its log has the cause.
    #[serde(other)]
    Internal,
}

impl ErrorCode {
    /// Returns the word that travels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => ErrorClass::Trap.name(),
            Self::Deadline => ErrorClass::Deadline.name(),
            Self::Cancelled => ErrorClass::Cancelled.name(),
            Self::Unavailable => ErrorClass::Unavailable.name(),
            Self::Overloaded => ErrorClass::Overloaded.name(),
            Self::Denied => ErrorClass::Denied.name(),
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Internal => "internal",
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl From<ErrorClass> for ErrorCode {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Trap => Self::Trap,
            ErrorClass::Deadline => Self::Deadline,
            ErrorClass::Cancelled => Self::Cancelled,
            ErrorClass::Unavailable => Self::Unavailable,
            ErrorClass::Overloaded => Self::Overloaded,
            ErrorClass::Denied => Self::Denied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::encode;

    #[test]
    fn the_word_of_a_code_is_what_travels() {
        for class in ErrorClass::ALL {
            let text = format!("\"{}\"", class.name());
            assert_eq!(encode(&ErrorCode::from(class)), text);
        }
        for code in [ErrorCode::Invalid, ErrorCode::NotFound, ErrorCode::Internal] {
            assert_eq!(encode(&code), format!("\"{code}\""));
        }
    }
}
