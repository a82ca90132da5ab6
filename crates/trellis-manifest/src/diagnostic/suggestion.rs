//! Finds what a misspelt name may have been meant to be.

/// Longer texts are no misspelling of anything, and comparing them costs time.
const SUGGESTION_LENGTH_MAX: usize = 64;
/// Candidates compared for one suggestion, so that a thousand wrong names stay cheap.
const SUGGESTION_CANDIDATES_MAX: usize = 200;

/// Returns the candidate that `text` may be a misspelling of.
pub(super) fn suggestion<'c>(
    text: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let length = text.chars().take(SUGGESTION_LENGTH_MAX + 1).count();
    if length > SUGGESTION_LENGTH_MAX {
        return None;
    }
    let lower = text.to_lowercase();
    candidates
        .filter(|candidate| candidate.len() <= SUGGESTION_LENGTH_MAX)
        .filter(|candidate| candidate.len().abs_diff(text.len()) <= SUGGESTION_LENGTH_MAX / 3)
        .take(SUGGESTION_CANDIDATES_MAX)
        .map(|candidate| {
            (
                strsim::osa_distance(&lower, &candidate.to_lowercase()),
                candidate,
            )
        })
        // One slip in three characters still reads as the same word.
        .filter(|(distance, candidate)| {
            *distance <= (length.max(candidate.len()) / 3).max(1) && *distance < length.max(1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let known = ["image", "application", "id", "config", "secrets"];
        let find = |text: &str| suggestion(text, known.into_iter());
        assert_eq!(find("imgae"), Some("image"));
        assert_eq!(find("Config"), Some("config"));
        assert_eq!(find("secret"), Some("secrets"));
        for text in ["", "x", "command", &"config".repeat(100)] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
