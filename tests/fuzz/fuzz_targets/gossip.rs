//! See `dynomesh_properties::gossip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    dynomesh_properties::gossip::check(data);
});
