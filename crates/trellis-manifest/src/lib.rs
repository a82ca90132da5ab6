//! OAM manifests of wasmCloud 1.x: parse with positions, validate, explain.
//!
//! [`parse`] reads a text and returns applications, or everything that is wrong with it at once:
//! each [`Diagnostic`] has its place, and [`Diagnostic::render`] draws it for a terminal. The model
//! keeps the places of images, components and links, so that an error of a later step points at the
//! manifest too ([`Application::error_at`]).
//!
//! Pure: no I/O, no clock, no async. Input of any kind is answered within bounds that are named
//! beside the code which keeps them: a bomb, a broken text or a hostile one is a finding, never a
//! panic.
//!
//! Invariant: an [`Application`] has passed every check of this crate, so nobody checks again.

mod diagnostic;
mod image;
mod model;
mod node;
mod reader;
mod schema;
mod source;
mod units;
mod validate;

pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Severity, render_all};
pub use image::{ImageError, ImageRef};
pub use model::{
    Application, Component, ComponentKind, ConfigSet, LimitOverrides, Link, LinkInterface, Origin,
    Policy, ReuseOverrides, SPREAD_WEIGHT_DEFAULT, Scaler, ScalerKind, Secret, Spread,
};
pub use node::MANIFEST_BYTES_MAX;
pub use schema::{API_VERSION, KIND};
pub use source::{Position, Source, Span};

use diagnostic::Findings;
use reader::Reader;
use schema::Draft;

/// Reads the applications of one text: one, or one for each of its YAML documents.
///
/// # Errors
/// Everything that is wrong, in the order of the text, with the warnings among it; at most
/// [`DIAGNOSTICS_MAX`] errors and as many warnings.
///
/// # Examples
/// ```
/// use trellis_manifest::{Source, parse};
///
/// let source = Source::new("wadm.yaml", "apiVersion: core.oam.dev/v1beta1\nkind: App\n");
/// let findings = parse(&source).expect_err("no metadata, no spec, a wrong kind");
/// assert_eq!(findings.len(), 3);
/// assert!(findings[2].render(&source).contains("--> wadm.yaml:2:7"));
/// ```
pub fn parse(source: &Source) -> Result<Vec<Application>, Vec<Diagnostic>> {
    parse_all(std::slice::from_ref(source))
}

/// Reads the applications of several texts that are to run side by side; names and ids must differ
/// across them.
///
/// # Errors
/// As [`parse`], over all texts.
pub fn parse_all(sources: &[Source]) -> Result<Vec<Application>, Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let mut drafts = Vec::new();
    for source in sources {
        read_source(source, &mut findings, &mut drafts);
    }
    validate::across(&drafts, &mut findings);
    let failed = findings.has_errors();
    let findings = findings.into_sorted();
    if failed {
        return Err(findings);
    }
    // Without errors there are only warnings; each goes to the document in which it stands.
    for warning in findings {
        let owner = drafts.iter_mut().rev().find(|draft| {
            draft.application.source_name == warning.source_name && draft.start <= warning.span
        });
        if let Some(draft) = owner {
            draft.application.warnings.push(warning);
        }
    }
    Ok(drafts.into_iter().map(|draft| draft.application).collect())
}

/// Reads one text and checks each of its documents by itself.
fn read_source(source: &Source, findings: &mut Findings, drafts: &mut Vec<Draft>) {
    let Some(documents) = node::documents(source, findings) else {
        return;
    };
    let mut reader = Reader::new(source, findings);
    let mut written = documents
        .iter()
        .filter(|document| !document.is_null())
        .peekable();
    if written.peek().is_none() {
        let hint = format!("a manifest begins with `apiVersion: {API_VERSION}`");
        reader.error_with_hint(Span::at(1, 1), "the manifest is empty", hint);
    }
    for document in written {
        if let Some(draft) = schema::application(&mut reader, document) {
            validate::application(&draft, reader.findings);
            drafts.push(draft);
        }
    }
}
