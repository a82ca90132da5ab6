//! The length that the head of a message declares for its body.

use ::http::HeaderMap;
use ::http::header::CONTENT_LENGTH;

/// The declared length is not one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a content-length is no number")]
pub(super) struct BadLength;

/// Reads `content-length` as strictly as HTTP writes it: digits, once.
///
/// # Errors
/// [`BadLength`] for anything else that is there.
pub(super) fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, BadLength> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| BadLength)?;
    if values.next().is_some() || !text.bytes().all(|it| it.is_ascii_digit()) {
        return Err(BadLength);
    }
    text.parse().map(Some).map_err(|_| BadLength)
}
