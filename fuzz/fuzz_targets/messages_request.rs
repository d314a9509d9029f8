#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vertex_bridge_fuzz::run("messages_request", data));
