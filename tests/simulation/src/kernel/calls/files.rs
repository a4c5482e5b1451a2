//! Files: the machine's own, with flushes that take virtual time and may fail.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::super::{block, current, raw, with};
use super::{failed, real};

/// Pieces of zeros from this length on, at the end of a file, become a hole: it reads the same.
const HOLE_MIN: usize = 64 << 10;

fn process(thread: usize) -> usize {
    with(|world| world.threads[thread].process)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller's.
    let fd = unsafe { real(libc::SYS_openat, [libc::AT_FDCWD as usize, path as usize, flags as usize, mode as usize, 0, 0]) } as c_int;
    if fd >= 0
        && let Some(thread) = current()
    {
        // SAFETY: the caller gave a path.
        let path = unsafe { CStr::from_ptr(path) }.to_string_lossy().into_owned();
        with(|world| {
            let process = world.threads[thread].process;
            world.disks.opened(fd, process, &path);
        });
    }
    fd
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { open64(path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's.
    let result = unsafe { real(libc::SYS_rename, [from as usize, to as usize, 0, 0, 0, 0]) } as c_int;
    if result == 0 && current().is_some() {
        // SAFETY: the caller gave paths.
        let [from, to] = [from, to].map(|path| unsafe { CStr::from_ptr(path) }.to_string_lossy().into_owned());
        with(|world| world.disks.renamed(&from, &to));
    }
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, buf: *const c_void, len: usize, at: i64) -> isize {
    if current().is_some() {
        // SAFETY: the caller gave so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(buf.cast::<u8>(), len) };
        if let Err(error) = before_write(fd, at as u64, bytes) {
            return failed(error);
        }
        if len >= HOLE_MIN && raw::length(fd) == at as u64 && bytes.iter().all(|byte| *byte == 0) {
            raw::set_length(fd, at as u64 + len as u64);
            return len as isize;
        }
    }
    // SAFETY: the caller's.
    unsafe { real(libc::SYS_pwrite64, [fd as usize, buf as usize, len, at as usize, 0, 0]) }
}

/// Notes what a write to a disk replaces, or refuses it. Zeros at the end need no note: whoever looks there expects nothing.
fn before_write(fd: c_int, at: u64, bytes: &[u8]) -> Result<(), c_int> {
    with(|world| {
        let Some(owner) = world.disks.owner(fd) else { return Ok(()) };
        if world.disks.is_full(owner) {
            return Err(libc::ENOSPC);
        }
        if bytes.len() < HOLE_MIN {
            world.disks.before_write(fd, at, bytes);
        }
        Ok(())
    })
}

/// A write to a file where it stands.
pub(super) unsafe fn write_file(fd: c_int, buf: *const c_void, len: usize) -> isize {
    if current().is_some() && with(|world| world.disks.owner(fd)).is_some() {
        // SAFETY: no memory is involved.
        let at = unsafe { raw::syscall(libc::SYS_lseek, [fd as usize, 0, libc::SEEK_CUR as usize, 0, 0, 0]) };
        // SAFETY: the caller gave so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(buf.cast::<u8>(), len) };
        if at >= 0
            && let Err(error) = before_write(fd, at as u64, bytes)
        {
            return failed(error);
        }
    }
    // SAFETY: the caller's.
    unsafe { real(libc::SYS_write, [fd as usize, buf as usize, len, 0, 0, 0]) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    let Some(thread) = current() else {
        // SAFETY: no memory is involved.
        return unsafe { real(libc::SYS_fdatasync, [fd as usize, 0, 0, 0, 0, 0]) } as c_int;
    };
    let process = process(thread);
    match with(|world| world.flush_end(process)) {
        Err(error) => failed(error) as c_int,
        Ok(end) => {
            block(Some(end));
            with(|world| world.disks.flushed(fd));
            0
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    // SAFETY: no memory is involved.
    unsafe { fdatasync(fd) }
}
