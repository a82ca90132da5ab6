//! Random text: what a client has to sign, and the id of a run.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 144 bits: nobody sees one twice, and the text has no padding.
const RANDOM_BYTES: usize = 18;

/// Makes 24 characters that cannot be guessed, of those that base64 for URLs uses.
///
/// # Errors
/// When the system has no random numbers to give.
pub(crate) fn random_text() -> Result<String, getrandom::Error> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::random_text;

    #[test]
    fn no_two_are_equal() {
        let one = random_text().expect("random numbers");
        assert_eq!(one.len(), 24);
        assert_ne!(one, random_text().expect("random numbers"));
    }
}
