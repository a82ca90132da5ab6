//! The one block of headers that the broker writes itself. Those of clients pass through unread.

use bytes::{BufMut, BytesMut};

/// Builds the headers of the answer to a request to `subject` that nobody serves.
pub fn no_responders(subject: &[u8]) -> BytesMut {
    const STATUS: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";
    const END: &[u8] = b"\r\n\r\n";
    let mut block = BytesMut::with_capacity(STATUS.len() + subject.len() + END.len());
    block.put_slice(STATUS);
    block.put_slice(subject);
    block.put_slice(END);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_names_the_subject() {
        let expected: &[u8] = b"NATS/1.0 503\r\nNats-Subject: a.b\r\n\r\n";
        assert_eq!(&no_responders(b"a.b")[..], expected);
    }
}
