//! See `dynomesh_properties::words`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    dynomesh_properties::words::check(data);
});
