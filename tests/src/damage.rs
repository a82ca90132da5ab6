//! Files as a failing disk leaves them.

/// Bytes of a page of a storage file.
const PAGE_BYTES: usize = 4096;
/// Bytes of the header of a storage file.
const HEADER_BYTES: usize = 320;

/// Returns copies of a storage file, each damaged in another way: cut off, with a wrong bit in its
/// header or anywhere, or with a page of rubbish. The same file gives the same copies.
///
/// # Panics
/// When `sound` is shorter than the header of a storage file.
pub fn damaged_copies(sound: &[u8], copies: usize) -> impl Iterator<Item = Vec<u8>> {
    let used = sound.iter().rposition(|byte| *byte != 0);
    let used = used.expect("a storage file has a header");
    let mut random = Random(1);
    (0..copies).map(move |copy| {
        let mut damaged = sound.to_vec();
        match copy % 4 {
            0 => damaged.truncate(random.below(sound.len())),
            1 => damaged[random.below(HEADER_BYTES)] ^= 1 << random.below(8),
            2 => damaged[random.below(used)] ^= 1 << random.below(8),
            _ => {
                let page = random.below(used) / PAGE_BYTES * PAGE_BYTES;
                damaged[page..][..PAGE_BYTES].fill(random.below(256) as u8);
            }
        }
        damaged
    })
}

/// A small generator with a fixed seed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}
