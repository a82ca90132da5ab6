//! Numbers of bytes as people type them: a number and a unit.

/// The units, the largest first.
const UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// Reads `512B`, `64KiB`, `10MiB`, `1GiB` or `1TiB`.
///
/// # Errors
/// When the unit is missing or unknown, or the number is no whole one.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is no size; write `512B`, `64KiB`, `10MiB` or `1GiB`");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let factor = match known {
        Some((_, factor)) => *factor,
        None if unit == "B" => 1,
        None => return Err(wrong()),
    };
    Ok(number.saturating_mul(factor))
}

/// Writes a size as [`parse`] reads it, in the largest unit that fits without a rest.
pub(crate) fn text(bytes: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    match UNITS.iter().find(fits) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        for (typed, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("64KiB", 64 << 10),
            ("10MiB", 10 << 20),
            ("3GiB", 3 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(parse(typed), Ok(bytes));
            assert_eq!(text(bytes), typed);
        }
        assert_eq!(text(1_536), "1536B");
        assert_eq!(parse("99999999999TiB"), Ok(u64::MAX));
        for wrong in ["", "64", "KiB", "-1B", "1.5MiB", "64 KiB", "64kib", "64MB"] {
            assert!(parse(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
