//! Bytes that are read from descriptors of any kind and written to them.

use std::ffi::{c_int, c_void};

use super::super::super::{Addr, Object, World};
use super::super::{files, real};
use super::{ours, until};

fn receive(fd: c_int, buf: &mut [u8], peek: bool) -> isize {
    until(fd, |world| match world.object(fd) {
        Some(&mut Object::Stream(side)) => Ok(world.read(side, buf, peek)?.map(|len| len as isize)),
        Some(Object::Counter(0)) => Ok(None),
        Some(Object::Counter(count)) if buf.len() >= 8 => {
            buf[..8].copy_from_slice(&std::mem::take(count).to_ne_bytes());
            Ok(Some(8))
        }
        Some(Object::Diagnosis { answer }) => {
            let len = answer.len().min(buf.len());
            buf[..len].copy_from_slice(&answer[..len]);
            answer.clear();
            Ok(Some(len as isize))
        }
        Some(&mut Object::Datagrams { at }) => Ok(world.receive_datagram(at).map(|(_, bytes)| {
            let len = bytes.len().min(buf.len());
            buf[..len].copy_from_slice(&bytes[..len]);
            len as isize
        })),
        Some(Object::Fresh { .. }) => Err(libc::ENOTCONN),
        _ => Err(libc::EBADF),
    })
}

pub(super) fn transmit(fd: c_int, bytes: &[u8]) -> isize {
    until(fd, |world| match world.object(fd) {
        Some(&mut Object::Stream(side)) => Ok(world.write(side, bytes)?.map(|len| len as isize)),
        Some(Object::Counter(count)) => {
            let more = bytes.first_chunk().map_or(0, |eight| u64::from_ne_bytes(*eight));
            *count = count.saturating_add(more);
            if let Some(file) = world.file_of(fd) {
                world.notify(file);
            }
            Ok(Some(8))
        }
        Some(Object::Diagnosis { .. }) => {
            let told = diagnose(world, bytes);
            if let Some(Object::Diagnosis { answer }) = world.object(fd) {
                *answer = told;
            }
            Ok(Some(bytes.len() as isize))
        }
        Some(Object::Fresh { .. }) => Err(libc::ENOTCONN),
        _ => Err(libc::EBADF),
    })
}

/// Answers a question about a connection as sock_diag(7) does: how much is not acknowledged.
fn diagnose(world: &World, question: &[u8]) -> Vec<u8> {
    const KIND: u16 = 20;
    const ERROR: u16 = 2;
    let mut answer = vec![0; 80];
    let addr = |host: usize, port: usize| {
        let host = question.get(host..host + 4)?.try_into().ok()?;
        let port = question.get(port..port + 2)?.try_into().ok()?;
        Some(Addr { host: u32::from_be_bytes(host), port: u16::from_be_bytes(port) })
    };
    let ends = addr(28, 24).zip(addr(44, 26));
    let queue = ends.and_then(|(local, remote)| world.unacknowledged(local, remote));
    answer[4..6].copy_from_slice(&if queue.is_some() { KIND } else { ERROR }.to_ne_bytes());
    answer[76..80].copy_from_slice(&u32::try_from(queue.unwrap_or(0)).unwrap_or(u32::MAX).to_ne_bytes());
    answer
}

pub(super) unsafe fn room<'a>(buf: *mut c_void, len: usize) -> &'a mut [u8] {
    // SAFETY: the caller gave so much room.
    if len == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(buf.cast(), len) } }
}

pub(super) unsafe fn bytes<'a>(buf: *const c_void, len: usize) -> &'a [u8] {
    // SAFETY: the caller gave so many bytes.
    if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(buf.cast(), len) } }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: c_int, buf: *mut c_void, len: usize) -> isize {
    match ours(fd) {
        // SAFETY: the caller's.
        Some(_) => receive(fd, unsafe { room(buf, len) }, false),
        // SAFETY: the caller's.
        None => unsafe { real(libc::SYS_read, [fd as usize, buf as usize, len, 0, 0, 0]) },
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, buf: *const c_void, len: usize) -> isize {
    match ours(fd) {
        // SAFETY: the caller's.
        Some(_) => transmit(fd, unsafe { bytes(buf, len) }),
        // SAFETY: the caller's.
        None => unsafe { files::write_file(fd, buf, len) },
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn recv(fd: c_int, buf: *mut c_void, len: usize, flags: c_int) -> isize {
    match ours(fd) {
        // SAFETY: the caller's.
        Some(_) => receive(fd, unsafe { room(buf, len) }, flags & libc::MSG_PEEK != 0),
        // SAFETY: the caller's.
        None => unsafe { real(libc::SYS_recvfrom, [fd as usize, buf as usize, len, flags as usize, 0, 0]) },
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(fd: c_int, buf: *const c_void, len: usize, flags: c_int) -> isize {
    match ours(fd) {
        // SAFETY: the caller's.
        Some(_) => transmit(fd, unsafe { bytes(buf, len) }),
        // SAFETY: the caller's.
        None => unsafe { real(libc::SYS_sendto, [fd as usize, buf as usize, len, flags as usize, 0, 0]) },
    }
}

unsafe fn pieces<'a>(vector: *const libc::iovec, count: c_int) -> &'a [libc::iovec] {
    // SAFETY: the caller gave so many.
    unsafe { std::slice::from_raw_parts(vector, usize::try_from(count).unwrap_or(0)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, vector: *const libc::iovec, count: c_int) -> isize {
    let Some(_) = ours(fd) else {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_writev, [fd as usize, vector as usize, count as usize, 0, 0, 0]) };
    };
    let mut all = Vec::new();
    // SAFETY: the caller gave these pieces.
    for piece in unsafe { pieces(vector, count) } {
        // SAFETY: as above.
        all.extend_from_slice(unsafe { bytes(piece.iov_base, piece.iov_len) });
    }
    transmit(fd, &all)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn readv(fd: c_int, vector: *const libc::iovec, count: c_int) -> isize {
    let Some(_) = ours(fd) else {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_readv, [fd as usize, vector as usize, count as usize, 0, 0, 0]) };
    };
    // SAFETY: the caller gave these pieces.
    let first = unsafe { pieces(vector, count) }.iter().find(|piece| piece.iov_len > 0);
    // SAFETY: as above.
    first.map_or(0, |piece| receive(fd, unsafe { room(piece.iov_base, piece.iov_len) }, false))
}
