//! Measurements inside one process. Each prints one JSON object to stdout: name of a measure to number.

pub(crate) mod calls;
pub(crate) mod links;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Map, Value};

/// The part of the time that is spent before measuring begins.
const WARM_UP_DIVISOR: u32 = 5;

/// How long each measure takes.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Seconds for each measure
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

impl Span {
    pub(crate) fn duration(self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or(Duration::from_secs(1))
    }
}

/// Repeats `deed` for `span` after a warm-up and returns the microseconds of one.
pub(crate) async fn time(span: Duration, mut deed: impl AsyncFnMut() -> Result<()>) -> Result<f64> {
    repeat(span / WARM_UP_DIVISOR, &mut deed).await?;
    let start = Instant::now();
    let count = repeat(span, &mut deed).await?;
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}

async fn repeat(span: Duration, deed: &mut impl AsyncFnMut() -> Result<()>) -> Result<u32> {
    let start = Instant::now();
    let mut count = 0;
    while count == 0 || start.elapsed() < span {
        deed().await?;
        count += 1;
    }
    Ok(count)
}

/// The measures of one probe.
#[derive(Default)]
pub(crate) struct Measures(Map<String, Value>);

impl Measures {
    pub(crate) fn put(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Prints them for whoever started this probe.
    pub(crate) fn print(self) -> Result<()> {
        writeln!(std::io::stdout(), "{}", Value::Object(self.0)).context("nobody reads the figures")
    }
}
