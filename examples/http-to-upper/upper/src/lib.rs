//! Changes texts to upper case for whoever is linked to it. It serves no HTTP and imports nothing of its own.

mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "provides-upper" });
}

use bindings::exports::trellis_examples::text::upper::Guest;

struct Upper;

impl Guest for Upper {
    fn upper(text: String) -> String {
        text.to_uppercase()
    }
}

bindings::export!(Upper with_types_in bindings);
