//! Draws findings as plain text. Everything that comes from a manifest is made harmless here.

use unicode_width::UnicodeWidthChar;

use super::Diagnostic;
use crate::source::Source;

/// The width of every line drawn.
const COLUMNS: usize = 80;

/// The longest piece of a manifest that a message repeats.
const QUOTE_CHARACTERS_MAX: usize = 40;

/// Draws all `diagnostics`, each with the source it belongs to, with empty lines between.
pub fn render_all(diagnostics: &[Diagnostic], sources: &[Source]) -> String {
    let drawn: Vec<String> = diagnostics
        .iter()
        .map(|it| {
            match sources
                .iter()
                .find(|source| source.name() == &*it.source_name)
            {
                Some(source) => it.render(source),
                None => format!("{it}\n"),
            }
        })
        .collect();
    drawn.join("\n")
}

pub(super) fn render(diagnostic: &Diagnostic, source: &Source) -> String {
    let start = diagnostic.position();
    let number = start.line.to_string();
    let gutter = " ".repeat(number.len());
    let mut text = String::new();
    wrap(
        &mut text,
        &format!("{}: ", diagnostic.severity.name()),
        &diagnostic.message,
    );
    let place = format!(
        "{}:{}:{}",
        plain(&diagnostic.source_name),
        start.line,
        start.column
    );
    text.push_str(&format!("{gutter}--> {place}\n{gutter} |\n"));

    let line = source.line(start.line);
    let length = match diagnostic.span.end.line {
        end if end == start.line => diagnostic.span.end.column.saturating_sub(start.column),
        // A span of several lines: what is on the first.
        _ => usize::MAX,
    };
    let window = window(line, start.column - 1, length, COLUMNS - number.len() - 3);
    text.push_str(format!("{number} | {}", window.text).trim_end());
    let underline = "^".repeat(window.underline_columns);
    text.push_str(&format!(
        "\n{gutter} | {}{underline}\n",
        " ".repeat(window.columns_before)
    ));
    if let Some(hint) = &diagnostic.hint {
        wrap(&mut text, "hint: ", hint);
    }
    text
}

/// The part of a line that is shown.
struct Window {
    text: String,
    columns_before: usize,
    underline_columns: usize,
}

/// Cuts `line` around the `length` characters from `start`, so that it fits in `columns`.
fn window(line: &str, start: usize, length: usize, columns: usize) -> Window {
    // Shown in front of the underlined text of a line that is too long.
    const CONTEXT_COLUMNS: usize = 20;
    let (before, rest) = line.split_at(offset(line, start));
    // Two columns are kept for the dots at both ends.
    let rest_columns = fitting(rest.chars(), columns - 2)
        .columns
        .min(columns - 2 - CONTEXT_COLUMNS);
    let context = fitting(before.chars().rev(), columns - 2 - rest_columns);
    let mut window = Window {
        text: String::new(),
        columns_before: context.columns,
        underline_columns: 0,
    };
    let shown = &before[offset(before, before.chars().count() - context.characters)..];
    if shown.len() < before.len() {
        window.text.push('…');
        window.columns_before += 1;
    }
    window.text.extend(shown.chars().map(harmless));
    let ending = fitting(rest.chars(), columns - 1 - window.columns_before);
    for (index, character) in rest.chars().take(ending.characters).enumerate() {
        let character = harmless(character);
        window.text.push(character);
        if index < length {
            window.underline_columns += character.width().unwrap_or(0);
        }
    }
    if rest.chars().nth(ending.characters).is_some() {
        window.text.push('…');
    }
    window.underline_columns = window.underline_columns.max(1);
    window
}

/// Returns the byte at which the character number `index` begins, or the end.
fn offset(line: &str, index: usize) -> usize {
    // ASCII lines of a mebibyte are common in bad input; cutting them costs nothing.
    if line.is_ascii() {
        return index.min(line.len());
    }
    line.char_indices()
        .nth(index)
        .map_or(line.len(), |(offset, _)| offset)
}

/// How many characters fit, and the columns they take.
struct Fitting {
    characters: usize,
    columns: usize,
}

/// Measures how many of `characters` fit in `columns`. Marks that take no column of their own are
/// bounded too.
fn fitting(characters: impl Iterator<Item = char>, columns: usize) -> Fitting {
    let mut fitting = Fitting {
        characters: 0,
        columns: 0,
    };
    for character in characters.take(columns * 4) {
        let width = harmless(character).width().unwrap_or(0);
        if fitting.columns + width > columns {
            break;
        }
        fitting.characters += 1;
        fitting.columns += width;
    }
    fitting
}

/// Appends `message` in lines of at most [`COLUMNS`], the first after `label`, others indented.
fn wrap(text: &mut String, label: &str, message: &str) {
    let message = plain(message);
    let mut column = label.len();
    let mut at_line_start = true;
    text.push_str(label);
    for word in message.split(' ').filter(|word| !word.is_empty()) {
        let width: usize = word.chars().map(|c| c.width().unwrap_or(0)).sum();
        if !at_line_start && column + 1 + width > COLUMNS {
            text.push_str("\n  ");
            column = 2;
            at_line_start = true;
        }
        if !at_line_start {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
        at_line_start = false;
    }
    text.push('\n');
}

/// Returns `text` with every character that could move, hide or recolour a terminal's text
/// replaced.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(harmless).collect()
}

/// Returns a piece of a manifest for a message: short, harmless, in backquotes.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("`");
    let mut characters = text.chars();
    quoted.extend(characters.by_ref().take(QUOTE_CHARACTERS_MAX).map(harmless));
    if characters.next().is_some() {
        quoted.push('…');
    }
    quoted.push('`');
    quoted
}

/// Replaces a character that a terminal would obey instead of showing.
fn harmless(character: char) -> char {
    match character {
        '\t' => ' ',
        // Invisible or reordering: joiners, directional marks and overrides, line and paragraph
        // separators, word joiners, byte order mark, interlinear marks, tags.
        '\u{AD}'
        | '\u{61C}'
        | '\u{180E}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{FEFF}'
        | '\u{FFF9}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E007F}' => '\u{FFFD}',
        it if it.is_control() => '\u{FFFD}',
        it => it,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::source::Span;

    fn drawn(text: &str, span: Span, message: &str) -> String {
        Diagnostic::error(&Arc::from("a.yaml"), span, message).render(&Source::new("a.yaml", text))
    }

    fn widest(text: &str) -> usize {
        text.lines()
            .map(|line| line.chars().map(|c| c.width().unwrap_or(0)).sum())
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn long_lines_are_cut_around_the_underlined_text() {
        for filler in ["x", "é", "漢", "\u{301}", "\u{1b}"] {
            for before in [0, 1, 30, 60, 70, 77, 200, 5_000] {
                for after in [0, 1, 50, 5_000] {
                    let line = format!("{}bad{}", filler.repeat(before), filler.repeat(after));
                    let text = drawn(&line, Span::on_line(1, before + 1, 3), "no good");
                    assert!(text.contains("bad"), "{text}");
                    assert!(text.contains("^^^\n"), "{text}");
                    assert!(widest(&text) <= COLUMNS, "{text}");
                }
            }
        }
    }

    #[test]
    fn the_underline_stands_under_wide_characters() {
        let text = drawn("a: 漢字 b", Span::on_line(1, 4, 2), "no good");
        assert!(text.contains("1 | a: 漢字 b\n  |    ^^^^\n"), "{text}");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_drawn() {
        let bad = "\u{0}\u{1b}[31m\u{202e}\u{9b}\u{7f}\u{8}";
        let text = drawn(bad, Span::on_line(1, 1, 2), bad);
        assert!(
            !text.chars().any(|c| c.is_control() && c != '\n'),
            "{text:?}"
        );
        assert!(!text.contains('\u{202e}'));
    }

    #[test]
    fn places_outside_the_text_are_drawn_too() {
        for span in [
            Span::at(1, 1),
            Span::at(9, 9),
            Span::at(2, 500),
            Span::on_line(1, 1, 999),
        ] {
            assert!(drawn("a\nb", span, "no good").contains('^'));
        }
    }
}
