//! The name of a function as it is typed: `namespace:package/interface@version.function`, or shorter.

use trellis_core::WitInterface;

/// What stands before the name of a function of a resource, such as `[method]bucket.get`.
const RESOURCE_MARK: &str = ".[";

/// An exported function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// None for a function that the component exports itself.
    pub(super) interface: Option<String>,
    /// Its name.
    pub(super) name: String,
}

impl std::fmt::Display for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Reads the name of a function. Versions have dots too, so the last one divides; but the name of a
/// function of a resource, which has one itself, begins with `[`.
///
/// # Errors
/// When the interface is none, or the function is missing.
pub(super) fn parse(text: &str) -> Result<Function, String> {
    if !text.contains('/') {
        return short(text);
    }
    let divided = match text.find(RESOURCE_MARK) {
        Some(at) => Some((&text[..at], &text[at + 1..])),
        None => text.rsplit_once('.'),
    };
    let missing = || format!("{text:?} names no function; write {text}.FUNCTION");
    let (interface, name) = divided.ok_or_else(missing)?;
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '[') {
        return Err(missing());
    }
    let interface: WitInterface =
        interface
            .parse()
            .map_err(|error| match text.parse::<WitInterface>() {
                // `a:b/c@1.0.0-draft` parses as a whole: its last part is of the version.
                Ok(_) => missing(),
                Err(_) => format!("{error}"),
            })?;
    Ok(Function {
        interface: Some(interface.to_string()),
        name: name.to_owned(),
    })
}

/// Reads `FUNCTION`, or `INTERFACE.FUNCTION` with the last part of an interface's name.
fn short(text: &str) -> Result<Function, String> {
    let help = || "write INTERFACE.FUNCTION, NAMESPACE:PACKAGE/INTERFACE.FUNCTION or FUNCTION";
    if text.is_empty() || text.contains(':') {
        return Err(help().to_owned());
    }
    let (interface, name) = match text.split_once('.') {
        Some((interface, name)) if !text.starts_with('[') => (Some(interface), name),
        _ => (None, text),
    };
    if name.is_empty()
        || interface.is_some_and(str::is_empty)
        || name.contains('.') && !name.starts_with('[')
    {
        return Err(help().to_owned());
    }
    Ok(Function {
        interface: interface.map(str::to_owned),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_is_what_follows_the_interface() {
        for (text, interface, name) in [
            ("a:b/c.f", Some("a:b/c"), "f"),
            (
                "a:b/c@0.2.0-draft.get-all",
                Some("a:b/c@0.2.0-draft"),
                "get-all",
            ),
            (
                "a:b/c@1.0.0.[method]bucket.get",
                Some("a:b/c@1.0.0"),
                "[method]bucket.get",
            ),
            ("add", None, "add"),
            ("upper.shout", Some("upper"), "shout"),
            (
                "store.[method]bucket.get",
                Some("store"),
                "[method]bucket.get",
            ),
        ] {
            let function = parse(text).expect("a function");
            assert_eq!(function.interface.as_deref(), interface);
            assert_eq!(function.name, name);
            assert_eq!(function.to_string(), text);
        }
    }

    #[test]
    fn what_lacks_a_part_is_refused() {
        for text in [
            "",
            "a:b/c",
            "a:b/c@1.0.0",
            "a:b/c@1.0.0-draft",
            "a/b.c",
            "a:b.c",
            ".b",
            "a.",
            "a.b.c",
            "a:b/c.",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }
}
