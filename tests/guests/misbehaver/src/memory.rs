//! Takes memory straight from the engine, past the allocator, so that a refusal is seen and nothing is reused.

use core::arch::wasm32;

/// One page of linear memory, as WebAssembly defines it.
const PAGE_BYTES: usize = 64 * 1024;

/// A refused `memory.grow` answers with this.
const REFUSED: usize = usize::MAX;

/// Takes and touches one page after the other until the engine refuses, then traps.
pub fn grow_until_refused() -> ! {
    while grow(1) {}
    wasm32::unreachable()
}

/// Takes and touches `mib` MiB; false when the engine refuses.
pub fn grow_mib(mib: u64) -> bool {
    usize::try_from(mib).is_ok_and(|mib| grow(mib.saturating_mul(1024 * 1024 / PAGE_BYTES)))
}

/// Takes and touches `pages` pages; false when the engine refuses.
fn grow(pages: usize) -> bool {
    let first = wasm32::memory_grow::<0>(pages);
    if first == REFUSED {
        return false;
    }
    for page in first..first + pages {
        // SAFETY: the engine has just granted this page, and nobody else knows of it.
        unsafe { ((page * PAGE_BYTES) as *mut u8).write_volatile(1) };
    }
    true
}
