//! The header by which our hosts understand each other. Peers of 1.x ignore it.
//!
//! Its value is a version and words, some with a value: `1 end`, `1 at=65536`. A word that is not
//! known is skipped, so that later versions may add some. `docs/design/0008-wrpc-extension.md` has
//! the messages.

use std::fmt::Write as _;
use std::time::Duration;

use async_nats::HeaderMap;
use trellis_core::ErrorClass;

use crate::call_error::CallError;
use crate::config::{DEADLINE_MAX, ERROR_TEXT_BYTES_MAX};

/// The header of the extension.
pub(crate) const HEADER: &str = "trellis-wrpc";
/// The text of an error.
pub(crate) const ERROR_HEADER: &str = "trellis-error";

const VERSION: &str = "1";
/// Bytes of the header's value that are read: the longest path and a few words.
const VALUE_BYTES_MAX: usize = 1_536;

/// What one header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note<'a> {
    /// The call was taken; the reply subject is where to send to.
    pub(crate) accept: bool,
    /// The caller went away.
    pub(crate) cancel: bool,
    /// With this message the channel is complete.
    pub(crate) end: bool,
    /// Streams will follow: accept at once.
    pub(crate) more: bool,
    /// The reader of the channel went away.
    pub(crate) stop: bool,
    /// The call failed before its function began, so that it may be made elsewhere.
    pub(crate) unstarted: bool,
    /// Bytes of the channel before this message.
    pub(crate) at: u64,
    /// Bytes of the channel in all.
    pub(crate) size: Option<u64>,
    /// Bytes of the channel that may be sent in all.
    pub(crate) credit: Option<u64>,
    /// Bytes that may be sent on each channel before there is credit.
    pub(crate) window: Option<u64>,
    /// Time that is left for the call.
    pub(crate) deadline: Option<Duration>,
    /// Why the channel, or the call, failed.
    pub(crate) error: Option<ErrorClass>,
    /// The channel that credit or stop is for.
    pub(crate) path: Option<&'a str>,
    /// The host that took the call.
    pub(crate) host: Option<&'a str>,
}

impl<'a> Note<'a> {
    /// Reads the header, if there is one that can be understood.
    pub(crate) fn read(headers: Option<&'a HeaderMap>) -> Option<Self> {
        Self::parse(headers?.get(HEADER)?.as_str())
    }

    fn parse(value: &'a str) -> Option<Self> {
        if value.len() > VALUE_BYTES_MAX {
            return None;
        }
        let mut words = value.split_ascii_whitespace();
        if words.next() != Some(VERSION) {
            return None;
        }
        let mut note = Self::default();
        for word in words {
            note.set(word)?;
        }
        Some(note)
    }

    fn set(&mut self, word: &'a str) -> Option<()> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<u64>().ok();
        match key {
            "accept" => self.accept = true,
            "cancel" => self.cancel = true,
            "end" => self.end = true,
            "more" => self.more = true,
            "stop" => self.stop = true,
            "unstarted" => self.unstarted = true,
            "at" => self.at = number()?,
            "size" => self.size = Some(number()?),
            "credit" => self.credit = Some(number()?),
            "window" => self.window = Some(number()?),
            "deadline" => {
                let asked = Duration::from_millis(number()?);
                self.deadline = Some(asked.min(DEADLINE_MAX));
            }
            "error" => self.error = Some(class(value)),
            "path" => self.path = Some(value),
            "host" => self.host = Some(value),
            _ => {}
        }
        Some(())
    }

    /// Writes the value of the header.
    pub(crate) fn value(&self) -> String {
        let mut text = String::with_capacity(48);
        text.push_str(VERSION);
        for (is_set, word) in [
            (self.accept, " accept"),
            (self.cancel, " cancel"),
            (self.end, " end"),
            (self.more, " more"),
            (self.stop, " stop"),
            (self.unstarted, " unstarted"),
        ] {
            if is_set {
                text.push_str(word);
            }
        }
        let deadline = self.deadline.map(|left| left.as_millis() as u64);
        for (word, number) in [
            ("at", (self.at > 0).then_some(self.at)),
            ("size", self.size),
            ("credit", self.credit),
            ("window", self.window),
            ("deadline", deadline),
        ] {
            if let Some(number) = number {
                // Writing to a string cannot fail.
                let _ = write!(text, " {word}={number}");
            }
        }
        let error = self.error.map(ErrorClass::name);
        for (word, value) in [("error", error), ("path", self.path), ("host", self.host)] {
            if let Some(value) = value {
                let _ = write!(text, " {word}={value}");
            }
        }
        text
    }

    /// Makes the headers of a message of its own.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, self.value());
        headers
    }

    /// Makes the headers of a message that carries an error.
    pub(crate) fn error_headers(mut self, error: &CallError) -> HeaderMap {
        self.error = Some(error.class());
        self.unstarted = !error.may_have_run();
        let mut headers = self.headers();
        headers.insert(ERROR_HEADER, one_line(error.message()));
        headers
    }
}

/// Returns the error that a message carries, where it carries one.
pub(crate) fn error_of(note: &Note<'_>, headers: Option<&HeaderMap>) -> Option<CallError> {
    let class = note.error?;
    let text = headers.and_then(|headers| headers.get(ERROR_HEADER));
    let text = text.map_or("the other host gave no reason", |text| text.as_str());
    let text = one_line(text);
    // No class says so by itself: what was called may have called others that refused.
    Some(match note.unstarted {
        true => CallError::before_start(class, text),
        false => CallError::new(class, text),
    })
}

/// A class that we do not know is the failure of what was called.
fn class(name: &str) -> ErrorClass {
    let known = ErrorClass::ALL
        .into_iter()
        .find(|class| class.name() == name);
    known.unwrap_or(ErrorClass::Trap)
}

/// Makes a text fit for a header: one line, bounded, nothing that steers a terminal.
fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(ERROR_TEXT_BYTES_MAX)
        .collect();
    while line.len() > ERROR_TEXT_BYTES_MAX {
        line.pop();
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let note = Note {
            accept: true,
            cancel: true,
            end: true,
            more: true,
            stop: true,
            unstarted: true,
            at: 7,
            size: Some(8),
            credit: Some(9),
            window: Some(10),
            deadline: Some(Duration::from_millis(11)),
            error: Some(ErrorClass::Overloaded),
            path: Some("0.1"),
            host: Some("NHOST"),
        };
        assert_eq!(Note::parse(&note.value()), Some(note));
        assert_eq!(Note::default().value(), "1");
    }

    #[test]
    fn later_words_are_skipped_and_later_versions_are_not_understood() {
        assert_eq!(
            Note::parse("1 end colour=blue"),
            Some(Note {
                end: true,
                ..Note::default()
            })
        );
        for bad in [
            "",
            "2 end",
            "end",
            "1 at=x",
            "1 size=-1",
            &"1 ".repeat(1_000),
        ] {
            assert_eq!(Note::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_text_of_an_error_is_one_bounded_line() {
        let error = CallError::new(
            ErrorClass::Trap,
            format!("a\r\nb\u{1b}[2J{}", "ż".repeat(900)),
        );
        let headers = Note::default().error_headers(&error);
        let text = headers.get(ERROR_HEADER).unwrap().as_str();
        assert!(text.starts_with("a  b [2J") && text.len() <= ERROR_TEXT_BYTES_MAX);
        let note = Note::read(Some(&headers)).unwrap();
        assert_eq!(error_of(&note, Some(&headers)).unwrap().message(), text);
    }

    #[test]
    fn an_error_says_whether_the_call_had_begun() {
        for class in ErrorClass::ALL {
            let begun = CallError::new(class, "what it called refused");
            for error in [begun, CallError::before_start(class, "it was stopped")] {
                let headers = Note::default().error_headers(&error);
                let note = Note::read(Some(&headers)).unwrap();
                assert_eq!(error_of(&note, Some(&headers)), Some(error));
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,80}") {
            let _ = Note::parse(&text);
        }
    }
}
