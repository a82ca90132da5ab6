//! The load generator: `wrk` with one thread and 32 connections.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// One thread loads a server that has the other cores; with 32 connections it is never idle.
pub(crate) const THREADS: u32 = 1;
pub(crate) const CONNECTIONS: u32 = 32;

/// Puts one server under load.
pub(crate) struct Load {
    url: String,
    seconds: u32,
}

impl Load {
    pub(crate) fn new(url: &str, seconds: u32) -> Self {
        Self {
            url: url.to_owned(),
            seconds,
        }
    }

    /// Measures once.
    ///
    /// # Errors
    /// When `wrk` cannot run, or when a single request failed: a server is not fast by refusing.
    pub(crate) fn requests_per_second(&self) -> Result<f64> {
        self.run(self.seconds)
    }

    /// Loads the server without measuring.
    pub(crate) fn warm_up(&self, span: Duration) -> Result<()> {
        self.run(u32::try_from(span.as_secs()).unwrap_or(1))
            .map(drop)
    }

    fn run(&self, seconds: u32) -> Result<f64> {
        let mut wrk = Command::new("wrk");
        wrk.arg(format!("-t{THREADS}"))
            .arg(format!("-c{CONNECTIONS}"))
            .arg(format!("-d{seconds}s"))
            .arg(&self.url);
        let output = wrk
            .output()
            .context("cannot run `wrk`\nhint: apt-get install wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {text}");
        read(&text)
    }
}

/// Reads the rate from what `wrk` prints.
fn read(text: &str) -> Result<f64> {
    let line = |start: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(start))
    };
    for failure in ["Non-2xx or 3xx responses:", "Socket errors:"] {
        if let Some(count) = line(failure) {
            anyhow::bail!("requests failed: {failure}{count}");
        }
    }
    let rate = line("Requests/sec:").context("wrk printed no rate")?;
    let rate: f64 = rate
        .trim()
        .parse()
        .context("wrk printed a rate that is no number")?;
    ensure!(rate > 0.0, "no request was answered");
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n\
                        \x20 117000 requests in 1.00s, 15MB read\nRequests/sec: 117000.25\n";

    #[test]
    fn the_rate_is_read() {
        assert_eq!(read(GOOD).expect("it is there"), 117_000.25);
    }

    #[test]
    fn failed_requests_are_no_result() {
        let refused = format!("{GOOD}  Non-2xx or 3xx responses: 7\n");
        let error = read(&refused).expect_err("seven failed");
        assert_eq!(
            error.to_string(),
            "requests failed: Non-2xx or 3xx responses: 7"
        );
        let broken = format!("{GOOD}  Socket errors: connect 0, read 1, write 0, timeout 0\n");
        assert!(read(&broken).is_err());
    }

    #[test]
    fn silence_is_no_result() {
        assert!(read("").is_err());
        assert!(read("Requests/sec:      0.00\n").is_err());
    }
}
