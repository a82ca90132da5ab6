//! NATS subjects and patterns of subjects: which are well formed, what matches what.
//!
//! A subject is tokens between dots. In a pattern, the token `*` stands for any one token and the
//! token `>`, at the end only, for one or more. Pure; the length of a subject is for its transport
//! to bound. An empty token matches nothing, as in nats-server.

/// Returns whether `subject` can be published to: tokens that are not empty and hold neither blanks
/// nor control characters, and no wildcard among them.
///
/// # Examples
/// ```
/// use trellis_identity::subject;
/// assert!(subject::is_valid("wasmbus.evt.default.host_started"));
/// assert!(!subject::is_valid("wasmbus..default") && !subject::is_valid("wasmbus.>"));
/// ```
pub fn is_valid(subject: &str) -> bool {
    subject
        .split('.')
        .all(|token| is_token(token) && !is_wildcard(token))
}

/// Returns whether `pattern` can be subscribed to: as a subject, with wildcards in their places.
pub fn is_valid_pattern(pattern: &str) -> bool {
    let mut tokens = pattern.split('.').peekable();
    while let Some(token) = tokens.next() {
        if !is_token(token) || (token == ">" && tokens.peek().is_some()) {
            return false;
        }
    }
    true
}

/// Returns whether one of the tokens of `subject` is a wildcard.
pub fn has_wildcard(subject: &str) -> bool {
    subject.split('.').any(is_wildcard)
}

/// Returns whether a message to `subject` reaches a subscription to `pattern`.
///
/// A wildcard in `subject` is a token like any other here, as it is for nats-server when a careless
/// client publishes to one; ask [`is_valid`] first, or [`covers`] where `subject` is a pattern.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut pattern = pattern.split('.');
    let mut subject = subject.split('.');
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(token)) => {
                return !token.is_empty()
                    && subject.all(|token| !token.is_empty())
                    && pattern.next().is_none();
            }
            (Some("*"), Some(token)) if !token.is_empty() => {}
            (Some(expected), Some(token)) if expected == token && !token.is_empty() => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Returns whether `pattern` matches every subject that `other` matches.
///
/// # Examples
/// ```
/// use trellis_identity::subject::covers;
/// assert!(covers("a.>", "a.*.c"));
/// assert!(!covers("a.*", "a.>"));
/// ```
pub fn covers(pattern: &str, other: &str) -> bool {
    let mut pattern = pattern.split('.');
    let mut other = other.split('.');
    loop {
        match (pattern.next(), other.next()) {
            (Some(">"), Some(token)) => {
                return !token.is_empty()
                    && other.all(|token| !token.is_empty())
                    && pattern.next().is_none();
            }
            (_, Some(">")) => return false,
            (Some("*"), Some(token)) if !token.is_empty() => {}
            (Some(expected), Some(token)) if expected == token && !token.is_empty() => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Returns whether some subject is matched by both patterns.
pub fn overlaps(one: &str, other: &str) -> bool {
    let mut one = one.split('.');
    let mut other = other.split('.');
    loop {
        match (one.next(), other.next()) {
            (Some(""), _) | (_, Some("")) => return false,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(first), Some(second))
                if first == second || is_wildcard(first) || is_wildcard(second) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

fn is_wildcard(token: &str) -> bool {
    matches!(token, "*" | ">")
}

fn is_token(token: &str) -> bool {
    !token.is_empty()
        && !token
            .chars()
            .any(|character| character.is_whitespace() || character.is_control())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// Matches by recursion over slices: slow, and short enough to be seen to be right.
    fn naive(pattern: &[&str], subject: &[&str]) -> bool {
        match (pattern, subject) {
            ([">"], [_, ..]) => true,
            (["*", pattern @ ..], [_, subject @ ..]) => naive(pattern, subject),
            ([expected, pattern @ ..], [token, subject @ ..]) => {
                expected == token && naive(pattern, subject)
            }
            ([], []) => true,
            _ => false,
        }
    }

    fn naive_text(pattern: &str, subject: &str) -> bool {
        let pattern: Vec<_> = pattern.split('.').collect();
        let subject: Vec<_> = subject.split('.').collect();
        naive(&pattern, &subject)
    }

    /// Every subject of one to five tokens; `z` occurs in no pattern and so stands for all others.
    fn all_subjects() -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut longest: Vec<String> = vec!["a".into(), "b".into(), "z".into()];
        for _ in 0..5 {
            all.extend(longest.iter().cloned());
            longest = longest
                .iter()
                .flat_map(|subject| ["a", "b", "z"].map(|token| format!("{subject}.{token}")))
                .collect();
        }
        all
    }

    fn pattern() -> impl Strategy<Value = String> {
        let token = prop::sample::select(vec!["a", "b", "*"]);
        (prop::collection::vec(token, 1..=4), any::<bool>()).prop_map(|(mut tokens, open)| {
            if open {
                tokens.pop();
                tokens.push(">");
            }
            tokens.join(".")
        })
    }

    fn subject() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "z"]), 1..=5)
            .prop_map(|tokens| tokens.join("."))
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_naive_matcher(pattern in pattern(), subject in subject()) {
            prop_assert_eq!(matches(&pattern, &subject), naive_text(&pattern, &subject));
            prop_assert_eq!(covers(&pattern, &subject), naive_text(&pattern, &subject));
        }

        #[test]
        fn a_pattern_covers_another_when_it_matches_all_its_subjects(one in pattern(), other in pattern()) {
            let all = all_subjects();
            let expected = all.iter().all(|subject| !naive_text(&other, subject) || naive_text(&one, subject));
            prop_assert_eq!(covers(&one, &other), expected);
        }

        #[test]
        fn patterns_overlap_when_a_subject_is_in_both(one in pattern(), other in pattern()) {
            let expected = all_subjects().iter().any(|subject| naive_text(&other, subject) && naive_text(&one, subject));
            prop_assert_eq!(overlaps(&one, &other), expected);
            prop_assert_eq!(overlaps(&other, &one), expected);
        }

        #[test]
        fn any_text_is_taken_without_panic(one in ".{0,40}", other in "[.*> a]{0,20}") {
            for (pattern, subject) in [(&one, &other), (&other, &one)] {
                let _ = (matches(pattern, subject), covers(pattern, subject), overlaps(pattern, subject));
                if is_valid(subject) {
                    prop_assert!(is_valid_pattern(subject) && !has_wildcard(subject));
                }
            }
        }
    }

    #[test]
    fn subjects_are_tokens_without_blanks_and_wildcards() {
        for good in ["a", "a.b", "_INBOX.x.1", "a*.b>", "$KV.B.k", "é.ü"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in [
            "", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\nb", "a.*", "a.>", "a\0",
        ] {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_full_wildcard_comes_last() {
        for good in ["a", ">", "*", "a.*.c", "a.>", "*.*.>"] {
            assert!(is_valid_pattern(good), "{good}");
        }
        for bad in ["", ">.a", "a.>.b", "a..>", "a. >", "*."] {
            assert!(!is_valid_pattern(bad), "{bad:?}");
        }
    }

    #[test]
    fn empty_tokens_match_nothing() {
        for (pattern, subject) in [
            ("a.*", "a."),
            ("a.>", "a."),
            (">", ""),
            ("*", ""),
            ("a..b", "a..b"),
            ("a.>", "a.b..c"),
        ] {
            assert!(!matches(pattern, subject), "{pattern} {subject}");
            assert!(!covers(pattern, subject), "{pattern} {subject}");
        }
    }
}
