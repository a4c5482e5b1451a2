//! Sockets, epoll and counters.

use std::ffi::{c_int, c_uint, c_ulong, c_void};

use super::super::poll::Epoll;
use super::super::table::FIRST;
use super::super::{Addr, MS, Object, World, block, current, with};
use super::{failed, files, real};

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

// === Addresses ===

unsafe fn read_addr(addr: *const libc::sockaddr) -> Option<Addr> {
    // SAFETY: the caller gave an address, whose beginning is the same for all families.
    unsafe {
        if i32::from((*addr).sa_family) != libc::AF_INET {
            return None;
        }
        let addr = &*addr.cast::<libc::sockaddr_in>();
        Some(Addr { host: u32::from_be(addr.sin_addr.s_addr), port: u16::from_be(addr.sin_port) })
    }
}

unsafe fn write_addr(addr: Addr, to: *mut libc::sockaddr, len: *mut libc::socklen_t) {
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

// === Making and ending ===

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

// === What is known of them ===

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

// === Bytes ===

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

fn transmit(fd: c_int, bytes: &[u8]) -> isize {
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

unsafe fn room<'a>(buf: *mut c_void, len: usize) -> &'a mut [u8] {
    // SAFETY: the caller gave so much room.
    if len == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(buf.cast(), len) } }
}

unsafe fn bytes<'a>(buf: *const c_void, len: usize) -> &'a [u8] {
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

// === Waiting ===

#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_create1(flags: c_int) -> c_int {
    match current() {
        // SAFETY: no memory is involved.
        None => unsafe { real(libc::SYS_epoll_create1, [flags as usize, 0, 0, 0, 0, 0]) as c_int },
        Some(thread) => {
            let process = process(thread);
            with(|world| world.open(Object::Epoll(Epoll::default()), process, true))
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_ctl(epoll: c_int, operation: c_int, fd: c_int, event: *mut libc::epoll_event) -> c_int {
    if ours(epoll).is_none() {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_epoll_ctl, [epoll as usize, operation as usize, fd as usize, event as usize, 0, 0]) as c_int };
    }
    let interest = match operation {
        libc::EPOLL_CTL_DEL => None,
        // SAFETY: the caller gave one.
        _ => Some(unsafe { ((*event).events, (*event).u64) }),
    };
    answer(with(|world| {
        let epoll = world.file_of(epoll).ok_or(libc::EBADF)?;
        world.watch(epoll, fd, interest).map(|()| 0)
    })) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_wait(epoll: c_int, events: *mut libc::epoll_event, most: c_int, timeout: c_int) -> c_int {
    let Some(me) = ours(epoll) else {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_epoll_wait, [epoll as usize, events as usize, most as usize, timeout as usize, 0, 0]) as c_int };
    };
    let Some(file) = with(|world| world.file_of(epoll)) else { return failed(libc::EBADF) as c_int };
    let deadline = u64::try_from(timeout).ok().map(|timeout| with(|world| world.now) + timeout * MS);
    let mut late = timeout == 0;
    loop {
        let ready = with(|world| world.take_ready(file, usize::try_from(most).unwrap_or(1)));
        for (place, (state, data)) in ready.iter().enumerate() {
            // SAFETY: the caller gave room for so many.
            unsafe { events.add(place).write(libc::epoll_event { events: *state, u64: *data }) };
        }
        if !ready.is_empty() || late {
            return ready.len() as c_int;
        }
        with(|world| world.wait_for(file, me));
        late = !block(deadline);
        with(|world| world.waits_no_more(file, me));
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(polled: *mut libc::pollfd, count: libc::nfds_t, timeout: c_int) -> c_int {
    // SAFETY: the caller gave so many.
    let all = unsafe { std::slice::from_raw_parts_mut(polled, count as usize) };
    if !all.iter().any(|one| ours(one.fd).is_some()) {
        // SAFETY: the caller's.
        return unsafe { real(libc::SYS_poll, [polled as usize, count as usize, timeout as usize, 0, 0, 0]) as c_int };
    }
    let deadline = u64::try_from(timeout).ok().map(|timeout| with(|world| world.now) + timeout * MS);
    loop {
        let mut ready = 0;
        for one in all.iter_mut() {
            let state = with(|world| world.file_of(one.fd).map_or(0, |file| world.state(file)));
            one.revents = state as i16 & (one.events | libc::POLLERR | libc::POLLHUP);
            ready += c_int::from(one.revents != 0);
        }
        let now = with(|world| world.now);
        if ready > 0 || deadline.is_some_and(|deadline| deadline <= now) {
            return ready;
        }
        block(Some(deadline.unwrap_or(u64::MAX).min(now + LOOK)));
    }
}
