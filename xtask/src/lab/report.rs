//! What was counted, beside what it is held to.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Lab;
use super::load::Ledger;

/// One figure and its bar.
struct Line {
    id: String,
    what: String,
    figure: String,
    bar: String,
    is_met: bool,
}

/// The lines of one scenario.
struct Section {
    name: &'static str,
    lines: Vec<Line>,
    duration: Duration,
}

/// The figures of a run.
pub(crate) struct Report {
    class: &'static str,
    seed: u64,
    trellis: PathBuf,
    folder: PathBuf,
    sections: Vec<Section>,
}

impl Report {
    pub(super) fn new(lab: &Lab) -> Self {
        Self {
            class: lab.of("commit", "full"),
            seed: lab.seed,
            trellis: lab.trellis.clone(),
            folder: lab.folder.clone(),
            sections: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, name: &'static str) {
        self.sections.push(Section {
            name,
            lines: Vec::new(),
            duration: Duration::ZERO,
        });
    }

    pub(super) fn end(&mut self, duration: Duration) {
        if let Some(section) = self.sections.last_mut() {
            section.duration = duration;
        }
    }

    /// Notes and prints one figure.
    /// Forgets the last scenario if it missed a bar, so that it can be tried again. Returns whether it
    /// did.
    pub(super) fn retract_if_missed(&mut self) -> bool {
        let missed = |section: &Section| section.lines.iter().any(|it| !it.is_met);
        let is_missed = self.sections.last().is_some_and(missed);
        if is_missed {
            self.sections.pop();
        }
        is_missed
    }

    pub(super) fn line(&mut self, id: &str, what: &str, figure: String, bar: &str, is_met: bool) {
        let line = Line {
            id: id.to_owned(),
            what: what.to_owned(),
            figure,
            bar: bar.to_owned(),
            is_met,
        };
        println!("{}", line.text());
        if let Some(section) = self.sections.last_mut() {
            section.lines.push(line);
        }
    }

    /// Notes how many of something went wrong, where none may.
    pub(super) fn none_of(&mut self, id: &str, what: &str, wrong: usize, all: usize) {
        // Without trials nothing is shown.
        let is_met = wrong == 0 && all > 0;
        self.line(id, what, format!("{wrong} of {all}"), "0", is_met);
    }

    /// Notes how many requests failed, and how, where none may.
    pub(super) fn failures(&mut self, id: &str, what: &str, ledger: &Ledger) {
        let is_met = ledger.failures().next().is_none() && ledger.count() > 0;
        self.line(id, what, ledger.figure(), "0", is_met);
    }

    /// Notes a p99 before and after, which may grow `factor` times.
    pub(super) fn slowdown(
        &mut self,
        id: &str,
        what: &str,
        (before, after): (Duration, Duration),
        factor: f64,
    ) {
        let limit = before.mul_f64(factor).max(P99_FINE);
        let mut figure = format!("{}, before {}", seconds(after), seconds(before));
        if before > P99_BUSY {
            figure.push_str(" on a busy machine");
        }
        let bar = format!("{factor} times, or {}", seconds(P99_FINE));
        let is_met = !after.is_zero() && after <= limit;
        self.line(id, what, figure, &bar, is_met);
    }

    /// Notes a figure that is held to nothing.
    pub(super) fn remark(&mut self, id: &str, what: &str, figure: String) {
        self.line(id, what, figure, "none, to compare", true);
    }

    /// Notes the longest of several times; `None` is one that did not end.
    pub(super) fn longest(
        &mut self,
        id: &str,
        what: &str,
        times: &[Option<Duration>],
        limit: Duration,
    ) {
        let bar = format!("at most {}", seconds(limit));
        let longest = times.iter().flatten().max().copied().unwrap_or_default();
        let never = times.iter().filter(|it| it.is_none()).count();
        let figure = match (times.len(), never) {
            (0, _) => "not tried".to_owned(),
            (1, 0) => seconds(longest),
            (n, 0) => format!("{} (longest of {n})", seconds(longest)),
            (n, never) => format!("never in {never} of {n}"),
        };
        let is_met = !times.is_empty() && never == 0 && longest <= limit;
        self.line(id, what, figure, &bar, is_met);
    }

    /// Notes why a scenario could not be carried out.
    pub(super) fn failed(&mut self, error: &anyhow::Error) {
        let why = format!("{error:#}");
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        self.line("-", "the scenario runs to its end", why, "yes", false);
    }

    /// Returns how many bars were missed.
    pub(crate) fn missed(&self) -> usize {
        self.lines().filter(|it| !it.is_met).count()
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.sections.iter().flat_map(|it| &it.lines)
    }

    /// Prints all figures once more, aligned.
    pub(crate) fn print(&self) {
        let width = |part: fn(&Line) -> &str| {
            let widths = self.lines().map(|it| part(it).chars().count());
            widths.max().unwrap_or(0).min(COLUMN_MAX)
        };
        let (id, what) = (width(|it| &it.id), width(|it| &it.what));
        let (figure, bar) = (width(|it| &it.figure), width(|it| &it.bar));
        for section in &self.sections {
            println!("\n{} ({})", section.name, seconds(section.duration));
            for it in &section.lines {
                println!(
                    "  {:id$}  {:what$}  {:figure$}  {:bar$}  {}",
                    it.id,
                    it.what,
                    it.figure,
                    it.bar,
                    it.verdict()
                );
            }
        }
        let all = self.lines().count();
        println!("\n{} of {all} bars met", all - self.missed());
    }

    /// Writes `report.json` and returns where.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(crate) fn write(&self) -> Result<PathBuf> {
        let file = self.folder.join("report.json");
        let mut text = serde_json::to_string_pretty(&self.json())?;
        text.push('\n');
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    fn json(&self) -> Value {
        let line = |it: &Line| {
            json!({
                "id": it.id, "what": it.what, "figure": it.figure, "bar": it.bar, "met": it.is_met,
            })
        };
        let section = |it: &Section| {
            json!({
                "name": it.name,
                "seconds": it.duration.as_secs_f64(),
                "bars": it.lines.iter().map(line).collect::<Vec<_>>(),
            })
        };
        json!({
            "class": self.class,
            "seed": self.seed,
            "trellis": self.trellis.display().to_string(),
            "missed": self.missed(),
            "scenarios": self.sections.iter().map(section).collect::<Vec<_>>(),
        })
    }
}

/// A p99 below this is fine whatever it was before: a machine that builds at the same time makes as much.
const P99_FINE: Duration = Duration::from_millis(25);

/// A p99 before the fault above this says that the machine was busy, and that the comparison is worth little.
const P99_BUSY: Duration = Duration::from_millis(250);

/// What is longer is shown, but moves no column.
const COLUMN_MAX: usize = 64;

impl Line {
    fn verdict(&self) -> &'static str {
        if self.is_met { "met" } else { "MISSED" }
    }

    fn text(&self) -> String {
        let Self {
            id,
            what,
            figure,
            bar,
            ..
        } = self;
        format!("{id}: {what}: {figure}; bar {bar}: {}", self.verdict())
    }
}

/// Writes a time as people read it beside a bar.
pub(super) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_millis(100) {
        format!("{:.1} ms", duration.as_secs_f64() * 1e3)
    } else {
        format!("{:.2} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let lab = Lab {
            trellis: "trellis".into(),
            nats_server: None,
            guests: "guests".into(),
            is_full: false,
            tries: 1,
            seed: 7,
            folder: "lab".into(),
        };
        let mut report = Report::new(&lab);
        report.begin("kill_host");
        report
    }

    #[test]
    fn nothing_tried_is_nothing_shown() {
        let mut report = report();
        report.none_of("R1", "failed requests", 0, 0);
        report.longest("R6", "answer", &[], Duration::from_secs(3));
        assert_eq!(report.missed(), 2);
    }

    #[test]
    fn the_longest_time_is_held_to_the_bar() {
        let mut report = report();
        let limit = Duration::from_secs(3);
        let time = |seconds| Some(Duration::from_secs(seconds));
        report.longest("R6", "answer", &[time(1), time(3)], limit);
        assert_eq!(report.missed(), 0);
        report.longest("R6", "answer", &[time(1), time(4)], limit);
        report.longest("R6", "answer", &[time(1), None], limit);
        assert_eq!(report.missed(), 2);
        let figures: Vec<&str> = report.lines().map(|it| it.figure.as_str()).collect();
        assert_eq!(
            figures,
            [
                "3.00 s (longest of 2)",
                "4.00 s (longest of 2)",
                "never in 1 of 2"
            ]
        );
    }

    #[test]
    fn the_file_has_every_bar() {
        let mut report = report();
        report.none_of("R1", "failed requests", 1, 10);
        report.end(Duration::from_millis(1_500));
        let expected = json!({
            "class": "commit", "seed": 7, "trellis": "trellis", "missed": 1,
            "scenarios": [{"name": "kill_host", "seconds": 1.5, "bars": [
                {"id": "R1", "what": "failed requests", "figure": "1 of 10", "bar": "0", "met": false},
            ]}],
        });
        assert_eq!(report.json(), expected);
    }
}
