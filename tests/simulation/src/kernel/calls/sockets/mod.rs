//! Descriptors of sockets, epolls and counters: how they begin and end, and what every call on one needs.

mod bytes;
mod connections;
mod datagrams;
mod names;
mod options;
mod waiting;

use std::ffi::{c_int, c_uint, c_ulong};

use super::super::table::FIRST;
use super::super::{Addr, MS, Object, World, block, current, with};
use super::{failed, real};

/// How often a call that waits for a file looks again.
const LOOK: u64 = MS;

/// The calling thread, if the descriptor is the simulation's.
fn ours(fd: c_int) -> Option<usize> {
    current().filter(|_| fd >= FIRST)
}

fn process(thread: usize) -> usize {
    with(|world| world.threads[thread].process)
}

fn answer(result: Result<isize, c_int>) -> isize {
    result.unwrap_or_else(failed)
}

/// Tries until there is something, or once if the descriptor does not wait.
fn until(fd: c_int, mut attempt: impl FnMut(&mut World) -> Result<Option<isize>, c_int>) -> isize {
    loop {
        match with(&mut attempt) {
            Ok(Some(done)) => return done,
            Err(error) => return failed(error),
            Ok(None) if !with(|world| world.blocks(fd)) => return failed(libc::EAGAIN),
            Ok(None) => drop(block(Some(with(|world| world.now) + LOOK))),
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let Some(thread) = current() else {
        // SAFETY: no memory is involved.
        return unsafe { real(libc::SYS_socket, [domain as usize, kind as usize, protocol as usize, 0, 0, 0]) as c_int };
    };
    let process = process(thread);
    let object = match (domain, kind & 0xff) {
        (libc::AF_NETLINK, _) => Object::Diagnosis { answer: Vec::new() },
        (libc::AF_INET, libc::SOCK_STREAM) => Object::Fresh { bound: None },
        (libc::AF_INET, libc::SOCK_DGRAM) => Object::Datagrams { at: Addr::default() },
        _ => return failed(libc::EAFNOSUPPORT) as c_int,
    };
    with(|world| world.open(object, process, kind & libc::SOCK_NONBLOCK == 0))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn socketpair(domain: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> c_int {
    if current().is_none() {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_socketpair, [domain as usize, kind as usize, protocol as usize, pair as usize, 0, 0]) as c_int };
    }
    // It may be one that all processes share, so it is the first one's, which is never killed.
    let [a, b] = with(|world| world.pair(0, kind & libc::SOCK_NONBLOCK == 0));
    // SAFETY: the caller gave room for two.
    unsafe {
        *pair = a;
        *pair.add(1) = b;
    }
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn eventfd(count: c_uint, flags: c_int) -> c_int {
    let Some(thread) = current() else {
        // SAFETY: no memory is involved.
        return unsafe { real(libc::SYS_eventfd2, [count as usize, flags as usize, 0, 0, 0, 0]) as c_int };
    };
    let process = process(thread);
    with(|world| world.open(Object::Counter(u64::from(count)), process, flags & libc::EFD_NONBLOCK == 0))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    match ours(fd) {
        Some(_) if with(|world| world.close(fd)) => 0,
        Some(_) => failed(libc::EBADF) as c_int,
        None => {
            if current().is_some() {
                with(|world| world.disks.closed(fd));
            }
            // SAFETY: no memory is involved.
            unsafe { real(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]) as c_int }
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl(fd: c_int, command: c_int, arg: c_ulong) -> c_int {
    if ours(fd).is_none() {
        // SAFETY: the caller's.
        let result = unsafe { real(libc::SYS_fcntl, [fd as usize, command as usize, arg as usize, 0, 0, 0]) as c_int };
        if current().is_some() && matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) {
            with(|world| world.disks.cloned(fd, result));
        }
        return result;
    }
    let Some(file) = with(|world| world.file_of(fd)) else { return failed(libc::EBADF) as c_int };
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => with(|world| world.another(file)),
        libc::F_GETFL => libc::O_RDWR | if with(|world| world.blocks(fd)) { 0 } else { libc::O_NONBLOCK },
        libc::F_SETFL => set_blocks(fd, arg as c_int & libc::O_NONBLOCK == 0),
        libc::F_GETFD => libc::FD_CLOEXEC,
        _ => 0,
    }
}

fn set_blocks(fd: c_int, blocks: bool) -> c_int {
    with(|world| {
        let file = world.file_of(fd);
        if let Some(file) = file.and_then(|file| world.file(file)) {
            file.blocks = blocks;
        }
    });
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, arg: *mut c_int) -> c_int {
    match (ours(fd), request) {
        // SAFETY: the caller gave a number.
        (Some(_), libc::FIONBIO) => set_blocks(fd, unsafe { *arg } == 0),
        (Some(_), _) => failed(libc::ENOTTY) as c_int,
        // SAFETY: the caller's.
        (None, _) => unsafe { real(libc::SYS_ioctl, [fd as usize, request as usize, arg as usize, 0, 0, 0]) as c_int },
    }
}
