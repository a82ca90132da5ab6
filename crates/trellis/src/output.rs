//! What commands write to standard output, as text and as JSON.
//!
//! The JSON shapes are a promise to programs: fields are added, never renamed.

mod table;

use std::io::Write;

use serde::Serialize;
use trellis_host::{ApplicationReport, Node};

use crate::failure::Failure;

pub(crate) use table::{Table, one_line};

/// Writes `value` as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(&error, None))?;
    line(&text)
}

/// Writes one line; a reader that went away ends the command quietly, as pipes do.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    stream_line(text).map(drop)
}

/// What became of a line of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Somebody may read the next line too.
    Present,
    /// Nobody reads any more, as when `head` has enough: the stream ends.
    Gone,
}

/// Writes one line of a stream and tells whether there is a reader left.
pub(crate) fn stream_line(text: &str) -> Result<Reader, Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Present),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::new(&error, None)),
    }
}

/// Writes one value of a stream as one line of JSON.
pub(crate) fn stream_json(value: &impl Serialize) -> Result<Reader, Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(&error, None))?;
    stream_line(&text)
}

/// `trellis up --output json`: one line when everything is ready.
#[derive(Serialize)]
pub(crate) struct UpOutput<'a> {
    host_id: &'a str,
    lattice: &'a str,
    /// Where the lattice is reached, such as `nats://127.0.0.1:4222`.
    server: &'a str,
    /// Where the metrics are, where they are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
    applications: Vec<ApplicationOutput<'a>>,
    /// Addresses, `IP:PORT`.
    listening: Vec<String>,
}

#[derive(Serialize)]
struct ApplicationOutput<'a> {
    name: &'a str,
    version: Option<&'a str>,
    components: Vec<ComponentOutput<'a>>,
    links: Vec<LinkOutput<'a>>,
    urls: &'a [String],
    notes: &'a [String],
}

#[derive(Serialize)]
struct ComponentOutput<'a> {
    id: &'a str,
    /// `sha256:` and 64 hexadecimal digits.
    digest: &'a str,
    /// `0.2` or `0.3`.
    wasi: &'a str,
    from_cache: bool,
}

#[derive(Serialize)]
struct LinkOutput<'a> {
    source: &'a str,
    target: &'a str,
    interface: &'a str,
    name: &'a str,
    /// `built-in` or `process`.
    tier: &'a str,
    reason: &'a str,
}

impl<'a> From<&'a Node> for UpOutput<'a> {
    fn from(node: &'a Node) -> Self {
        let report = node.host().report();
        Self {
            host_id: node.host_id().as_str(),
            lattice: node.lattice_name().as_str(),
            server: node.server(),
            metrics: node.metrics(),
            applications: report
                .applications
                .iter()
                .map(ApplicationOutput::from)
                .collect(),
            listening: report.listening.iter().map(ToString::to_string).collect(),
        }
    }
}

impl<'a> From<&'a ApplicationReport> for ApplicationOutput<'a> {
    fn from(application: &'a ApplicationReport) -> Self {
        let components = application
            .components
            .iter()
            .map(|component| ComponentOutput {
                id: component.id.as_str(),
                digest: &component.digest,
                wasi: component.wasi,
                from_cache: component.from_cache,
            });
        let links = application.links.iter().map(|link| LinkOutput {
            source: link.source.as_str(),
            target: link.target.as_str(),
            interface: &link.interface,
            name: link.name.as_str(),
            tier: link.tier.name(),
            reason: link.tier.reason(),
        });
        Self {
            name: &application.name,
            version: application.version.as_deref(),
            components: components.collect(),
            links: links.collect(),
            urls: &application.urls,
            notes: &application.notes,
        }
    }
}
