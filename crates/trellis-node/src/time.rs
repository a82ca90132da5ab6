//! Time as the machine knows it: milliseconds of a clock that never goes back, given by the shell.

use std::time::Duration;

/// A point in time, in milliseconds since any fixed one, such as the start of the process. Must not
/// go back and must count the time for which the machine was suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// Returns the time that passed since `earlier`; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns the point `duration` after this one.
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// Units of [`for_people`], in seconds: the average year and month, as 1.x hosts print them.
const UNITS: [(u64, &str, &str); 6] = [
    (31_557_600, "year", "years"),
    (2_630_016, "month", "months"),
    (86_400, "day", "days"),
    (3_600, "h", "h"),
    (60, "m", "m"),
    (1, "s", "s"),
];

/// Writes whole seconds for people: `1h 2m 3s`.
pub(crate) fn for_people(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    let mut parts = Vec::new();
    for (length, one, many) in UNITS {
        let count = seconds / length;
        seconds %= length;
        match count {
            0 => {}
            1 => parts.push(format!("1{one}")),
            _ => parts.push(format!("{count}{many}")),
        }
    }
    if parts.is_empty() {
        return "0s".to_owned();
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_those_of_1_x() {
        for (seconds, text) in [
            (0, "0s"),
            (3_723, "1h 2m 3s"),
            (86_400 * 2 + 60, "2days 1m"),
            (31_557_600 + 2_630_016 + 86_400, "1year 1month 1day"),
        ] {
            assert_eq!(for_people(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn time_never_overflows() {
        let end = Millis(u64::MAX);
        assert_eq!(end.after(Duration::MAX), end);
        assert_eq!(Millis(1).since(end), Duration::ZERO);
    }
}
