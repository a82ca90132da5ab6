//! `trellis doctor`: what is wrong, and what to do about it.

mod connection;
mod machine;

use clap::Args;
use serde::Serialize;
use trellis_control::{DoctorCheck, DoctorOutcome};

use crate::arguments::OutputFormat;
use crate::connection::{LatticeOptions, Resolved};
use crate::failure::Failure;
use crate::output::{self, one_line};

/// Examine the connection, this machine and every host, with a remedy for what is wrong
///
/// Exits with 1 when a check fails. Warnings do not count as failures.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    trellis doctor\n  \
    trellis doctor --context shop --output json")]
pub(crate) struct Doctor {
    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output {
    /// Whether no check failed.
    healthy: bool,
    groups: Vec<Group>,
}

/// What was found in one place.
#[derive(Debug, Serialize)]
struct Group {
    /// `connection`, `this machine`, or a host.
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<String>,
    checks: Vec<DoctorCheck>,
}

pub(crate) async fn run(arguments: Doctor) -> Result<(), Failure> {
    let resolved = Resolved::of_client(&arguments.options.connection)?;
    let mut groups = connection::examine(resolved).await;
    groups.insert(1, machine::examine());
    let mut checks = groups.iter().flat_map(|it| &it.checks);
    let failed = checks
        .clone()
        .filter(|it| it.outcome == DoctorOutcome::Failed)
        .count();
    let healthy = !checks.any(|it| it.outcome == DoctorOutcome::Failed);
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output { healthy, groups })?,
        OutputFormat::Text => groups.iter().try_for_each(show)?,
    }
    if healthy {
        return Ok(());
    }
    let word = if failed == 1 { "check" } else { "checks" };
    Err(Failure::message(&format!("{failed} {word} failed"), None))
}

fn show(group: &Group) -> Result<(), Failure> {
    output::line(&one_line(&group.name))?;
    for check in &group.checks {
        let mark = match check.outcome {
            DoctorOutcome::Passed => "ok  ",
            DoctorOutcome::Skipped => "skip",
            DoctorOutcome::Warning => "warn",
            DoctorOutcome::Failed => "FAIL",
        };
        output::line(&one_line(&format!(
            "  {mark} {}: {}",
            check.name, check.message
        )))?;
        if let Some(remedy) = &check.remedy {
            output::line(&one_line(&format!("       -> {remedy}")))?;
        }
    }
    Ok(())
}

/// Makes a check.
fn check(
    name: &str,
    outcome: DoctorOutcome,
    message: impl Into<String>,
    remedy: Option<&str>,
) -> DoctorCheck {
    DoctorCheck {
        name: name.to_owned(),
        outcome,
        message: message.into(),
        remedy: remedy.map(str::to_owned),
    }
}
