//! Manifests: any texts are applications or findings, whose drawing is safe for a terminal. A line
//! `%%%` in the input separates several files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trellis_fuzz::within;
use trellis_manifest::{DIAGNOSTICS_MAX, Diagnostic, Severity, Source, parse_all};

/// Files of one input.
const FILES_MAX: usize = 4;

const SEPARATOR: &[u8] = b"\n%%%\n";

fuzz_target!(|data: &[u8]| {
    within((64 << 20) + 1_024 * data.len(), || {
        let files = split(data);
        let name = |index: usize| format!("{index}.yaml");
        let sources: Vec<Source> = files
            .iter()
            .enumerate()
            .map(|(index, bytes)| Source::from_bytes(name(index), bytes))
            .collect();
        match parse_all(&sources) {
            Ok(applications) => {
                for application in applications {
                    check_findings(&application.warnings, &sources);
                }
            }
            Err(findings) => {
                assert!(findings.iter().any(|it| it.severity == Severity::Error));
                check_findings(&findings, &sources);
            }
        }
    });
});

fn split(data: &[u8]) -> Vec<&[u8]> {
    let (mut files, mut rest) = (Vec::new(), data);
    while files.len() + 1 < FILES_MAX
        && let Some(at) = rest.windows(SEPARATOR.len()).position(|it| it == SEPARATOR)
    {
        files.push(&rest[..at]);
        rest = &rest[at + SEPARATOR.len()..];
    }
    files.push(rest);
    files
}

fn check_findings(findings: &[Diagnostic], sources: &[Source]) {
    assert!(findings.len() <= 2 * DIAGNOSTICS_MAX);
    let is_control = |it: char| it.is_control() && it != '\n';
    for finding in findings {
        let source = sources.iter().find(|it| it.name() == &*finding.source_name);
        let source = source.expect("a finding is about one of the sources");
        let lines = source.text().lines().count() + source.text().matches('\r').count();
        assert!(
            (1..=lines + 1).contains(&finding.span.start.line),
            "{finding}"
        );
        assert!(finding.span.start <= finding.span.end, "{finding}");
        let drawn = finding.render(source);
        assert!(
            drawn.ends_with('\n') && !drawn.contains(is_control),
            "{drawn:?}"
        );
        assert!(
            !finding.to_string().contains(char::is_control),
            "{finding:?}"
        );
    }
}
