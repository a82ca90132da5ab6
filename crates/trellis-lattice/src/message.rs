//! A message of the lattice and its headers. The types of the NATS client stay behind them.

use std::fmt;

use bytes::Bytes;

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct Message {
    /// The subject it was published to.
    pub subject: String,
    /// The subject an answer goes to, where one is wanted.
    pub reply: Option<String>,
    /// Its headers; empty where it has none.
    pub headers: Headers,
    /// Its content.
    pub payload: Bytes,
    /// The status of a message that the server itself sent, such as 503 for "nobody listens".
    pub status: Option<u16>,
}

impl From<async_nats::Message> for Message {
    fn from(message: async_nats::Message) -> Self {
        Self {
            subject: message.subject.into_string(),
            reply: message.reply.map(async_nats::Subject::into_string),
            headers: message
                .headers
                .as_ref()
                .map(Headers::from_nats)
                .unwrap_or_default(),
            payload: message.payload,
            status: message.status.map(|status| status.as_u16()),
        }
    }
}

/// Named values that travel beside a payload, in the order in which they were added. Names are
/// compared without regard to case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Box<str>, Box<str>)>);

/// Why a header cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The name is empty or has a character that would end it.
    #[error("a header's name has only visible ASCII characters and no colon, {name:?} has others")]
    Name {
        /// The name.
        name: String,
    },
    /// The value has a line break, which would begin another header.
    #[error("the value of the header {name} has a line break")]
    Value {
        /// The name of the header.
        name: String,
    },
}

impl Headers {
    /// Returns headers without any.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Sets `name` to `value`, in place of all its earlier values.
    ///
    /// # Errors
    /// When the name or the value would break the framing of the message.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        check(name, value)?;
        self.0.retain(|(held, _)| !held.eq_ignore_ascii_case(name));
        self.0.push((name.into(), value.into()));
        Ok(())
    }

    /// Adds `value` to those of `name`.
    ///
    /// # Errors
    /// When the name or the value would break the framing of the message.
    pub fn append(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        check(name, value)?;
        self.0.push((name.into(), value.into()));
        Ok(())
    }

    /// Returns the first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(held, value)| held.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Returns every name with every value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn from_nats(headers: &async_nats::HeaderMap) -> Self {
        let pairs = headers.iter().flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            values
                .iter()
                .map(move |value| (name.into(), value.as_str().into()))
        });
        Self(pairs.collect())
    }

    pub(crate) fn to_nats(&self) -> Option<async_nats::HeaderMap> {
        if self.is_empty() {
            return None;
        }
        let mut headers = async_nats::HeaderMap::new();
        for (name, value) in self.iter() {
            headers.append(name, value);
        }
        Some(headers)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

fn check(name: &str, value: &str) -> Result<(), HeaderError> {
    let name_fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if !name_fits {
        return Err(HeaderError::Name {
            name: name.to_owned(),
        });
    }
    if value.bytes().any(|b| matches!(b, b'\r' | b'\n')) {
        return Err(HeaderError::Value {
            name: name.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn headers_keep_their_values_through_the_client() {
        let mut headers = Headers::new();
        headers.insert("Traceparent", "00-a").unwrap();
        headers.append("x-tag", "1").unwrap();
        headers.append("x-tag", "2").unwrap();
        let back = Headers::from_nats(&headers.to_nats().unwrap());
        assert_eq!(back.get("traceparent"), Some("00-a"));
        let tags: Vec<_> = back.iter().filter(|(name, _)| *name == "x-tag").collect();
        assert_eq!(tags, [("x-tag", "1"), ("x-tag", "2")]);
        headers.insert("X-TAG", "3").unwrap();
        assert_eq!(headers.iter().count(), 2);
    }

    #[test]
    fn a_header_cannot_carry_another_one() {
        let mut headers = Headers::new();
        assert!(headers.insert("a", "1\r\nb: 2").is_err());
        assert!(headers.insert("a: 1\r\nb", "2").is_err());
        assert!(headers.insert("", "2").is_err());
        assert!(headers.is_empty() && headers.to_nats().is_none());
    }
}
