//! Calls from a component on one host to a component on another: guest memory to guest memory.

use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use crate::http_client::HttpClient;
use crate::measures::{Measures, Span, quantile};
use crate::site::{Programs, Site, patiently};

/// What is measured: a name, and the request to `caller` that makes one call. Its clock covers the call alone, and
/// both instances are fresh, as those of components are by default.
const CASES: [(&str, &str); 4] = [
    ("nop", "/nop?n=1"),
    ("1KiB", "/bytes?n=1&size=1024"),
    ("64KiB", "/bytes?n=1&size=65536"),
    ("1MiB", "/bytes?n=1&size=1048576"),
];

/// Requests before the first figure.
const WARM_UP: u32 = 20;

/// Calls between components of two hosts.
#[derive(Args)]
pub(crate) struct Hosts {
    #[command(flatten)]
    span: Span,

    #[command(flatten)]
    programs: Programs,
}

impl Hosts {
    /// Measures every case.
    pub(crate) fn measure(self) -> Result<Measures> {
        let site = Site::start(&self.programs, 2)?;
        site.start_component("callee", 0)?;
        site.start_component("caller", 1)?;
        site.ask(&[
            "link",
            "put",
            "caller",
            "callee",
            "trellis-test",
            "types",
            "--interface",
            "bench",
        ])?;
        let address = site.serve("caller", 1)?;
        let mut client = patiently(|| {
            let mut client = HttpClient::connect(address)?;
            client.get(CASES[0].1)?;
            Ok(client)
        })
        .context("the caller never reached the callee")?;
        let mut measures = Measures::default();
        for (name, path) in CASES {
            for _ in 0..WARM_UP {
                client.get(path)?;
            }
            let begin = Instant::now();
            let mut microseconds = Vec::new();
            while microseconds.is_empty() || begin.elapsed() < self.span.duration() {
                let answer = client.get(path)?;
                let nanoseconds = nanoseconds(&answer);
                let nanoseconds = nanoseconds.with_context(|| format!("it answered {answer:?}"))?;
                microseconds.push(nanoseconds / 1e3);
            }
            measures.put(
                format!("hosts-p50-{name}"),
                quantile(&mut microseconds, 0.5),
            );
            measures.put(
                format!("hosts-p99-{name}"),
                quantile(&mut microseconds, 0.99),
            );
        }
        Ok(measures)
    }
}

/// Reads `1 calls, 1234 ns each`.
fn nanoseconds(answer: &str) -> Option<f64> {
    let (_, rest) = answer.split_once("calls, ")?;
    let (number, _) = rest.split_once(" ns")?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_read_from_the_answer() {
        assert_eq!(nanoseconds("1 calls, 1234 ns each\n"), Some(1234.0));
        assert_eq!(nanoseconds("changed on the way\n"), None);
    }
}
