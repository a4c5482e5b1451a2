//! Addresses of sockets, and who is at the other end.

use std::ffi::c_int;

use super::super::super::{Addr, Object, with};
use super::super::real;
use super::{answer, ours};

pub(super) unsafe fn read_addr(addr: *const libc::sockaddr) -> Option<Addr> {
    // SAFETY: the caller gave an address, whose beginning is the same for all families.
    unsafe {
        if i32::from((*addr).sa_family) != libc::AF_INET {
            return None;
        }
        let addr = &*addr.cast::<libc::sockaddr_in>();
        Some(Addr { host: u32::from_be(addr.sin_addr.s_addr), port: u16::from_be(addr.sin_port) })
    }
}

pub(super) unsafe fn write_addr(addr: Addr, to: *mut libc::sockaddr, len: *mut libc::socklen_t) {
    if to.is_null() || len.is_null() {
        return;
    }
    // SAFETY: the caller gave room for an address of any family.
    unsafe {
        let mut full: libc::sockaddr_in = std::mem::zeroed();
        full.sin_family = libc::AF_INET as u16;
        full.sin_port = addr.port.to_be();
        full.sin_addr.s_addr = addr.host.to_be();
        to.cast::<libc::sockaddr_in>().write(full);
        *len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    }
}

unsafe fn name(fd: c_int, addr: *mut libc::sockaddr, len: *mut libc::socklen_t, remote: bool) -> c_int {
    let found = with(|world| {
        Ok(match world.object(fd).ok_or(libc::EBADF)? {
            Object::Fresh { bound } if !remote => bound.unwrap_or_default(),
            Object::Listener { at, .. } | Object::Datagrams { at } if !remote => *at,
            &mut Object::Stream(side) => match (world.ends(side), remote) {
                ((local, _, _), false) => local,
                ((_, remote, true), true) => remote,
                _ => return Err(libc::ENOTCONN),
            },
            _ => return Err(libc::ENOTCONN),
        })
    });
    // SAFETY: the caller gave room.
    answer(found.map(|found| unsafe { write_addr(found, addr, len) }).map(|()| 0)) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockname(fd: c_int, addr: *mut libc::sockaddr, len: *mut libc::socklen_t) -> c_int {
    match ours(fd) {
        // SAFETY: the caller's.
        Some(_) => unsafe { name(fd, addr, len, false) },
        // SAFETY: the caller's.
        None => unsafe { real(libc::SYS_getsockname, [fd as usize, addr as usize, len as usize, 0, 0, 0]) as c_int },
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getpeername(fd: c_int, addr: *mut libc::sockaddr, len: *mut libc::socklen_t) -> c_int {
    match ours(fd) {
        // SAFETY: the caller's.
        Some(_) => unsafe { name(fd, addr, len, true) },
        // SAFETY: the caller's.
        None => unsafe { real(libc::SYS_getpeername, [fd as usize, addr as usize, len as usize, 0, 0, 0]) as c_int },
    }
}
