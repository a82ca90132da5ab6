//! An allocator that refuses what an input may not take. The fuzzer's own limit looks at the process
//! once a second; this one is exact, and ends the run in the allocation that is too much.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are allocated.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Bytes that may be allocated.
static LIVE_MAX: AtomicUsize = AtomicUsize::new(usize::MAX);

#[global_allocator]
static ALLOCATOR: Metered = Metered;

struct Metered;

// SAFETY: every call goes to the system's allocator as it came, or is refused with null, which the
// contract allows.
unsafe impl GlobalAlloc for Metered {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps to the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Charges for `bytes`; false when they are too many. That ends the process, whose last words need
/// memory too, as does the message of a panic: nothing more is refused.
fn take(bytes: usize) -> bool {
    let live = LIVE
        .fetch_add(bytes, Ordering::Relaxed)
        .saturating_add(bytes);
    if live <= LIVE_MAX.load(Ordering::Relaxed) || std::thread::panicking() {
        return true;
    }
    LIVE.fetch_sub(bytes, Ordering::Relaxed);
    LIVE_MAX.store(usize::MAX, Ordering::Relaxed);
    false
}

/// Runs `work`, which may hold `bytes_max` more bytes at a time than there are now. One byte more ends
/// the process with a message about a failed allocation.
pub fn within(bytes_max: usize, work: impl FnOnce()) {
    let live = LIVE.load(Ordering::Relaxed);
    LIVE_MAX.store(live.saturating_add(bytes_max), Ordering::Relaxed);
    work();
    LIVE_MAX.store(usize::MAX, Ordering::Relaxed);
}
