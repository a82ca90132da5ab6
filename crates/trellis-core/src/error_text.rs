//! Errors as one line for people.

use std::error::Error;

/// Joins an error and its causes into one line, leaving out what an outer message already says.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApplicationName;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot deploy")]
    struct Outer(#[source] crate::IdError);

    #[test]
    fn causes_follow_in_one_line() {
        let cause = ApplicationName::new("").expect_err("an empty name");
        assert_eq!(
            with_causes(&Outer(cause)),
            "cannot deploy: the application name must not be empty"
        );
    }
}
