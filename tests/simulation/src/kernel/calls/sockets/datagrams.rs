//! Bytes with an address: datagrams.

use std::ffi::{c_int, c_void};

use super::super::super::{Addr, Object, with};
use super::super::real;
use super::bytes::{bytes, room, transmit};
use super::names::{read_addr, write_addr};
use super::{ours, until};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvfrom(
    fd: c_int,
    buf: *mut c_void,
    len: usize,
    flags: c_int,
    addr: *mut libc::sockaddr,
    addr_len: *mut libc::socklen_t,
) -> isize {
    if ours(fd).is_none() {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_recvfrom, [fd as usize, buf as usize, len, flags as usize, addr as usize, addr_len as usize]) };
    }
    // SAFETY: the caller's.
    let buf = unsafe { room(buf, len) };
    until(fd, |world| match world.object(fd) {
        Some(&mut Object::Datagrams { at }) => Ok(world.receive_datagram(at).map(|(from, bytes)| {
            let len = bytes.len().min(buf.len());
            buf[..len].copy_from_slice(&bytes[..len]);
            // SAFETY: the caller gave room, or none.
            unsafe { write_addr(from, addr, addr_len) };
            len as isize
        })),
        Some(&mut Object::Stream(side)) => Ok(world.read(side, buf, flags & libc::MSG_PEEK != 0)?.map(|len| len as isize)),
        _ => Err(libc::EBADF),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendto(
    fd: c_int,
    buf: *const c_void,
    len: usize,
    flags: c_int,
    addr: *const libc::sockaddr,
    addr_len: libc::socklen_t,
) -> isize {
    let Some(thread) = ours(fd) else {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_sendto, [fd as usize, buf as usize, len, flags as usize, addr as usize, addr_len as usize]) };
    };
    // SAFETY: the caller's.
    let bytes = unsafe { bytes(buf, len) };
    // SAFETY: the caller gave an address.
    let Some(to) = (unsafe { addr.as_ref() }).and_then(|addr| unsafe { read_addr(addr) }) else {
        return transmit(fd, bytes);
    };
    with(|world| {
        let Some(&mut Object::Datagrams { at }) = world.object(fd) else { return };
        let host = world.processes[world.threads[thread].process].host;
        world.send_datagram(Addr { host, port: at.port }, to, bytes.to_vec());
    });
    len as isize
}
