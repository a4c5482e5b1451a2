//! See `dynomesh_properties::certificate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    dynomesh_properties::certificate::check(data);
});
