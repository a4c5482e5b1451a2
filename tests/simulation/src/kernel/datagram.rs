//! Datagrams: they may be late, lost or out of order.

use std::collections::{BTreeMap, VecDeque};

use super::World;
use super::table::Addr;

/// Datagrams that may wait at a socket; more are lost.
const WAITING_MAX: usize = 512;

#[derive(Default)]
pub(super) struct Datagrams {
    sockets: BTreeMap<Addr, Socket>,
}

struct Socket {
    file: usize,
    waiting: VecDeque<(Addr, Vec<u8>)>,
}

impl Datagrams {
    pub(super) fn has(&self, at: Addr) -> bool {
        self.sockets.get(&at).is_some_and(|socket| !socket.waiting.is_empty())
    }
}

impl World {
    pub(crate) fn bind_datagrams(&mut self, file: usize, at: Addr) -> bool {
        let free = !self.datagrams.sockets.contains_key(&at);
        if free {
            self.datagrams.sockets.insert(at, Socket { file, waiting: VecDeque::new() });
        }
        free
    }

    pub(super) fn close_datagrams(&mut self, at: Addr) {
        self.datagrams.sockets.remove(&at);
    }

    pub(crate) fn send_datagram(&mut self, from: Addr, to: Addr, bytes: Vec<u8>) {
        let delay = self.links.delay(&mut self.rng, from.host, to.host);
        if self.links.is_lost(&mut self.rng) {
            return;
        }
        self.call_at(self.now + delay, move |world| {
            if world.links.is_cut(from.host, to.host, true) {
                return;
            }
            let Some(socket) = world.datagrams.sockets.get_mut(&to) else { return };
            if socket.waiting.len() < WAITING_MAX {
                socket.waiting.push_back((from, bytes));
                let file = socket.file;
                world.notify(file);
            }
        });
    }

    pub(crate) fn receive_datagram(&mut self, at: Addr) -> Option<(Addr, Vec<u8>)> {
        self.datagrams.sockets.get_mut(&at)?.waiting.pop_front()
    }
}
