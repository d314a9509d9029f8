//! Zero allocations per streamed chunk; see the counting allocator.
