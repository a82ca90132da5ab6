//! The parameters of a probe. They are used as they are written: nothing is percent-decoded.

/// The query of a request; a missing parameter is zero or empty.
pub struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    /// Reads `query`.
    pub fn of(query: &'a str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .collect(),
        )
    }

    /// The parameter called `name` as text.
    pub fn text(&self, name: &str) -> &'a str {
        let found = self.0.iter().find(|(candidate, _)| *candidate == name);
        found.map_or("", |(_, value)| value)
    }

    /// The parameter called `name` as a number.
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// All parameters but the one called `name`.
    pub fn others(&self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .copied()
            .filter(move |(candidate, _)| *candidate != name)
    }
}
