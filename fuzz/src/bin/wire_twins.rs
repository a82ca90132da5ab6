//! The handle-free interfaces of the lattice's own capabilities as static types: what is read is
//! written as it was, or shorter, and reads back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trellis_fuzz::{Choices, within};
use trellis_wire::twins::{blobstore, from_wire, http, keyvalue, messaging, to_wire};

/// A macro, because the value and what it is compared with borrow from different bytes.
macro_rules! check {
    ($twin:ty, $wire:ident) => {
        if let Ok(value) = from_wire::<$twin>($wire) {
            let again = to_wire(&value);
            assert!(again.len() <= $wire.len(), "it grew");
            assert_eq!(from_wire::<$twin>(&again), Ok(value));
        }
    };
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let (twin, wire) = (choices.byte(), choices.rest());
    // A pair of two short strings takes 40 bytes for three on the wire, twice while the list grows.
    within((1 << 20) + 256 * data.len(), || match twin % 20 {
        0 => check!(http::IncomingParams<'_>, wire),
        1 => check!(http::OutgoingParams<'_>, wire),
        2 => check!(http::HandleResult<'_>, wire),
        3 => check!(http::Fields<'_>, wire),
        4 => check!(keyvalue::KeyParams<'_>, wire),
        5 => check!(keyvalue::SetParams<'_>, wire),
        6 => check!(keyvalue::SetManyParams<'_>, wire),
        7 => check!(keyvalue::KeysParams<'_>, wire),
        8 => check!(keyvalue::IncrementParams<'_>, wire),
        9 => check!(keyvalue::GetResult<'_>, wire),
        10 => check!(keyvalue::GetManyResult<'_>, wire),
        11 => check!(keyvalue::ListKeysResult<'_>, wire),
        12 => check!(keyvalue::ExistsResult, wire),
        13 => check!(blobstore::TwoObjectsParams<'_>, wire),
        14 => check!(blobstore::GetDataParams<'_>, wire),
        15 => check!(blobstore::WriteDataParams<'_>, wire),
        16 => check!(blobstore::ObjectInfoResult, wire),
        17 => check!(blobstore::StreamStatusResult, wire),
        18 => check!(messaging::MessageParams<'_>, wire),
        _ => check!(messaging::RequestResult<'_>, wire),
    });
});
