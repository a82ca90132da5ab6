//! Stands between `caller` and `callee`: passes every call on to what it is linked to.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/types", world: "relay" });
}

use bindings::exports::trellis_test::types::bench::Guest;
use bindings::trellis_test::types::bench;

struct Relay;

impl Guest for Relay {
    fn nop() {
        bench::nop();
    }
    fn echo_bytes(value: Vec<u8>) -> Vec<u8> {
        bench::echo_bytes(&value)
    }
}

bindings::export!(Relay with_types_in bindings);
