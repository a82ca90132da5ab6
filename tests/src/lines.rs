//! What a process wrote, line by line, while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a test waits for something that happens in milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The lines of one output of a process, as they come.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Collects the lines of `output` on a thread until it ends.
    pub(crate) fn of(output: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let writer = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                writer.change(|state| {
                    state
                        .lines
                        .push(String::from_utf8_lossy(&line).into_owned());
                });
            }
            writer.change(|state| state.ended = true);
        });
        lines
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_all();
    }

    /// Waits for a line that contains `part` and returns it; `None` when the output ended without.
    ///
    /// # Panics
    /// When nothing of the kind happens for 30 seconds.
    pub fn wait_for(&self, part: &str) -> Option<String> {
        let found = |state: &State| state.lines.iter().find(|line| line.contains(part)).cloned();
        let state = self.wait(part, |state| state.ended || found(state).is_some());
        found(&state)
    }

    /// Waits until `count` lines contain `part`.
    ///
    /// # Panics
    /// When that does not happen within 30 seconds.
    pub fn wait_for_count(&self, part: &str, count: usize) {
        let state = self.wait(part, |state| state.ended || matching(state, part) >= count);
        let found = matching(&state, part);
        assert!(found >= count, "{found} of {count} lines say {part:?}");
    }

    /// Waits for the end of the output and returns all of it.
    ///
    /// # Panics
    /// When it does not end within 30 seconds.
    pub fn whole(&self) -> String {
        let state = self.wait("the end of the output", |state| state.ended);
        state.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Returns what there is so far.
    pub fn so_far(&self) -> String {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines.join("\n")
    }

    fn wait(
        &self,
        what: &str,
        mut done: impl FnMut(&State) -> bool,
    ) -> std::sync::MutexGuard<'_, State> {
        let end = Instant::now() + PATIENCE;
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !done(&state) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited {PATIENCE:?} for {what:?}, got:\n{}",
                state.lines.join("\n")
            );
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

fn matching(state: &State, part: &str) -> usize {
    state
        .lines
        .iter()
        .filter(|line| line.contains(part))
        .count()
}
