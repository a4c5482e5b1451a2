//! Clocks and random numbers.

use std::ffi::{c_int, c_uint, c_void};

use super::super::clock::Clock;
use super::super::{MS, block, current, with};
use super::real;

const SECOND: u64 = 1_000 * MS;

pub(super) fn nanos(time: &libc::timespec) -> u64 {
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}

/// What a clock shows to a thread.
fn reading(thread: usize, clock: libc::clockid_t) -> u64 {
    with(|world| {
        let process = world.threads[thread].process;
        match clock {
            libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => world.clock_shows(process, Clock::Wall),
            libc::CLOCK_BOOTTIME => world.clock_shows(process, Clock::Boot),
            _ => world.now,
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let Some(thread) = current() else {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_clock_gettime, [clock as usize, time as usize, 0, 0, 0, 0]) as c_int };
    };
    let now = reading(thread, clock);
    // SAFETY: the caller gave a place for the time.
    unsafe { *time = libc::timespec { tv_sec: (now / SECOND) as i64, tv_nsec: (now % SECOND) as i64 } };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut libc::timeval, zone: *mut c_void) -> c_int {
    let Some(thread) = current() else {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_gettimeofday, [time as usize, zone as usize, 0, 0, 0, 0]) as c_int };
    };
    let now = reading(thread, libc::CLOCK_REALTIME);
    // SAFETY: the caller gave a place for the time.
    unsafe { *time = libc::timeval { tv_sec: (now / SECOND) as i64, tv_usec: (now % SECOND / 1000) as i64 } };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nanosleep(time: *const libc::timespec, left: *mut libc::timespec) -> c_int {
    if current().is_none() {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_nanosleep, [time as usize, left as usize, 0, 0, 0, 0]) as c_int };
    }
    // SAFETY: the caller gave a time.
    let end = with(|world| world.now) + nanos(unsafe { &*time });
    block(Some(end));
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    clock: libc::clockid_t,
    flags: c_int,
    time: *const libc::timespec,
    left: *mut libc::timespec,
) -> c_int {
    if current().is_none() {
        // SAFETY: the caller's; this call answers the error itself.
        return unsafe {
            -(super::raw::syscall(libc::SYS_clock_nanosleep, [clock as usize, flags as usize, time as usize, left as usize, 0, 0]) as c_int)
        };
    }
    // SAFETY: the caller gave a time.
    let time = nanos(unsafe { &*time });
    let end = if flags & libc::TIMER_ABSTIME != 0 { time } else { with(|world| world.now) + time };
    block(Some(end));
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buf: *mut c_void, len: usize, flags: c_uint) -> isize {
    let Some(thread) = current() else {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_getrandom, [buf as usize, len, flags as usize, 0, 0, 0]) };
    };
    // SAFETY: the caller gave so much room.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buf.cast::<u8>(), len) };
    with(|world| world.random(thread, bytes));
    len as isize
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getpid() -> libc::pid_t {
    match current() {
        // SAFETY: no memory is involved.
        None => unsafe { real(libc::SYS_getpid, [0; 6]) as libc::pid_t },
        Some(thread) => with(|world| 1000 + world.threads[thread].process as libc::pid_t),
    }
}
