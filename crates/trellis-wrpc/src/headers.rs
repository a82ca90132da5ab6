//! Headers of an invocation, so that callers of this crate need not know the NATS client.

use std::fmt;

use async_nats::header::{HeaderName, HeaderValue};
use async_nats::{HeaderMap, Subject};

use crate::extension::{ERROR_HEADER, HEADER};

/// Free-form headers of one call: case-sensitive names, text without line breaks.
///
/// Those of a call that was received hold the transport's own too, which nobody sees: to hide them costs less than to
/// take them out.
#[derive(Clone, Default)]
pub struct Headers(HeaderMap);

/// A header that NATS cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The name is empty, or has a colon, a space or a character beyond ASCII.
    #[error("the name of a header must be ASCII without spaces and colons")]
    Name,
    /// The value has a line break.
    #[error("the value of a header must not have line breaks")]
    Value,
    /// The name belongs to the transport itself.
    #[error("the names `trellis-wrpc` and `trellis-error` belong to the transport")]
    Reserved,
}

impl Headers {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a header, replacing what it was.
    ///
    /// # Errors
    /// A name or value that NATS cannot carry.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let name: HeaderName = name.parse().map_err(|_| HeaderError::Name)?;
        match name.as_ref() {
            "" => return Err(HeaderError::Name),
            name if is_reserved(name) => return Err(HeaderError::Reserved),
            _ => {}
        }
        let value: HeaderValue = value.parse().map_err(|_| HeaderError::Value)?;
        self.0.insert(name, value);
        Ok(())
    }

    /// Returns the first value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        if is_reserved(name) {
            return None;
        }
        self.0.get(name).map(HeaderValue::as_str)
    }

    /// Returns all headers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        let all = all.filter(|(name, _)| !is_reserved(name.as_ref()));
        all.flat_map(|(name, values)| values.iter().map(|value| (name.as_ref(), value.as_str())))
    }

    /// Returns whether there is no header.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn from_map(map: HeaderMap) -> Self {
        Self(map)
    }

    pub(crate) fn into_map(self) -> HeaderMap {
        if self.0.get(HEADER).is_none() && self.0.get(ERROR_HEADER).is_none() {
            return self.0;
        }
        let mut kept = HeaderMap::new();
        for (name, values) in self.0.iter() {
            if !is_reserved(name.as_ref()) {
                for value in values {
                    kept.append(name.clone(), value.clone());
                }
            }
        }
        kept
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.clone().into_map() == other.clone().into_map()
    }
}

impl Eq for Headers {}

fn is_reserved(name: &str) -> bool {
    matches!(name, HEADER | ERROR_HEADER)
}

impl fmt::Debug for Headers {
    // Names only: a value may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Bytes that a header block takes on the wire.
pub(crate) fn wire_bytes(map: &HeaderMap) -> usize {
    const FRAME: usize = "NATS/1.0\r\n".len() + "\r\n".len();
    let each = |name: &HeaderName, value: &HeaderValue| {
        let name: &str = name.as_ref();
        name.len() + value.as_str().len() + ": \r\n".len()
    };
    let all = map.iter();
    FRAME
        + all
            .flat_map(|(name, values)| values.iter().map(move |value| each(name, value)))
            .sum::<usize>()
}

/// Returns the inbox that a per-call subject belongs to: all but its last token.
pub(crate) fn inbox_of(subject: &Subject) -> Option<&str> {
    subject.rsplit_once('.').map(|(inbox, _)| inbox)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_nats_cannot_carry_is_refused() {
        let mut headers = Headers::new();
        assert_eq!(headers.insert("", "a"), Err(HeaderError::Name));
        assert_eq!(headers.insert("a b", "a"), Err(HeaderError::Name));
        assert_eq!(headers.insert("a:", "a"), Err(HeaderError::Name));
        assert_eq!(headers.insert("a", "1\r\nb: 2"), Err(HeaderError::Value));
        assert_eq!(headers.insert(HEADER, "1 end"), Err(HeaderError::Reserved));
        assert!(headers.is_empty());
    }

    #[test]
    fn what_the_transport_says_nobody_sees() {
        let mut map = HeaderMap::new();
        map.insert(HEADER, "1 end");
        let received = Headers::from_map(map.clone());
        assert!(received.is_empty() && received.iter().next().is_none());
        assert_eq!(received.get(HEADER), None);
        assert_eq!(received, Headers::new());
        map.insert("source-id", "web");
        let sent_on = Headers::from_map(map).into_map();
        assert_eq!(sent_on.len(), 1);
    }

    #[test]
    fn the_size_on_the_wire_counts_every_value() {
        let mut headers = Headers::new();
        headers.insert("link-name", "default").unwrap();
        assert_eq!(
            wire_bytes(&headers.into_map()),
            "NATS/1.0\r\nlink-name: default\r\n\r\n".len()
        );
    }

    #[test]
    fn a_value_is_never_printed() {
        let mut headers = Headers::new();
        headers.insert("authorization", "secret").unwrap();
        assert_eq!(format!("{headers:?}"), r#"{"authorization"}"#);
    }
}
