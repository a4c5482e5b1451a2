//! See `dynomesh_properties::trailers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    dynomesh_properties::trailers::check(data);
});
