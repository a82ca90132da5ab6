//! What `trellis up` logs, and where to.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};
use trellis_host::{FollowedLines, LogBook};
use trellis_node::Identity;

use crate::failure::Failure;
use crate::suggestion::did_you_mean;

/// The lines that are kept for `trellis logs`: those of components, and what a host's operator reads.
const KEPT_LINES: &str = "info,guest=debug,async_nats=warn,async_nats::connector=off";
/// The levels of a filter.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// What a filter may name without a level, alone or with more after `::` or `_`: what is in this program.
const TARGETS: [&str; 13] = [
    "trellis",
    "guest",
    "async_nats",
    "cranelift",
    "hickory",
    "h2",
    "hyper",
    "opentelemetry",
    "redb",
    "rustls",
    "tokio",
    "wasmtime",
    "wasi",
];
const HINT: &str = "write a level such as `info`, or `info,guest=debug`";

/// Writes the log to standard error, and keeps its latest lines for those who ask over the lattice.
///
/// # Errors
/// When `filter` is none, or would let nothing through because of a slip.
pub(super) fn start(
    filter: &str,
    identity: &Identity,
) -> Result<(LogBook, FollowedLines), Failure> {
    let wrong = |why: String| {
        let message = format!("{filter:?} is not a log filter: {why}");
        Failure::usage(&message, Some(HINT))
    };
    check(filter).map_err(wrong)?;
    let filter = EnvFilter::try_new(filter).map_err(|error| wrong(error.to_string()))?;
    let (book, followed) = LogBook::new(identity.host_id.to_string());
    let terminal = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(filter);
    let kept = book.clone().with_filter(EnvFilter::new(KEPT_LINES));
    tracing_subscriber::registry()
        .with(terminal)
        .with(kept)
        .init();
    Ok((book, followed))
}

/// Finds a directive that is neither a level nor a target that there is. The filter takes any word for a target, so that
/// a misspelt level lets nothing through.
fn check(filter: &str) -> Result<(), String> {
    for directive in filter.split(',').map(str::trim) {
        let is_word = !directive.is_empty() && !directive.contains(['=', '[']);
        if is_word && !is_level(directive) && !is_target(directive) {
            let near = did_you_mean(directive, LEVELS.into_iter().chain(TARGETS));
            return Err(format!(
                "{directive} is neither a level ({}) nor a part of this program{near}",
                LEVELS.join(", ")
            ));
        }
    }
    Ok(())
}

/// Levels are numbers too, from 0 (off) to 5 (trace).
fn is_level(word: &str) -> bool {
    let number = |it: &str| matches!(it, "0" | "1" | "2" | "3" | "4" | "5");
    number(word) || LEVELS.iter().any(|it| it.eq_ignore_ascii_case(word))
}

fn is_target(word: &str) -> bool {
    TARGETS.iter().any(|target| {
        let rest = word.strip_prefix(target);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', ':']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused_and_what_filters_is_not() {
        for filter in [
            "info",
            "INFO",
            "3",
            "off",
            "info,guest=debug",
            "guest=anything",
            "trellis_host::node",
            "async_nats",
            "info,[span]=debug",
            "",
            "warn, hyper_util",
        ] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
        for (filter, near) in [
            ("verbose", ""),
            ("inof", "; did you mean info?"),
            ("info,gest", "; did you mean guest?"),
            ("trellisx", "; did you mean trellis?"),
            ("6", ""),
        ] {
            let why = check(filter).expect_err(filter);
            assert!(
                why.ends_with(&format!("part of this program{near}")),
                "{why}"
            );
        }
    }
}
