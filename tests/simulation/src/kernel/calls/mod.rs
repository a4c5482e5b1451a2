//! The functions of the C library that the daemons call. A thread of the simulation is answered by the [`super::World`], any other by
//! the machine.
#![allow(unsafe_code, missing_docs, clippy::missing_safety_doc, unreachable_pub)]

mod files;
mod sockets;
mod threads;
mod time;

use std::ffi::c_int;

use super::raw;

pub(crate) use threads::end_process;

pub(super) fn prepare() {
    threads::prepare();
    let clock: unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int = time::clock_gettime;
    raw::redirect_clock(clock as usize);
}

fn set_errno(error: c_int) {
    // SAFETY: the place is the thread's own.
    unsafe { *libc::__errno_location() = error };
}

/// The answer of a call that failed.
fn failed(error: c_int) -> isize {
    set_errno(error);
    -1
}

/// The machine's answer, as the C library gives it.
unsafe fn real(number: i64, args: [usize; 6]) -> isize {
    // SAFETY: the caller's.
    let result = unsafe { raw::syscall(number, args) };
    if (-4095..0).contains(&result) { failed(-(result as c_int)) } else { result }
}
