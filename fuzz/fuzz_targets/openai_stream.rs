#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vertex_bridge_fuzz::run("openai_stream", data));
