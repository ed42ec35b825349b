#![no_main]

#[path = "../../crates/wire/tests/decoders/mod.rs"]
#[expect(dead_code, reason = "each target runs one decoder")]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoders::record_decode(bytes));
