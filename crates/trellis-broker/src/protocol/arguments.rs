//! The arguments of a line: words between blanks, and numbers.

use std::ops::Range;

/// The operation with most arguments is HPUB, with four.
const ARGUMENTS_MAX: usize = 4;

/// The longest number, in digits: fits any integer, and is far above any limit.
const DIGITS_MAX: usize = 9;

/// Where in its line a word stands.
type Word = Range<usize>;

/// The words of a line.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    words: [Word; ARGUMENTS_MAX],
    count: usize,
}

impl Arguments {
    /// Splits `line` from byte `start` on; none when there are more words than any operation takes.
    pub(super) fn split(line: &[u8], start: usize) -> Option<Self> {
        let mut found = Self::default();
        let mut at = start;
        while at < line.len() {
            if is_blank(line[at]) {
                at += 1;
                continue;
            }
            let length = line[at..].iter().take_while(|it| !is_blank(**it)).count();
            *found.words.get_mut(found.count)? = at..at + length;
            found.count += 1;
            at += length;
        }
        Some(found)
    }

    /// Returns the words.
    pub(super) fn as_slice(&self) -> &[Word] {
        &self.words[..self.count]
    }

    /// Splits off the last `count` words; none when there are fewer.
    pub(super) fn split_last(&self, count: usize) -> Option<(&[Word], &[Word])> {
        let words = self.as_slice();
        words.split_at_checked(words.len().checked_sub(count)?)
    }
}

/// Cuts off blanks at the start.
pub(super) fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text
        .iter()
        .take_while(|it| matches!(it, b' ' | b'\t'))
        .count();
    &text[blanks..]
}

/// Reads a number of digits only.
pub(super) fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        Some(number * 10 + digit)
    })
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number(b"0012"), Some(12));
        assert_eq!(number(b"999999999"), Some(999_999_999));
        for bad in ["", "-1", "+1", "1x", "9999999999", "\u{ff11}"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn words_stand_between_blanks_of_any_kind() {
        let line = b"PUB a\rb \t c  \r\n";
        let found = Arguments::split(line, 3).expect("three words");
        let words: Vec<_> = found
            .as_slice()
            .iter()
            .map(|it| &line[it.clone()])
            .collect();
        assert_eq!(words, [b"a", b"b", b"c"]);
        assert!(Arguments::split(b"a b c d e", 0).is_none());
    }
}
