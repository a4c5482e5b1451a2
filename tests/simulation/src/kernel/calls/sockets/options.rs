//! Options of sockets: those that change what is simulated, and those whose values are asked for.

use std::ffi::{c_int, c_void};

use super::super::super::{MS, Object, with};
use super::super::real;
use super::ours;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn setsockopt(fd: c_int, level: c_int, option: c_int, value: *const c_void, len: libc::socklen_t) -> c_int {
    if ours(fd).is_none() {
        let args = [fd as usize, level as usize, option as usize, value as usize, len as usize, 0];
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_setsockopt, args) as c_int };
    }
    // SAFETY: every option that is looked at begins with a number.
    let number = if len >= 4 { unsafe { *value.cast::<c_int>() } } else { 0 };
    with(|world| {
        let Some(file) = world.file_of(fd) else { return };
        let Some(it) = world.file(file) else { return };
        match (level, option) {
            (libc::SOL_SOCKET, libc::SO_REUSEPORT) => it.reuse_port = number != 0,
            (libc::SOL_SOCKET, libc::SO_LINGER) => it.abrupt = number != 0,
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
                it.user_timeout = number as u64 * MS;
                if let (&Object::Stream(side), nanos) = (&it.object, it.user_timeout) {
                    world.set_user_timeout(side, nanos);
                }
            }
            _ => {}
        }
    });
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(fd: c_int, level: c_int, option: c_int, value: *mut c_void, len: *mut libc::socklen_t) -> c_int {
    if ours(fd).is_none() {
        let args = [fd as usize, level as usize, option as usize, value as usize, len as usize, 0];
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_getsockopt, args) as c_int };
    }
    let number = with(|world| match (level, option, world.object(fd)) {
        (libc::SOL_SOCKET, libc::SO_ERROR, Some(&mut Object::Stream(side))) => world.take_error(side),
        (libc::SOL_SOCKET, libc::SO_TYPE, Some(Object::Datagrams { .. })) => libc::SOCK_DGRAM,
        (libc::SOL_SOCKET, libc::SO_TYPE, _) => libc::SOCK_STREAM,
        (libc::SOL_SOCKET, libc::SO_DOMAIN, _) => libc::AF_INET,
        (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_SNDBUF, _) => 256 << 10,
        (libc::IPPROTO_TCP, libc::TCP_NODELAY, _) => 1,
        _ => 0,
    });
    // SAFETY: the caller gave room for a number.
    unsafe {
        *value.cast::<c_int>() = number;
        *len = 4;
    }
    0
}
