//! Amounts with units as manifests write them: `64MiB`, `100ms`.

use std::time::Duration;

/// A call that takes a day is a service of its own; also far from every overflow.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    #[error("is not a number with a unit")]
    Grammar,
    #[error("has an unknown unit")]
    Unit,
    #[error("is too large")]
    TooLarge,
    #[error("must be more than zero")]
    Zero,
}

/// Reads a number of bytes: `B`, `KiB`, `MiB`, `GiB` (also `Ki`, `Mi`, `Gi`, as Kubernetes writes
/// them), `kB`, `MB`, `GB`.
pub(crate) fn bytes(text: &str) -> Result<u64, UnitError> {
    amount(text, |unit| {
        Some(match unit {
            "B" => 1,
            "KiB" | "Ki" => 1 << 10,
            "MiB" | "Mi" => 1 << 20,
            "GiB" | "Gi" => 1 << 30,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return None,
        })
    })
}

/// Reads a time of at most [`DURATION_MAX`]: `us`, `ms`, `s`, `m`, `h`.
pub(crate) fn duration(text: &str) -> Result<Duration, UnitError> {
    let microseconds = amount(text, |unit| {
        Some(match unit {
            "us" | "µs" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" | "min" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return None,
        })
    })?;
    let duration = Duration::from_micros(microseconds);
    if duration > DURATION_MAX {
        Err(UnitError::TooLarge)
    } else {
        Ok(duration)
    }
}

/// Reads digits, at most one dot, and a unit that `factor` knows.
fn amount(text: &str, factor: impl Fn(&str) -> Option<u64>) -> Result<u64, UnitError> {
    let digits_end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let unit = unit.trim_start();
    if number.is_empty() || unit.is_empty() {
        return Err(UnitError::Grammar);
    }
    let factor = factor(unit).ok_or(UnitError::Unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Nine decimal places are a billionth of a gibibyte: about one byte.
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return Err(UnitError::Grammar);
    }
    let whole: u64 = whole.parse().map_err(|_| UnitError::TooLarge)?;
    let parts: u128 = fraction.parse().map_err(|_| UnitError::Grammar)?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let fraction = u64::try_from(parts * u128::from(factor) / scale).unwrap_or(u64::MAX);
    let total = whole
        .checked_mul(factor)
        .and_then(|it| it.checked_add(fraction));
    match total.ok_or(UnitError::TooLarge)? {
        0 => Err(UnitError::Zero),
        total => Ok(total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_their_units() {
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("1.5 GiB"), Ok(3 << 29));
        assert_eq!(bytes("10MB"), Ok(10_000_000));
        assert_eq!(duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("24h"), Ok(DURATION_MAX));
    }

    #[test]
    fn odd_amounts_are_refused() {
        for text in [
            "",
            "64",
            "MiB",
            "-1MiB",
            ".5s",
            "1.s",
            "1..2s",
            "1.2.3s",
            "1.0000000001s",
        ] {
            assert_eq!(
                bytes(&text.replace('s', "MiB")),
                Err(UnitError::Grammar),
                "{text}"
            );
        }
        assert_eq!(bytes("64mib"), Err(UnitError::Unit));
        assert_eq!(bytes("0MiB"), Err(UnitError::Zero));
        assert_eq!(bytes("99999999999999999999999B"), Err(UnitError::TooLarge));
        assert_eq!(bytes("18446744073709551615GiB"), Err(UnitError::TooLarge));
        assert_eq!(duration("25h"), Err(UnitError::TooLarge));
    }
}
