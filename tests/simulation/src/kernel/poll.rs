//! Epoll: who wants to know of which file.

use std::collections::{BTreeMap, VecDeque};

use libc::c_int;

use super::World;
use super::table::Object;

pub(crate) const IN: u32 = libc::EPOLLIN as u32;
pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
pub(crate) const ERR: u32 = libc::EPOLLERR as u32;
pub(crate) const HUP: u32 = libc::EPOLLHUP as u32;
pub(crate) const RDHUP: u32 = libc::EPOLLRDHUP as u32;
const EDGE: u32 = libc::EPOLLET as u32;

#[derive(Default)]
pub(crate) struct Epoll {
    interests: BTreeMap<c_int, Interest>,
    ready: VecDeque<c_int>,
    pub(crate) waiting: Vec<usize>,
}

struct Interest {
    events: u32,
    data: u64,
    queued: bool,
}

impl World {
    fn epoll(&mut self, file: usize) -> Option<&mut Epoll> {
        match &mut self.file(file)?.object {
            Object::Epoll(epoll) => Some(epoll),
            _ => None,
        }
    }

    /// Adds, changes or (without events) removes what an epoll wants to know of a descriptor.
    pub(crate) fn watch(&mut self, epoll: usize, fd: c_int, interest: Option<(u32, u64)>) -> Result<(), c_int> {
        let file = self.file_of(fd).ok_or(libc::EBADF)?;
        let Some((events, data)) = interest else {
            self.epoll(epoll).ok_or(libc::EBADF)?.interests.remove(&fd);
            if let Some(file) = self.file(file) {
                file.watchers.retain(|watcher| *watcher != (epoll, fd));
            }
            return Ok(());
        };
        self.epoll(epoll).ok_or(libc::EBADF)?.interests.insert(fd, Interest { events, data, queued: false });
        if let Some(file) = self.file(file)
            && !file.watchers.contains(&(epoll, fd))
        {
            file.watchers.push((epoll, fd));
        }
        if self.state(file) & (events | ERR | HUP) != 0 {
            self.queue(epoll, fd);
        }
        Ok(())
    }

    pub(super) fn unwatch(&mut self, file: usize, fd: c_int) {
        let watchers = self.file(file).map(|file| std::mem::take(&mut file.watchers)).unwrap_or_default();
        let (gone, left): (Vec<_>, Vec<_>) = watchers.into_iter().partition(|(_, known)| *known == fd);
        for (epoll, fd) in gone {
            if let Some(epoll) = self.epoll(epoll) {
                epoll.interests.remove(&fd);
            }
        }
        if let Some(file) = self.file(file) {
            file.watchers = left;
        }
    }

    fn queue(&mut self, epoll: usize, fd: c_int) {
        let Some(it) = self.epoll(epoll) else { return };
        if let Some(interest) = it.interests.get_mut(&fd)
            && !std::mem::replace(&mut interest.queued, true)
        {
            it.ready.push_back(fd);
        }
        for thread in std::mem::take(&mut it.waiting) {
            self.wake(thread);
        }
    }

    /// Tells whoever looks at a file that something happened to it.
    pub(crate) fn notify(&mut self, file: usize) {
        let state = self.state(file);
        let watchers = self.file(file).map(|file| file.watchers.clone()).unwrap_or_default();
        for (epoll, fd) in watchers {
            let wanted = self.epoll(epoll).and_then(|epoll| epoll.interests.get(&fd)).map_or(0, |interest| interest.events);
            if state & (wanted | ERR | HUP) != 0 {
                self.queue(epoll, fd);
            }
        }
    }

    /// What can be done with a file now.
    pub(crate) fn state(&mut self, file: usize) -> u32 {
        match self.file(file).map(|file| &file.object) {
            Some(Object::Counter(count)) => OUT | if *count > 0 { IN } else { 0 },
            Some(Object::Listener { waiting, .. }) => {
                if waiting.is_empty() {
                    0
                } else {
                    IN
                }
            }
            Some(&Object::Stream(side)) => self.streams.state(side),
            Some(Object::Datagrams { at }) => {
                let at = *at;
                OUT | if self.datagrams.has(at) { IN } else { 0 }
            }
            Some(Object::Diagnosis { .. }) => IN | OUT,
            Some(Object::Epoll(_)) => 0,
            Some(Object::Fresh { .. }) => OUT | HUP,
            None => 0,
        }
    }

    /// Takes up to `most` events of an epoll: what can be done, and the number it was asked with.
    pub(crate) fn take_ready(&mut self, file: usize, most: usize) -> Vec<(u32, u64)> {
        let mut taken = Vec::new();
        let mut again = Vec::new();
        while taken.len() < most {
            let Some(fd) = self.epoll(file).and_then(|epoll| epoll.ready.pop_front()) else { break };
            let state = self.file_of(fd).map_or(0, |file| self.state(file));
            let Some(interest) = self.epoll(file).and_then(|epoll| epoll.interests.get_mut(&fd)) else { continue };
            interest.queued = false;
            let events = state & (interest.events | ERR | HUP);
            if events != 0 {
                taken.push((events, interest.data));
                if interest.events & EDGE == 0 {
                    again.push(fd);
                }
            }
        }
        for fd in again {
            self.queue(file, fd);
        }
        taken
    }

    /// A thread waits for an epoll.
    pub(crate) fn wait_for(&mut self, file: usize, thread: usize) {
        if let Some(epoll) = self.epoll(file) {
            epoll.waiting.push(thread);
        }
    }

    pub(crate) fn waits_no_more(&mut self, file: usize, thread: usize) {
        if let Some(epoll) = self.epoll(file) {
            epoll.waiting.retain(|other| *other != thread);
        }
    }
}
