//! The table, as text for people and as JSON for programs.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::Figures;
use super::load::{CONNECTIONS, THREADS};
use super::machine::Machine;
use super::rows::{HYPER, Peer, Row, Unit};
use super::statistics::{median, ratios, spread};

const HEADINGS: [&str; 9] = [
    "",
    "measure",
    "median",
    "min .. max",
    "× hyper",
    "× peer",
    "bar",
    "",
    "aim",
];

/// Columns that hold text; all others hold figures and end flush.
const TEXT_COLUMNS: [usize; 4] = [0, 1, 7, 8];

type Line = [String; HEADINGS.len()];

/// One run's results.
pub(crate) struct Report {
    machine: Machine,
    rounds: u32,
    seconds: u32,
    lines: Vec<Line>,
    rows: Vec<Value>,
}

impl Report {
    /// Begins a report of this machine.
    pub(crate) fn new(rounds: u32, seconds: u32) -> Self {
        Self {
            machine: Machine::this(),
            rounds,
            seconds,
            lines: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Says what is measured on what.
    pub(crate) fn heading(&self) -> String {
        let Machine {
            cores,
            processor,
            kernel,
            load_average,
        } = &self.machine;
        let load = load_average.map_or_else(String::new, |load| format!(", load before {load}"));
        format!(
            "{} rounds of {} s, wrk -t{THREADS} -c{CONNECTIONS}; {cores} cores of {processor}, \
             Linux {kernel}{load}",
            self.rounds, self.seconds
        )
    }

    /// Says what makes the figures doubtful.
    pub(crate) fn warning(&self) -> Option<String> {
        self.machine.warning()
    }

    /// Adds every row.
    pub(crate) fn fill(&mut self, rows: &[&Row], figures: &Figures) {
        let letters = letters(rows);
        for row in rows {
            self.add(row, figures, &letters);
        }
    }

    fn add(&mut self, row: &Row, figures: &Figures, letters: &HashMap<&str, String>) {
        let Some(ours) = figures.get(row.key) else {
            return;
        };
        let comparisons: Vec<Comparison> = row
            .peers
            .iter()
            .filter_map(|peer| {
                Some(Comparison::new(
                    row.unit,
                    peer,
                    ours,
                    figures.get(peer.key)?,
                ))
            })
            .collect();
        self.rows.push(as_json(row, ours, &comparisons));

        let mut lines = vec![first_line(row, ours, letters)];
        for comparison in &comparisons {
            let letter = letters.get(comparison.peer.key).map_or("?", String::as_str);
            let to_hyper = comparison.peer.key == HYPER;
            // Hyper's ratio, and one peer's, fit beside the figure; other peers get lines of their own.
            if !to_hyper && lines.last().is_some_and(|line| !line[5].is_empty()) {
                lines.push(Line::default());
            }
            let Some(line) = lines.last_mut() else {
                continue;
            };
            if to_hyper {
                line[4] = format!("{:.2}", comparison.median);
            } else {
                line[5] = format!("{:.2} {letter}", comparison.median);
            }
            if let Some(bar) = comparison.bar() {
                (line[6], line[7]) = bar;
            }
            if let Some(aim) = comparison.peer.aim {
                let reached = if comparison.reaches(aim) {
                    ", reached"
                } else {
                    ""
                };
                let separator = if line[8].is_empty() { "" } else { "; " };
                let _ = write!(line[8], "{separator}{aim} {letter}{reached}"); // cannot fail
            }
        }
        self.lines.extend(lines);
    }

    /// Returns the table for people.
    pub(crate) fn text(&self) -> String {
        let headings = HEADINGS.map(str::to_owned);
        let width = |column: usize| {
            let cells = self
                .lines
                .iter()
                .chain([&headings])
                .map(|line| &line[column]);
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
        let mut text = format!("{}\n\n", self.heading());
        for line in [&headings].into_iter().chain(&self.lines) {
            let mut shown = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let _ = if TEXT_COLUMNS.contains(&column) {
                    write!(shown, "{cell:<width$}  ")
                } else {
                    write!(shown, "{cell:>width$}  ")
                };
            }
            text.push_str(shown.trim_end());
            text.push('\n');
        }
        text
    }

    /// Returns the table for programs.
    pub(crate) fn json(&self) -> String {
        let Machine {
            cores,
            processor,
            kernel,
            load_average,
        } = &self.machine;
        let whole = json!({
            "rounds": self.rounds,
            "seconds": self.seconds,
            "load": { "threads": THREADS, "connections": CONNECTIONS },
            "machine": {
                "cores": cores, "processor": processor, "kernel": kernel, "loadAverage": load_average,
            },
            "rows": self.rows,
        });
        format!("{whole:#}\n")
    }
}

/// The letter of each row that others are compared with; behind `Z` come `AA`, `AB` and so on.
fn letters<'a>(rows: &[&'a Row]) -> HashMap<&'a str, String> {
    let is_peer = |key: &str| {
        rows.iter()
            .flat_map(|row| row.peers)
            .any(|peer| peer.key == key)
    };
    let peers = rows.iter().map(|row| row.key).filter(|key| is_peer(key));
    let single = ('A'..='Z').map(String::from);
    let double = ('A'..='Z').flat_map(|first| ('A'..='Z').map(move |it| format!("{first}{it}")));
    peers.zip(single.chain(double)).collect()
}

fn first_line(row: &Row, ours: &[f64], letters: &HashMap<&str, String>) -> Line {
    let (least, greatest) = spread(ours);
    let mut line = Line::default();
    line[0] = letters.get(row.key).cloned().unwrap_or_default();
    line[1] = row.name.to_owned();
    line[2] = with_unit(row.unit, median(ours));
    line[3] = format!("{} .. {}", number(least), number(greatest));
    if let Some(most) = row.most {
        line[6] = format!("≤ {}", with_unit(row.unit, most));
        line[7] = verdict(median(ours) <= most).to_owned();
    }
    line
}

/// One row against one peer.
struct Comparison<'a> {
    peer: &'a Peer,
    unit: Unit,
    ratios: Vec<f64>,
    median: f64,
}

impl<'a> Comparison<'a> {
    fn new(unit: Unit, peer: &'a Peer, ours: &[f64], theirs: &[f64]) -> Self {
        let ratios = ratios(ours, theirs);
        let median = median(&ratios);
        Self {
            peer,
            unit,
            ratios,
            median,
        }
    }

    fn reaches(&self, ratio: f64) -> bool {
        if self.unit.is_rate() {
            self.median >= ratio
        } else {
            self.median <= ratio
        }
    }

    /// Returns the bar as it is shown, and how it went.
    fn bar(&self) -> Option<(String, String)> {
        let bar = self.peer.bar?;
        let digits = if bar < 0.1 { 2 } else { 1 };
        let sign = if self.unit.is_rate() { '≥' } else { '≤' };
        Some((
            format!("{sign} {bar:.digits$}"),
            verdict(self.reaches(bar)).to_owned(),
        ))
    }
}

fn verdict(reached: bool) -> &'static str {
    if reached { "ok" } else { "below" }
}

fn as_json(row: &Row, ours: &[f64], comparisons: &[Comparison<'_>]) -> Value {
    let comparisons: Vec<Value> = comparisons
        .iter()
        .map(|it| {
            json!({
                "peer": it.peer.key, "ratio": it.median, "ratios": it.ratios,
                "bar": it.peer.bar, "aim": it.peer.aim,
                "reached": it.peer.bar.map(|bar| it.reaches(bar)),
            })
        })
        .collect();
    json!({
        "key": row.key, "name": row.name, "unit": symbol(row.unit),
        "median": median(ours), "rounds": ours, "most": row.most,
        "comparisons": comparisons,
    })
}

fn symbol(unit: Unit) -> &'static str {
    match unit {
        Unit::PerSecond => "/s",
        Unit::Microseconds => "µs",
        Unit::Milliseconds => "ms",
        Unit::Kibibytes => "KiB",
        Unit::Mebibytes => "MiB",
        Unit::Percent => "% of a core",
    }
}

fn with_unit(unit: Unit, value: f64) -> String {
    let space = if unit == Unit::PerSecond { "" } else { " " };
    format!("{}{space}{}", number(value), symbol(unit))
}

/// Three significant digits for small numbers, groups of three for large ones.
fn number(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => grouped(&format!("{value:.0}")),
    }
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::rows;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.123, "0.12"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1_234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-123_456.0, "-123,456"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    fn report(figures: &[(&'static str, [f64; 2])]) -> Report {
        let rows = rows::select(Some("trellis 0.3"));
        let figures: Figures = figures
            .iter()
            .map(|(key, values)| (*key, values.to_vec()))
            .collect();
        let mut report = Report::new(2, 1);
        report.fill(&rows, &figures);
        report
    }

    fn table(figures: &[(&'static str, [f64; 2])]) -> String {
        let text = report(figures).text();
        let (_, table) = text.split_once("\n\n").expect("a heading");
        table.to_owned()
    }

    #[test]
    fn each_figure_stands_beside_its_ratios() {
        let table = table(&[
            ("hyper", [100_000.0, 100_000.0]),
            ("proxy-p3", [25_000.0, 20_000.0]),
            ("proxy-p3-resident", [50_000.0, 50_000.0]),
            ("trellis-p3", [40_000.0, 40_000.0]),
        ]);
        let expected = [
            "   measure                             median          min .. max  × hyper  × peer    bar         aim",
            "A  bare hyper                       100,000/s  100,000 .. 100,000",
            "B  ProxyHandler 0.3                  22,500/s    20,000 .. 25,000     0.23",
            "C  ProxyHandler 0.3, resident pool   50,000/s    50,000 .. 50,000     0.50",
            "   Trellis 0.3                       40,000/s    40,000 .. 40,000     0.40  1.80 B  ≥ 1.3  ok     0.6 A",
            "                                                                            0.80 C  ≥ 1.0  below",
        ];
        assert_eq!(table.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_row_that_was_not_measured_is_left_out() {
        let table = table(&[("hyper", [1.0, 3.0])]);
        assert_eq!(table.lines().count(), 2, "{table}");
    }

    #[test]
    fn programs_get_every_round() {
        let report = report(&[
            ("hyper", [100.0, 200.0]),
            ("proxy-p3", [10.0, 10.0]),
            ("trellis-p3", [50.0, 100.0]),
        ]);
        let json: Value = serde_json::from_str(&report.json()).expect("it is JSON");
        let row = &json["rows"][2];
        assert_eq!(row["key"], "trellis-p3");
        assert_eq!(row["rounds"], json!([50.0, 100.0]));
        assert_eq!(row["comparisons"][0]["ratios"], json!([0.5, 0.5]));
        assert_eq!(row["comparisons"][1]["reached"], json!(true));
    }
}
