//! Events of hosts: any bytes are an event or an error, and an event is written as one that reads the
//! same, of a type that nobody knows too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trellis_control::CloudEvent;
use trellis_fuzz::within;

fuzz_target!(|data: &[u8]| {
    within((1 << 20) + 128 * data.len(), || {
        match CloudEvent::decode(data) {
            Ok(event) => assert_eq!(CloudEvent::decode(&event.encode()), Ok(event)),
            Err(error) => assert!(trellis_core::with_causes(&error).len() < 3_000),
        }
    });
});
