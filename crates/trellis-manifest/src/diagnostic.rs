//! What is wrong with a manifest, and where. The drawing is in `render`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::source::{Position, Source, Span};

mod render;
mod suggestion;

pub use render::render_all;
pub(crate) use render::{plain, quote};

/// Nobody reads a longer list; fixing these and parsing again shows the rest.
pub const DIAGNOSTICS_MAX: usize = 100;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// The manifest can be used, and something in it deserves a look.
    Warning,
}

impl Severity {
    /// Returns the lower-case word for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One finding in one manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The name of the [`Source`] it is about.
    pub source_name: Arc<str>,
    /// The text it is about.
    pub span: Span,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Returns an error about `span` of the source called `source_name`.
    pub fn error(source_name: &Arc<str>, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            source_name: Arc::clone(source_name),
            span,
            message: message.into(),
            hint: None,
        }
    }

    /// Returns a warning about `span` of the source called `source_name`.
    pub fn warning(source_name: &Arc<str>, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(source_name, span, message)
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the place of the first character it is about.
    pub fn position(&self) -> Position {
        self.span.start
    }

    /// Draws the finding for a terminal: message, place, the line with the text underlined, hint.
    /// Plain text of 80 columns that ends in a line break; whatever the manifest holds, no control
    /// character reaches the terminal.
    pub fn render(&self, source: &Source) -> String {
        render::render(self, source)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position();
        let (name, severity) = (plain(&self.source_name), self.severity.name());
        write!(
            f,
            "{name}:{line}:{column}: {severity}: {}",
            plain(&self.message)
        )
    }
}

impl std::error::Error for Diagnostic {}

/// The findings of one run, without repetitions, at most [`DIAGNOSTICS_MAX`] of each severity.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Diagnostic>,
    seen: HashSet<(Span, String)>,
    errors: usize,
    warnings: usize,
    suggestions: usize,
}

impl Findings {
    /// Returns the candidate that `text` may be a misspelling of. Searches at most
    /// [`DIAGNOSTICS_MAX`] times.
    pub(crate) fn suggest<'c>(
        &mut self,
        text: &str,
        candidates: impl Iterator<Item = &'c str>,
    ) -> Option<&'c str> {
        self.suggestions += 1;
        if self.suggestions > DIAGNOSTICS_MAX {
            return None;
        }
        suggestion::suggestion(text, candidates)
    }

    pub(crate) fn push(&mut self, mut diagnostic: Diagnostic) {
        let count = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        // An alias that is used twice brings the same finding twice.
        if *count >= DIAGNOSTICS_MAX
            || !self
                .seen
                .insert((diagnostic.span, diagnostic.message.clone()))
        {
            return;
        }
        *count += 1;
        if *count == DIAGNOSTICS_MAX {
            let more = format!("only the first {DIAGNOSTICS_MAX} findings are shown");
            diagnostic.hint = Some(match diagnostic.hint {
                Some(hint) => format!("{hint}; {more}"),
                None => more,
            });
        }
        self.list.push(diagnostic);
    }

    /// Tells whether another error would not be shown, so that looking for it is in vain.
    pub(crate) fn is_full(&self) -> bool {
        self.errors >= DIAGNOSTICS_MAX
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    pub(crate) fn error_count(&self) -> usize {
        self.errors
    }

    /// Returns everything in the order of the text; sources keep their order of appearance.
    pub(crate) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for diagnostic in &self.list {
            if !names.contains(&diagnostic.source_name) {
                names.push(Arc::clone(&diagnostic.source_name));
            }
        }
        let mut list = self.list;
        list.sort_by_key(|it| {
            (
                names.iter().position(|name| *name == it.source_name),
                it.span,
            )
        });
        list
    }
}
