//! Finds what a misspelt name may have been meant to be.

/// Longer texts are no misspelling of anything, and comparing them costs time.
const LENGTH_MAX: usize = 64;
/// Names compared for one suggestion; what a lattice has more of is not searched.
const NAMES_MAX: usize = 1_000;

/// Returns the name that `text` may be a misspelling or a part of.
pub(crate) fn suggestion<'n>(
    text: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let length = text.chars().count();
    if length == 0 || length > LENGTH_MAX {
        return None;
    }
    let lower = text.to_lowercase();
    names
        .into_iter()
        // What somebody typed is no help against itself.
        .filter(|name| name.len() <= LENGTH_MAX && *name != text)
        .take(NAMES_MAX)
        .map(|name| (strsim::osa_distance(&lower, &name.to_lowercase()), name))
        // One slip in three characters still reads as the same word.
        .filter(|(slips, name)| *slips <= (length.max(name.len()) / 3).max(1) && *slips < length)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

/// Returns `; did you mean …?`, or nothing where no name is near.
pub(crate) fn did_you_mean<'n>(text: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    match suggestion(text, names) {
        Some(name) => format!("; did you mean {name}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_names_are_not() {
        let names = ["cart", "checkout", "payments-web"];
        assert_eq!(suggestion("crat", names), Some("cart"));
        assert_eq!(suggestion("Chekout", names), Some("checkout"));
        assert_eq!(did_you_mean("cart2", names), "; did you mean cart?");
        assert_eq!(did_you_mean("cart", names), "", "not the same name");
        for text in ["", "x", "inventory", &"cart".repeat(100)] {
            assert_eq!(suggestion(text, names), None, "{text}");
        }
    }
}
