//! Columns that line up, without borders.

use std::io::IsTerminal;

use unicode_width::UnicodeWidthStr;

use crate::failure::Failure;

/// Spaces between two columns.
const GAP: usize = 2;

/// Rows of text under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns a table with a heading and no rows.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self {
            rows: vec![heading.iter().map(|it| (*it).to_owned()).collect()],
        }
    }

    /// Adds a row. What is empty is shown as `-`, so that columns can be counted.
    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter().map(|cell| {
            let cell = one_line(&cell.into());
            if cell.is_empty() {
                "-".to_owned()
            } else {
                cell
            }
        });
        self.rows.push(cells.collect());
    }

    /// Writes the table. On a terminal a line that is too long is cut, elsewhere it is whole.
    pub(crate) fn print(&self) -> Result<(), Failure> {
        let columns = std::io::stdout().is_terminal().then(columns);
        super::line(&self.text(columns))
    }

    /// Returns the table, each line at most `columns` wide.
    fn text(&self, columns: Option<usize>) -> String {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..count).map(width).collect();
        let lines = self.rows.iter().map(|row| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - cell.width() + GAP));
            }
            let line = line.trim_end();
            columns.map_or(line.to_owned(), |columns| cut(line, columns))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Replaces what would break a line, or steer the terminal, by spaces.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect()
}

/// Cuts `line` to `columns`, with `…` in place of what is gone.
fn cut(line: &str, columns: usize) -> String {
    if line.width() <= columns {
        return line.to_owned();
    }
    let mut kept = String::new();
    for character in line.chars() {
        kept.push(character);
        if kept.width() >= columns {
            kept.pop();
            break;
        }
    }
    kept.push('…');
    kept
}

/// The width of the terminal: what the shell says, else 80.
fn columns() -> usize {
    #[cfg(unix)]
    if let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout())
        && size.ws_col > 0
    {
        return usize::from(size.ws_col);
    }
    let told = std::env::var("COLUMNS").ok().and_then(|it| it.parse().ok());
    told.filter(|columns| *columns > 0).unwrap_or(80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_long_lines_are_cut_on_a_terminal() {
        let mut table = Table::new(&["ID", "IMAGE"]);
        table.row(["cart", "file:///cart.wasm"]);
        table.row(["größe", ""]);
        table.row(["bell\u{7}", "a\nb"]);
        insta::assert_snapshot!(table.text(None), @r"
        ID     IMAGE
        cart   file:///cart.wasm
        größe  -
        bell   a b
        ");
        assert_eq!(table.text(Some(12)).lines().nth(1), Some("cart   file…"));
    }
}
