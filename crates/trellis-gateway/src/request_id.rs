//! Request ids: kept where the client sent a sane one, made cheaply where not.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};

use bytes::{BufMut, BytesMut};
use http::{HeaderName, HeaderValue};

/// The header that carries the id, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id taken from a client: enough for UUIDs and trace ids, too short to flood a log.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Ids are cut from a buffer of this size, so that most of them allocate nothing.
const BUFFER_BYTES: usize = 1_024;

/// The longest id we make: three numbers of 16 digits and two dashes.
const OWN_ID_BYTES_MAX: usize = 50;

/// Returns a number that tells this process's ids from those of others.
pub(crate) fn process_number() -> u32 {
    let random = RandomState::new().hash_one(std::process::id());
    (random >> 32) as u32
}

/// Makes the ids of one connection: `process-connection-request`, in hexadecimal digits.
pub(crate) struct RequestIds {
    process: u32,
    connection: u64,
    next: Cell<u64>,
    buffer: RefCell<BytesMut>,
}

impl RequestIds {
    pub(crate) fn new(process: u32, connection: u64) -> Self {
        let buffer = RefCell::new(BytesMut::new());
        Self {
            process,
            connection,
            next: Cell::new(0),
            buffer,
        }
    }

    /// Returns the client's id if it is sane, otherwise the next of our own.
    pub(crate) fn id_for(&self, sent: Option<&HeaderValue>) -> HeaderValue {
        match sent {
            Some(id) if is_sane(id) => id.clone(),
            _ => self.next_id(),
        }
    }

    fn next_id(&self) -> HeaderValue {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let mut text = [b'-'; OWN_ID_BYTES_MAX];
        let mut end = put_hex(&mut text, 0, u64::from(self.process));
        end = put_hex(&mut text, end + 1, self.connection);
        end = put_hex(&mut text, end + 1, number);
        let mut buffer = self.buffer.borrow_mut();
        if buffer.capacity() < end {
            buffer.reserve(BUFFER_BYTES);
        }
        buffer.put_slice(&text[..end]);
        HeaderValue::from_maybe_shared(buffer.split().freeze())
            .expect("hexadecimal digits and dashes are a header value")
    }
}

fn is_sane(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

/// Writes `number` in hexadecimal without leading zeros from `at` on; returns where it ends.
fn put_hex(text: &mut [u8], at: usize, number: u64) -> usize {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    let end = at + digits as usize;
    for (place, byte) in text[at..end].iter_mut().rev().enumerate() {
        let digit = (number >> (place * 4)) & 0xf;
        *byte = b"0123456789abcdef"[digit as usize];
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_ids_are_distinct_numbers() {
        let ids = RequestIds::new(0xbeef, 0x10);
        assert_eq!(ids.id_for(None), "beef-10-0");
        let many: std::collections::HashSet<_> = (0..1_000).map(|_| ids.next_id()).collect();
        assert_eq!(many.len(), 1_000);
        assert_eq!(
            RequestIds::new(u32::MAX, u64::MAX).next_id(),
            "ffffffff-ffffffffffffffff-0"
        );
    }

    #[test]
    fn only_sane_ids_are_kept() {
        let ids = RequestIds::new(1, 1);
        let kept = |id: &str| {
            let sent = HeaderValue::from_str(id).expect("a header value");
            ids.id_for(Some(&sent)) == sent
        };
        assert!(kept("3f1c7e52-8b0d-4f4e-9f5f-2d3a8e3f6a11"));
        assert!(kept(&"x".repeat(128)));
        for bad in ["", "a b", &"x".repeat(129), "a\tb"] {
            assert!(!kept(bad), "{bad:?} was kept");
        }
    }
}
