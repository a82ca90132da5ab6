//! Progress of what takes time: a spinner on a terminal, plain lines or nothing elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use trellis_host::{Observer, Progress};

/// How often the spinner moves.
const SPIN: Duration = Duration::from_millis(100);

/// Returns a spinner, where standard error is a terminal.
fn new_spinner() -> Option<ProgressBar> {
    std::io::stderr().is_terminal().then(|| {
        let spinner = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {msg}");
        spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        spinner.enable_steady_tick(SPIN);
        spinner
    })
}

/// Shows on a terminal what is waited for; leaves nothing behind.
pub(crate) struct Spinner(Option<ProgressBar>);

impl Spinner {
    pub(crate) fn new() -> Self {
        Self(new_spinner())
    }

    /// Says what is waited for now.
    pub(crate) fn show(&self, doing: &str) {
        if let Some(spinner) = &self.0 {
            spinner.set_message(doing.to_owned());
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(spinner) = &self.0 {
            spinner.finish_and_clear();
        }
    }
}

/// Shows progress on standard error.
pub(crate) struct Shown {
    spinner: Option<ProgressBar>,
}

impl Shown {
    pub(crate) fn new() -> Self {
        Self {
            spinner: new_spinner(),
        }
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
