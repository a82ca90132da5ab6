//! Figures of one probe, and how many become one.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Map, Value};

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

/// The measures of one probe.
#[derive(Default)]
pub(crate) struct Measures(Map<String, Value>);

impl Measures {
    pub(crate) fn put(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value.into());
    }

    /// Prints them for whoever started this probe.
    pub(crate) fn print(self) -> Result<()> {
        writeln!(std::io::stdout(), "{}", Value::Object(self.0)).context("nobody reads the figures")
    }
}

/// Returns the value below which this part of all values is; not a number when there is none.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    // In range, as `part` is at most 1.
    values[(last as f64 * part).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.5), 50.0);
        assert_eq!(quantile(&mut values, 0.99), 99.0);
        assert_eq!(quantile(&mut values, 1.0), 100.0);
        assert!(quantile(&mut [], 0.5).is_nan());
    }
}
