//! Spans of time as people type them: a number and a unit.

use std::time::Duration;

/// Longer waits than a day are a slip of the unit.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `500ms`, `2s`, `1m` or `1h`.
///
/// # Errors
/// When the unit is missing or unknown, or the span is zero or longer than a day.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is no span of time; write `500ms`, `2s`, `1m` or `1h`");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let span = Duration::from_millis(number.saturating_mul(milliseconds));
    if span.is_zero() || span > DURATION_MAX {
        return Err(format!("{text:?} is not between `1ms` and `24h`"));
    }
    Ok(span)
}

/// Writes a span as [`parse`] reads it, in the largest unit that fits without a rest.
pub(crate) fn text(span: Duration) -> String {
    let milliseconds = span.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units
        .iter()
        .find(|(size, _)| milliseconds.is_multiple_of(*size))
    {
        Some((size, unit)) if milliseconds > 0 => format!("{}{unit}", milliseconds / size),
        _ => format!("{milliseconds}ms"),
    }
}

/// Writes how long something runs in at most two units, such as `3m 20s`.
pub(crate) fn age(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, minutes) => format!("{minutes}m {rest}s"),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit_and_a_bound() {
        for (typed, span) in [
            ("500ms", Duration::from_millis(500)),
            ("2s", Duration::from_secs(2)),
            ("90s", Duration::from_secs(90)),
            ("1h", Duration::from_secs(3_600)),
        ] {
            assert_eq!(parse(typed), Ok(span));
            assert_eq!(text(span), typed);
        }
        for wrong in [
            "",
            "2",
            "s",
            "-1s",
            "2 s",
            "0s",
            "25h",
            "99999999999999999999h",
            "1d",
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn ages_have_two_units() {
        assert_eq!(age(59), "59s");
        assert_eq!(age(200), "3m 20s");
        assert_eq!(age(7_260), "2h 1m");
        assert_eq!(age(90_000), "1d 1h");
    }
}
