//! The latest log lines of a host and of each of its components, for those who ask over the lattice.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use trellis_control::{FOLLOW_MAX, LINES_MAX, LogLevel, LogLine};

/// Components whose lines are kept; the one that was silent for longest makes room.
const SOURCES_MAX: usize = 1_024;
/// Bytes kept of one line: what a terminal shows without scrolling.
const LINE_BYTES_MAX: usize = 4_096;
/// Lines that wait to be published; one more is dropped, and the gap shows in the sequence.
const PUBLISHED_QUEUED_MAX: usize = 1_024;

/// Keeps the latest lines of each source. Cheap to clone; also a layer for `tracing`.
#[derive(Clone)]
pub struct LogBook(Arc<Shared>);

struct Shared {
    host_id: String,
    pages: Mutex<BTreeMap<Source, Page>>,
    followed: mpsc::Sender<LogLine>,
}

/// Whose lines: a component's or provider's, or the host's own.
type Source = Option<String>;

struct Page {
    lines: VecDeque<LogLine>,
    sequence: u64,
    followed_until: Option<Instant>,
    touched: Instant,
}

impl Page {
    fn new() -> Self {
        Self {
            lines: VecDeque::new(),
            sequence: 0,
            followed_until: None,
            touched: Instant::now(),
        }
    }
}

impl LogBook {
    /// Makes an empty book of the host `host_id`, and the channel of lines that somebody follows.
    pub fn new(host_id: impl Into<String>) -> (Self, FollowedLines) {
        let (followed, lines) = mpsc::channel(PUBLISHED_QUEUED_MAX);
        let shared = Shared {
            host_id: host_id.into(),
            pages: Mutex::default(),
            followed,
        };
        (Self(Arc::new(shared)), FollowedLines(lines))
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<Source, Page>> {
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the latest `count` lines of `source`, oldest first.
    pub fn tail(&self, source: Option<&str>, count: u32) -> Vec<LogLine> {
        let count = count.min(LINES_MAX) as usize;
        let pages = self.pages();
        let Some(page) = pages.get(&source.map(str::to_owned)) else {
            return Vec::new();
        };
        let skipped = page.lines.len().saturating_sub(count);
        page.lines.iter().skip(skipped).cloned().collect()
    }

    /// Sends new lines of `source` to the channel for a while.
    pub fn follow(&self, source: Option<&str>, duration: Duration) {
        let until = Instant::now() + duration.min(FOLLOW_MAX);
        let mut pages = self.pages();
        make_room(&mut pages);
        let page = pages
            .entry(source.map(str::to_owned))
            .or_insert_with(Page::new);
        page.followed_until = page.followed_until.max(Some(until));
        page.touched = Instant::now();
    }

    /// Writes a line down.
    fn write(&self, source: Source, level: LogLevel, message: String) {
        let now = Instant::now();
        let mut pages = self.pages();
        if !pages.contains_key(&source) {
            make_room(&mut pages);
        }
        let page = pages.entry(source.clone()).or_insert_with(Page::new);
        page.touched = now;
        page.sequence += 1;
        let line = LogLine {
            time: Timestamp::now(),
            host_id: self.0.host_id.clone(),
            component_id: source,
            level,
            sequence: page.sequence,
            message,
        };
        if page.followed_until.is_some_and(|until| now < until) {
            // A full channel leaves a gap in the sequence, which the follower sees.
            let _ = self.0.followed.try_send(line.clone());
        }
        if page.lines.len() >= LINES_MAX as usize {
            page.lines.pop_front();
        }
        page.lines.push_back(line);
    }
}

/// The lines that somebody follows, to be published.
pub struct FollowedLines(mpsc::Receiver<LogLine>);

impl FollowedLines {
    /// Returns the next line; `None` once the book is gone.
    ///
    /// # Cancel safety
    /// Cancelling loses no line.
    pub async fn next(&mut self) -> Option<LogLine> {
        self.0.recv().await
    }
}

fn make_room(pages: &mut BTreeMap<Source, Page>) {
    if pages.len() < SOURCES_MAX {
        return;
    }
    let silent = pages
        .iter()
        .min_by_key(|(_, page)| page.touched)
        .map(|(source, _)| source.clone());
    if let Some(source) = silent {
        pages.remove(&source);
    }
}

impl<S: Subscriber> Layer<S> for LogBook {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = LineWriter::default();
        event.record(&mut line);
        let level = match *metadata.level() {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warn,
            Level::INFO => LogLevel::Info,
            Level::DEBUG => LogLevel::Debug,
            Level::TRACE => LogLevel::Trace,
        };
        self.write(line.source, level, line.text);
    }
}

/// Makes one line of an event: the message, then its fields.
#[derive(Default)]
struct LineWriter {
    source: Source,
    text: String,
}

impl LineWriter {
    fn field(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let before = self.text.len();
        let result = match field.name() {
            "message" => self.text.write_fmt(value),
            name => self.text.write_fmt(format_args!(" {name}={value}")),
        };
        debug_assert!(result.is_ok(), "writing to a string cannot fail");
        if field.name() == "message" && before > 0 {
            // The message goes first, wherever its field stands.
            let message = self.text.split_off(before);
            self.text.insert_str(0, &message);
        }
        if self.text.len() > LINE_BYTES_MAX {
            let end = self.text.floor_char_boundary(LINE_BYTES_MAX);
            self.text.truncate(end);
        }
    }
}

impl Visit for LineWriter {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "component_id" {
            self.source = Some(value.to_owned());
        } else {
            self.field(field, format_args!("{value}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "component_id" {
            self.source = Some(format!("{value:?}").trim_matches('"').to_owned());
        } else {
            self.field(field, format_args!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn with_book(work: impl FnOnce()) -> (LogBook, FollowedLines) {
        let (book, lines) = LogBook::new("NHOST");
        let subscriber = tracing_subscriber::registry().with(book.clone());
        tracing::subscriber::with_default(subscriber, work);
        (book, lines)
    }

    #[test]
    fn lines_are_kept_by_source_and_bounded() {
        let (book, _lines) = with_book(|| {
            for number in 0..LINES_MAX + 5 {
                tracing::info!(component_id = "cart", number, "paid");
            }
            tracing::warn!("of the host");
        });
        let tail = book.tail(Some("cart"), 2);
        let texts: Vec<_> = tail.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(texts, ["paid number=1003", "paid number=1004"]);
        assert_eq!(tail[1].sequence, 1_005);
        assert_eq!(book.tail(Some("cart"), u32::MAX).len(), LINES_MAX as usize);
        assert_eq!(book.tail(None, 9)[0].level, LogLevel::Warn);
        assert!(book.tail(Some("other"), 9).is_empty());
    }

    #[tokio::test]
    async fn only_what_is_followed_is_sent() {
        let (book, mut lines) = LogBook::new("NHOST");
        book.write(Some("cart".into()), LogLevel::Info, "before".into());
        book.follow(Some("cart"), Duration::from_secs(60));
        book.write(Some("cart".into()), LogLevel::Info, "after".into());
        book.write(Some("other".into()), LogLevel::Info, "not".into());
        drop(book);
        assert_eq!(lines.next().await.unwrap().message, "after");
        assert!(lines.next().await.is_none());
    }

    #[test]
    fn sources_without_end_do_not_fill_the_memory() {
        let (book, _lines) = LogBook::new("NHOST");
        for number in 0..SOURCES_MAX + 10 {
            book.write(Some(number.to_string()), LogLevel::Info, "x".into());
        }
        assert_eq!(book.pages().len(), SOURCES_MAX);
        assert!(book.tail(Some("0"), 1).is_empty());
        let last = (SOURCES_MAX + 9).to_string();
        assert_eq!(book.tail(Some(&last), 1).len(), 1);
    }
}
