//! Progress of a start: a spinner on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use trellis_host::{Observer, Progress};

/// How often the spinner moves.
const SPIN: Duration = Duration::from_millis(100);

/// Shows progress on standard error.
pub(crate) struct Shown {
    spinner: Option<ProgressBar>,
}

impl Shown {
    pub(crate) fn new() -> Self {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {msg}");
            spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner.enable_steady_tick(SPIN);
            spinner
        });
        Self { spinner }
    }

    /// Takes the spinner off the terminal.
    pub(crate) fn finish(&self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }

    fn line(&self, line: String) {
        match &self.spinner {
            Some(spinner) => spinner.println(line),
            None => eprintln!("{line}"),
        }
    }

    fn doing(&self, line: String) {
        match &self.spinner {
            Some(spinner) => spinner.set_message(line),
            None => eprintln!("{line}"),
        }
    }
}

impl Observer for Shown {
    fn observe(&self, progress: Progress) {
        match progress {
            Progress::Compiling(id) => self.doing(format!("compiling {id}")),
            Progress::Compiled {
                id,
                elapsed,
                from_cache,
            } => {
                let how = if from_cache { "loaded" } else { "compiled" };
                self.line(format!("{how} {id} in {} ms", elapsed.as_millis()));
            }
            Progress::Starting(id) => self.doing(format!("starting {id}")),
            Progress::Ready(id) => self.line(format!("ready {id}")),
        }
    }
}

/// Takes the spinner off the terminal on every way out.
impl Drop for Shown {
    fn drop(&mut self) {
        self.finish();
    }
}
