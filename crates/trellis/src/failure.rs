//! How a command fails: what a person reads, and the exit code.

use std::process::ExitCode;

use trellis_core::with_causes;
use trellis_host::{BindError, GatewayError, Problem, StartError};
use trellis_manifest::{Source, render_all};

/// The exit code of what failed as it can fail.
const FAILED: u8 = 1;
/// The exit code of what was typed wrong; the same as that of the parser.
const USAGE: u8 = 2;
/// The exit code of a defect of ours (`EX_SOFTWARE`).
const INTERNAL: u8 = 70;

/// Why a command failed, in the words that a person reads.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// Something failed: one line, its causes, and what to do next.
    pub(crate) fn new(error: &dyn std::error::Error, hint: Option<&str>) -> Self {
        Self {
            text: render(&with_causes(error), hint),
            code: FAILED,
        }
    }

    /// Something failed that has no error value.
    pub(crate) fn message(message: &str, hint: Option<&str>) -> Self {
        Self {
            text: render(message, hint),
            code: FAILED,
        }
    }

    /// What was typed cannot be done.
    pub(crate) fn usage(message: &str, hint: Option<&str>) -> Self {
        Self {
            text: render(message, hint),
            code: USAGE,
        }
    }

    /// Something failed that concerns a lattice: `note` says which, and where its settings are from.
    pub(crate) fn in_lattice(message: &str, note: &str, hint: Option<&str>) -> Self {
        Self {
            text: render(&format!("{message}\nnote: {note}"), hint),
            code: FAILED,
        }
    }

    /// The same failure, of what was typed.
    pub(crate) fn into_usage(self) -> Self {
        Self {
            code: USAGE,
            ..self
        }
    }

    /// A text that is rendered already.
    pub(crate) fn rendered(text: String) -> Self {
        Self { text, code: FAILED }
    }

    /// A host that did not start.
    pub(crate) fn start(error: StartError, sources: &[Source]) -> Self {
        match error {
            StartError::Problems(problems) => Self::rendered(render_problems(problems, sources)),
            StartError::Gateway(error @ GatewayError::Bind(BindError::InUse { .. })) => {
                // The gateway's text has a hint of its own, which names no option.
                let text = with_causes(&error);
                let (text, _) = text.split_once("\nhint:").unwrap_or((&text, ""));
                let hint = "stop that process, or choose another port with `--http 127.0.0.1:PORT` \
                            or in the manifest's `address`";
                Self {
                    text: render(text, Some(hint)),
                    code: FAILED,
                }
            }
            error @ StartError::Internal { .. } => Self {
                text: render(&with_causes(&error), None),
                code: INTERNAL,
            },
            error => Self::new(&error, error_hint(&error)),
        }
    }

    /// Returns what happened, in one line, and what to do next.
    pub(crate) fn parts(&self) -> (String, Option<String>) {
        let text = self.text.strip_prefix("error: ").unwrap_or(&self.text);
        match text.rsplit_once("\nhint: ") {
            Some((message, hint)) => (message.replace('\n', "; "), Some(hint.to_owned())),
            None => (text.replace('\n', "; "), None),
        }
    }

    /// Writes the text to standard error and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("{}", self.text.trim_end());
        ExitCode::from(self.code)
    }
}

/// Divides what a host says into what happened and what to do about it, where it says that.
pub(crate) fn said(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once("\nhint: ") {
        Some((said, hint)) => (said.trim_end(), Some(hint.trim())),
        None => (text, None),
    }
}

/// What to do about an error that concerns what was typed.
fn error_hint(error: &StartError) -> Option<&'static str> {
    error
        .concerns_cache_folder()
        .then_some("name a folder of your own for compiled code with `--cache FOLDER`")
}

fn render(message: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("error: {message}\nhint: {hint}"),
        None => format!("error: {message}"),
    }
}

fn render_problems(problems: Vec<Problem>, sources: &[Source]) -> String {
    let mut diagnostics = Vec::new();
    let mut rest = Vec::new();
    for problem in problems {
        match problem {
            Problem::Manifest(diagnostic) => diagnostics.push(diagnostic),
            Problem::Component { message, hint } => rest.push(render(&message, hint.as_deref())),
        }
    }
    if !diagnostics.is_empty() {
        rest.push(render_all(&diagnostics, sources));
    }
    rest.join("\n\n")
}
