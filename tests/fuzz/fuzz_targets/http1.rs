//! See `dynomesh_properties::http1`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    dynomesh_properties::http1::check(data);
});
