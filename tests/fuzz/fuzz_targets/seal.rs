//! See `dynomesh_properties::seal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    dynomesh_properties::seal::check(data);
});
