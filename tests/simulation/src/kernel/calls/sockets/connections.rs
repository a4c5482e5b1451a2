//! How connections come to be and end.

use std::ffi::c_int;

use super::super::super::{Addr, Object, with};
use super::super::{failed, real};
use super::names::{read_addr, write_addr};
use super::{answer, ours, process, until};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn bind(fd: c_int, addr: *const libc::sockaddr, len: libc::socklen_t) -> c_int {
    let Some(thread) = ours(fd) else {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_bind, [fd as usize, addr as usize, len as usize, 0, 0, 0]) as c_int };
    };
    // SAFETY: the caller gave an address.
    let Some(mut at) = (unsafe { read_addr(addr) }) else { return failed(libc::EADDRNOTAVAIL) as c_int };
    let bound = with(|world| {
        if at.host == 0 {
            at.host = world.processes[world.threads[thread].process].host;
        }
        if at.port == 0 {
            at.port = world.free_port();
        }
        let file = world.file_of(fd).ok_or(libc::EBADF)?;
        let it = world.file(file).ok_or(libc::EBADF)?;
        let reuse = it.reuse_port;
        match &mut it.object {
            Object::Fresh { bound } => {
                *bound = Some(at);
                if world.may_bind(at, reuse) { Ok(()) } else { Err(libc::EADDRINUSE) }
            }
            Object::Datagrams { at: bound } => {
                *bound = at;
                if world.bind_datagrams(file, at) { Ok(()) } else { Err(libc::EADDRINUSE) }
            }
            _ => Err(libc::EINVAL),
        }
    });
    answer(bound.map(|()| 0)) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn listen(fd: c_int, backlog: c_int) -> c_int {
    if ours(fd).is_none() {
        // SAFETY: no memory is involved.
        return unsafe { real(libc::SYS_listen, [fd as usize, backlog as usize, 0, 0, 0, 0]) as c_int };
    }
    let listening = with(|world| {
        let file = world.file_of(fd).ok_or(libc::EBADF)?;
        match world.file(file).map(|file| &file.object) {
            Some(&Object::Fresh { bound: Some(at) }) => world.listen(file, at),
            _ => return Err(libc::EINVAL),
        }
        Ok(0)
    });
    answer(listening) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(fd: c_int, addr: *const libc::sockaddr, len: libc::socklen_t) -> c_int {
    let Some(thread) = ours(fd) else {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_connect, [fd as usize, addr as usize, len as usize, 0, 0, 0]) as c_int };
    };
    // SAFETY: the caller gave an address.
    let Some(remote) = (unsafe { read_addr(addr) }) else { return failed(libc::EADDRNOTAVAIL) as c_int };
    let begun = with(|world| {
        let file = world.file_of(fd).ok_or(libc::EBADF)?;
        let host = world.processes[world.threads[thread].process].host;
        let local = Addr { host, port: world.free_port() };
        match world.file(file).map(|file| &file.object) {
            Some(Object::Fresh { .. }) => world.connect(file, local, remote),
            _ => return Err(libc::EISCONN),
        }
        Ok(())
    });
    match begun {
        Err(error) => failed(error) as c_int,
        Ok(()) if !with(|world| world.blocks(fd)) => failed(libc::EINPROGRESS) as c_int,
        Ok(()) => until(fd, |world| match world.object(fd) {
            Some(&mut Object::Stream(side)) => match (world.ends(side).2, world.take_error(side)) {
                (true, _) => Ok(Some(0)),
                (false, 0) => Ok(None),
                (false, error) => Err(error),
            },
            _ => Err(libc::EBADF),
        }) as c_int,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept4(fd: c_int, addr: *mut libc::sockaddr, len: *mut libc::socklen_t, flags: c_int) -> c_int {
    let Some(thread) = ours(fd) else {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_accept4, [fd as usize, addr as usize, len as usize, flags as usize, 0, 0]) as c_int };
    };
    let process = process(thread);
    until(fd, |world| {
        let accepted = world.accept(fd, process, flags & libc::SOCK_NONBLOCK == 0)?;
        Ok(accepted.map(|(fd, from)| {
            // SAFETY: the caller gave room for an address, or none.
            unsafe { write_addr(from, addr, len) };
            fd as isize
        }))
    }) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    if ours(fd).is_none() {
        // SAFETY: no memory is involved.
        return unsafe { real(libc::SYS_shutdown, [fd as usize, how as usize, 0, 0, 0, 0]) as c_int };
    }
    with(|world| match world.object(fd) {
        Some(&mut Object::Stream(side)) if how != libc::SHUT_RD => world.finish(side),
        _ => {}
    });
    0
}
