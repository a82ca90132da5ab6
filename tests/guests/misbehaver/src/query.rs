//! The few query parameters that a deed takes.

use wstd::http::Uri;

/// The query of a request; a missing parameter is zero or empty.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of `uri`.
    pub fn of(uri: &Uri) -> Self {
        let pairs = uri.query().unwrap_or_default().split('&');
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (name.to_owned(), decode(value)))
                .collect(),
        )
    }

    /// The parameter called `name` as text.
    pub fn text(&self, name: &str) -> String {
        let found = self.0.iter().find(|(candidate, _)| candidate == name);
        found.map_or_else(String::new, |(_, value)| value.clone())
    }

    /// The parameter called `name` as a number.
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_default()
    }
}

/// Undoes percent encoding; what is not valid stays as it is written.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
