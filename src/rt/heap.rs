//! Gives memory that nobody uses back to the system.

/// Gives back what the calling thread's heap keeps for later. The allocator does so by itself only
/// while the thread asks it for more, which an idle one does not. Takes up to some milliseconds.
#[cfg(not(feature = "system-alloc"))]
#[expect(unsafe_code, reason = "the allocator is C")]
pub fn give_back_memory() {
    // SAFETY: it takes no pointer and may be called at any time from any thread; where another
    // allocator is in use, its heap is empty.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// The C library's allocator keeps what it likes.
#[cfg(feature = "system-alloc")]
pub const fn give_back_memory() {}
