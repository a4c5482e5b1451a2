//! See `dynomesh_properties::head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    dynomesh_properties::head::check(data);
});
