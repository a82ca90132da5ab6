//! Ours: log lines. A host publishes them only while somebody follows.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Most lines in one reply.
pub const LINES_MAX: u32 = 1_000; // A screen is 50; a reply stays far under the server's payload limit.

/// Longest time for which one request makes a host publish. Who follows longer asks again, so that
/// a follower that died costs nothing for long.
pub const FOLLOW_MAX: Duration = Duration::from_secs(60);

/// Asks for the latest lines, and for new ones to be published on the subject of log lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailCommand {
    /// Whose lines; those of the host itself where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_id: Option<String>,
    /// How many of the latest lines to answer with, at most [`LINES_MAX`].
    #[serde(default)]
    pub lines: u32,
    /// For how long to publish new lines, in milliseconds, at most [`FOLLOW_MAX`]; 0 for not at all.
    #[serde(default)]
    pub follow_ms: u64,
}

/// The latest lines, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTail {
    /// The lines.
    pub lines: Vec<LogLine>,
}

/// One line: in a [`LogTail`], or published by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written.
    #[serde(with = "crate::timestamp")]
    pub time: Timestamp,
    /// The host that wrote it.
    pub host_id: String,
    /// The component or provider that it is about; absent for the host itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_id: Option<String>,
    /// How grave it is.
    pub level: LogLevel,
    /// Counts the lines of one source, so that a gap is seen.
    pub sequence: u64,
    /// The text, without control characters.
    pub message: String,
}

/// How grave a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Messages.
    Trace,
    /// Decisions.
    Debug,
    /// State changed.
    Info,
    /// Something was coped with.
    Warn,
    /// Someone must act.
    Error,
}
