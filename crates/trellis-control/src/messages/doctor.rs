//! Ours: what a host finds when it examines itself.

use serde::{Deserialize, Serialize};

/// The findings of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorReport {
    /// The host.
    pub host_id: String,
    /// Every check, also those that passed, in the order in which to read them.
    pub checks: Vec<DoctorCheck>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorCheck {
    /// What was examined, such as `clock`.
    pub name: String,
    /// How it came out.
    pub outcome: DoctorOutcome,
    /// What was found, for people.
    pub message: String,
    /// What to do about it, such as a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoctorOutcome {
    /// As it should be.
    Passed,
    /// Not examined, because it does not apply.
    Skipped,
    /// Works, but not as it should.
    Warning,
    /// Does not work.
    Failed,
}
