//! The `vertex-bridge` process: chooses the allocator, then hands over to `boot`.

use std::process::ExitCode;

#[cfg(not(feature = "system-alloc"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    vertex_bridge::boot::run()
}
