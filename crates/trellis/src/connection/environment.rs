//! The environment as a source of settings, with what is empty taken as absent.

/// Looks a variable up.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Returns a variable of this process; one that is empty or no text counts as absent.
pub(crate) fn of_process(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.trim().is_empty())
}
