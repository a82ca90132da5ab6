//! Buffers for values on their way, kept by each thread.
//!
//! A fresh megabyte costs ten times what copying into it does, because the kernel has to find and clear
//! its pages. So a buffer that is done with goes back to the thread that dropped it.

use std::cell::RefCell;
use std::ops::Deref;

use bytes::Bytes;

/// Buffers that one thread keeps. A call has two at a time, and calls nest as deep as links do.
const BUFFERS_MAX: usize = 16;
/// The largest buffer that is kept: what is larger is rare, and copying it takes longer than its pages.
const BUFFER_BYTES_MAX: usize = 4 << 20;
/// What all buffers of one thread may take together.
const KEPT_BYTES_MAX: usize = 8 << 20;

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept { buffers: Vec::new(), bytes: 0 }) };
}

struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Kept {
    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    fn give_back(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        let fits = bytes <= BUFFER_BYTES_MAX && self.bytes + bytes <= KEPT_BYTES_MAX;
        if bytes > 0 && fits && self.buffers.len() < BUFFERS_MAX {
            buffer.clear();
            self.bytes += bytes;
            self.buffers.push(buffer);
        }
    }
}

/// A buffer that goes back to its thread's store when dropped.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    /// Takes an empty buffer, with the room of an earlier use where there is one.
    pub(crate) fn take() -> Self {
        // Without its thread's store (the thread is ending) a fresh one does as well.
        let kept = KEPT.try_with(|kept| kept.borrow_mut().take());
        Self(kept.unwrap_or_default())
    }

    /// Returns the bytes, to append to.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        let _ = KEPT.try_with(|kept| kept.borrow_mut().give_back(buffer));
    }
}

/// A tuple of values on the wire.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Read from a guest by us, so that it is known to be well formed.
    Lifted(Buffer),
    /// From elsewhere, and scanned.
    Scanned(Bytes),
}

impl Payload {
    /// Returns the bytes to keep or send, without a copy.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Lifted(buffer) if buffer.0.is_empty() => Bytes::new(),
            Self::Lifted(buffer) => Bytes::from_owner(buffer),
            Self::Scanned(bytes) => bytes,
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lifted(buffer) => &buffer.0,
            Self::Scanned(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_and_an_oversized_one_is_not_kept() {
        let mut first = Buffer::take();
        first.bytes_mut().extend_from_slice(&[1; 1_000]);
        let place = first.as_ref().as_ptr();
        drop(first.into_kept_bytes());
        let mut again = Buffer::take();
        assert!(again.as_ref().is_empty());
        assert_eq!(again.as_ref().as_ptr(), place);
        again.bytes_mut().reserve(BUFFER_BYTES_MAX + 1);
        drop(again);
        assert_eq!(Buffer::take().0.capacity(), 0);
    }

    #[test]
    fn what_a_thread_keeps_is_bounded() {
        let many: Vec<Buffer> = (0..100)
            .map(|_| Buffer(Vec::with_capacity(1 << 20)))
            .collect();
        drop(many);
        KEPT.with_borrow(|kept| {
            assert_eq!(kept.bytes, KEPT_BYTES_MAX);
            assert_eq!(kept.buffers.len(), 8);
        });
    }

    impl Buffer {
        fn into_kept_bytes(self) -> Bytes {
            Payload::Lifted(self).into_bytes()
        }
    }
}
