//! The id of a change, which travels in a header: by it hosts and stores know copies of one request.
//!
//! Clients of 1.x send none, and hosts of 1.x read none.

use trellis_core::ChangeId;
use trellis_lattice::Headers;

/// The header of a request that may change the lattice's state.
const HEADER: &str = "trellis-change";

/// Reads the id of the change that a request asks for. One that is none counts as absent, as it does for
/// hosts of 1.x.
pub fn change_id(headers: &Headers) -> Option<ChangeId> {
    ChangeId::new(headers.get(HEADER)?).ok()
}

/// Returns the headers of a request for a change that nobody has asked for before.
pub(crate) fn new_change() -> Headers {
    let mut headers = Headers::new();
    let id = uuid::Uuid::now_v7().simple().to_string();
    headers
        .insert(HEADER, &id)
        .expect("a name and hexadecimal digits break no framing");
    headers
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_change_has_an_id_of_its_own() {
        let [first, second] = [(); 2].map(|()| change_id(&new_change()).unwrap());
        assert_ne!(first, second);
    }

    #[test]
    fn what_is_no_id_counts_as_absent() {
        assert_eq!(change_id(&Headers::new()), None);
        for bad in ["", "a b", "a.b", &"a".repeat(256)] {
            let mut headers = Headers::new();
            headers.insert("Trellis-Change", bad).unwrap();
            assert_eq!(change_id(&headers), None, "{bad}");
        }
    }
}
