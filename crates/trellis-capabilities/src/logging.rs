//! `wasi:logging`: what a guest logs becomes events of the host's log.
//!
//! Offers `logging` of 0.1.0-draft and the same without a version, which guests of wasmCloud 1.x
//! import. Events have the target `guest`; a subscriber filters them like any other.

use trellis_engine::{Capability, State};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

/// The longest message that is logged whole. Longer ones are cut and end in `…`.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The longest context that is logged whole; a context is a name, not a text.
pub const CONTEXT_BYTES_MAX: usize = 256;

/// `wasi:logging` for every component: the component is known by the instance that calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logging;

/// `level` of the interface.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made from the numbers that guests pass")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl Capability for Logging {
    fn link(&self, linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
        let name = import.split_once('@').map_or(import, |(name, _)| name);
        if name != "wasi:logging/logging" {
            return Err(wasmtime::format_err!("logging does not offer {import}"));
        }
        type Message = (Level, String, String);
        linker.instance(import)?.func_wrap(
            "log",
            |store: StoreContextMut<State>, (level, context, message): Message| {
                let state = store.data();
                let component_id = state.component().as_str();
                log(
                    component_id,
                    state.request_id(),
                    Record {
                        level,
                        context,
                        message,
                    },
                );
                Ok(())
            },
        )
    }
}

struct Record {
    level: Level,
    context: String,
    message: String,
}

/// Emits one event. An absent request id and an empty context leave their fields out.
fn log(component_id: &str, request_id: Option<&str>, record: Record) {
    macro_rules! emit {
        ($level:ident) => {
            if tracing::enabled!(target: "guest", tracing::Level::$level) {
                let message = printable(&record.message, MESSAGE_BYTES_MAX);
                let context = printable(&record.context, CONTEXT_BYTES_MAX);
                let context = Some(&*context).filter(|context| !context.is_empty());
                let critical = matches!(record.level, Level::Critical).then_some(true);
                tracing::event!(
                    target: "guest",
                    tracing::Level::$level,
                    component_id,
                    request_id,
                    context,
                    critical,
                    "{message}"
                );
            }
        };
    }
    match record.level {
        Level::Trace => emit!(TRACE),
        Level::Debug => emit!(DEBUG),
        Level::Info => emit!(INFO),
        Level::Warn => emit!(WARN),
        Level::Error | Level::Critical => emit!(ERROR),
    }
}

/// Returns `text` cut to `bytes_max` and without what could move the operator's cursor, change the
/// terminal, forge a line or hide what is written: control characters are written as escapes
/// (`\n`, `\u{1b}`), as are the marks that turn the direction of text.
fn printable(text: &str, bytes_max: usize) -> String {
    let end = text.floor_char_boundary(bytes_max);
    let mut clean = String::with_capacity(end);
    for character in text[..end].chars() {
        let hides = matches!(character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (character.is_control() && character != '\t') || hides {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    if end < text.len() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[test]
    fn control_characters_are_written_as_escapes() {
        assert_eq!(
            printable("a\tb\u{1b}[2J\r\nc\u{9b}1m", 64),
            "a\tb\\u{1b}[2J\\r\\nc\\u{9b}1m"
        );
        assert_eq!(printable("pass \u{202e}drow", 64), "pass \\u{202e}drow");
        assert_eq!(printable("grün ☂", 64), "grün ☂");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(printable("abcdef", 6), "abcdef");
        assert_eq!(printable("abcdefg", 6), "abcdef…");
        assert_eq!(printable("abcdeü", 6), "abcde…");
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_carries_component_request_and_context() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .without_time()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let record = |level, context: &str| Record {
                level,
                context: context.to_owned(),
                message: "paid\nERROR forged".to_owned(),
            };
            log("shop-cart", Some("r1"), record(Level::Info, "pay"));
            log("shop-cart", None, record(Level::Critical, ""));
            log("shop-cart", None, record(Level::Trace, "filtered"));
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                r#"{"level":"INFO","message":"paid\\nERROR forged","component_id":"shop-cart","request_id":"r1","context":"pay","target":"guest"}"#,
                r#"{"level":"ERROR","message":"paid\\nERROR forged","component_id":"shop-cart","critical":true,"target":"guest"}"#,
            ]
        );
    }
}
