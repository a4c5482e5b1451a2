//! Waiting for descriptors: epoll and poll.

use std::ffi::c_int;

use super::super::super::poll::Epoll;
use super::super::super::{MS, Object, block, current, with};
use super::super::{failed, real};
use super::{LOOK, answer, ours, process};

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
