//! Asks the kernel for a small ring, to learn whether `io_uring` may be used at all.

use std::io;

/// `io_uring_setup(2)`; the number is the same on every architecture we build for.
const ENTRIES: u32 = 4;

/// Succeeds when a ring can be made; it is closed again at once.
///
/// # Errors
/// The kernel's reason: `EPERM`, `ENOSYS` or `ENOMEM`.
#[expect(unsafe_code, reason = "a raw system call")]
pub(super) fn ring() -> io::Result<()> {
    // `struct io_uring_params` is 120 bytes of plain numbers; all zero asks for a plain ring.
    let mut parameters = [0u64; 15];
    // SAFETY: the kernel reads and writes at most the 120 bytes of `parameters`.
    let descriptor =
        unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, parameters.as_mut_ptr()) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = i32::try_from(descriptor).unwrap_or(-1);
    // SAFETY: the descriptor was made above and is not used again.
    let _closed = unsafe { libc::close(descriptor) };
    Ok(())
}
