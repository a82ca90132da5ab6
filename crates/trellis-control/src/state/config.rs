//! Config: named text maps, and how several become one.

use std::collections::BTreeMap;

/// The values of one config entry, or of several merged.
pub type Config = BTreeMap<String, String>;

/// Config that is named but does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no config or secret is named {}", quoted(names))]
pub struct MissingConfig {
    /// The names, in the order in which they were used.
    pub names: Vec<String>,
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|it| format!("`{it}`")).collect();
    names.join(", ")
}

/// Tells whether a config name refers to a secret. The test of 1.x: it begins with `SECRET`.
pub fn is_secret_name(name: &str) -> bool {
    name.starts_with("SECRET")
}

/// Merges config from left to right: of two values for one key, the rightmost wins.
pub fn merge_config<'a>(entries: impl IntoIterator<Item = &'a Config>) -> Config {
    let mut merged = Config::new();
    for entry in entries {
        merged.extend(entry.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    merged
}

/// Merges the config named by `names`, each of which must exist.
///
/// For what starts anew. What runs already goes on with an empty map in place of an entry that is
/// removed under it: use [`merge_config`].
///
/// # Errors
/// Every name that `lookup` does not know.
pub fn resolve_config<'a>(
    names: &[String],
    lookup: impl Fn(&str) -> Option<&'a Config>,
) -> Result<Config, MissingConfig> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match lookup(name) {
            Some(entry) => found.push(entry),
            None => missing.push(name.clone()),
        }
    }
    if missing.is_empty() {
        Ok(merge_config(found))
    } else {
        Err(MissingConfig { names: missing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn the_rightmost_value_wins() {
        let entries = BTreeMap::from([
            ("foo", config(&[("a", "1"), ("b", "2")])),
            ("bar", config(&[("b", "3"), ("c", "4")])),
        ]);
        let lookup = |name: &str| entries.get(name);
        assert_eq!(
            resolve_config(&names(&["foo", "bar"]), lookup),
            Ok(config(&[("a", "1"), ("b", "3"), ("c", "4")]))
        );
        assert_eq!(
            resolve_config(&names(&["bar", "foo"]), lookup),
            Ok(config(&[("a", "1"), ("b", "2"), ("c", "4")]))
        );
        assert_eq!(resolve_config(&[], lookup), Ok(Config::new()));
    }

    #[test]
    fn every_missing_name_is_told() {
        let error = resolve_config(&names(&["x", "SECRET_y"]), |_| None).expect_err("missing");
        assert_eq!(
            error.to_string(),
            "no config or secret is named `x`, `SECRET_y`"
        );
        assert!(is_secret_name("SECRET_y") && !is_secret_name("secret"));
    }
}
