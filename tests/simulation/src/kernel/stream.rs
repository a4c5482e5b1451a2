//! Connections, as kernels at both ends and the way between them make them.
//!
//! What is sent arrives in order. What meets a cut waits and is sent again, ever more rarely, until the way is open or the sender
//! gives up. The receiving kernel takes what has room whether or not its process runs; a process that is gone answers by a reset.

use std::collections::{BTreeMap, VecDeque};

use libc::c_int;

use super::poll::{ERR, HUP, IN, OUT, RDHUP};
use super::table::{Addr, Object};
use super::{MS, World};

/// Bytes that may be sent and not acknowledged.
const UNACKNOWLEDGED_MAX: usize = 256 << 10;
/// Bytes that may wait to be read before the sender hears no more acknowledgements.
const UNREAD_MAX: usize = 256 << 10;
/// First wait before what met a cut is sent again; it doubles.
const AGAIN_MIN: u64 = 200 * MS;
/// The same for the first packet of a connection.
const CONNECT_AGAIN: u64 = 1_000 * MS;
/// Times that is tried.
const CONNECT_TRIES: u32 = 6;
/// How long a sender tries if nobody told it otherwise.
const GIVE_UP: u64 = 900_000 * MS;

#[derive(Default)]
pub(super) struct Streams {
    sides: Vec<Side>,
    /// Files that listen.
    listeners: BTreeMap<Addr, Vec<usize>>,
    by_ends: BTreeMap<(Addr, Addr), usize>,
    taken: usize,
}

/// One side of a connection.
#[derive(Default)]
struct Side {
    file: Option<usize>,
    local: Addr,
    remote: Addr,
    other: Option<usize>,
    /// Within one host and kernel: nothing can come between.
    inner: bool,
    open: bool,
    unread: VecDeque<u8>,
    /// Bytes read or waiting whose acknowledgement is withheld until there is room.
    withheld: usize,
    ended: bool,
    error: Option<c_int>,
    broken: bool,
    /// Its own end was sent.
    finished: bool,
    closed: bool,
    unacknowledged: usize,
    oldest: u64,
    wants_room: bool,
    user_timeout: u64,
    last_arrival: u64,
    stuck: VecDeque<Packet>,
    stuck_since: u64,
}

enum Packet {
    Bytes(Vec<u8>),
    End,
    Reset,
}

impl Streams {
    pub(super) fn state(&self, side: usize) -> u32 {
        let side = &self.sides[side];
        if side.error.is_some() || side.broken {
            return IN | OUT | HUP | RDHUP | if side.error.is_some() { ERR } else { 0 };
        }
        if !side.open {
            return 0;
        }
        let mut state = 0;
        if !side.unread.is_empty() || side.ended {
            state |= IN;
        }
        if side.ended {
            state |= RDHUP | if side.finished { HUP } else { 0 };
        }
        if side.unacknowledged < UNACKNOWLEDGED_MAX || side.finished {
            state |= OUT;
        }
        state
    }

    fn add(&mut self, side: Side) -> usize {
        self.sides.push(side);
        self.sides.len() - 1
    }
}

impl World {
    // === Beginning ===

    /// Whether `at` may be listened on.
    pub(crate) fn may_bind(&mut self, at: Addr, reuse: bool) -> bool {
        let files = self.streams.listeners.get(&at).cloned().unwrap_or_default();
        files.is_empty() || (reuse && files.iter().all(|file| self.file(*file).is_some_and(|file| file.reuse_port)))
    }

    pub(crate) fn listen(&mut self, file: usize, at: Addr) {
        self.streams.listeners.entry(at).or_default().push(file);
        if let Some(it) = self.file(file) {
            it.object = Object::Listener { at, waiting: VecDeque::new() };
        }
    }

    pub(super) fn close_listener(&mut self, file: usize, at: Addr, waiting: VecDeque<usize>) {
        if let Some(files) = self.streams.listeners.get_mut(&at) {
            files.retain(|other| *other != file);
            if files.is_empty() {
                self.streams.listeners.remove(&at);
            }
        }
        for side in waiting {
            self.close_side(side, true);
        }
    }

    /// Two ends within one process.
    pub(crate) fn pair(&mut self, process: usize, blocks: bool) -> [c_int; 2] {
        let side = || Side { inner: true, open: true, ..Side::default() };
        let (a, b) = (self.streams.add(side()), self.streams.add(side()));
        (self.streams.sides[a].other, self.streams.sides[b].other) = (Some(b), Some(a));
        [a, b].map(|side| {
            let fd = self.open(Object::Stream(side), process, blocks);
            self.streams.sides[side].file = self.file_of(fd);
            fd
        })
    }

    pub(crate) fn connect(&mut self, file: usize, local: Addr, remote: Addr) {
        let user_timeout = self.file(file).map_or(0, |file| file.user_timeout);
        let side = self.streams.add(Side { file: Some(file), local, remote, user_timeout, ..Side::default() });
        self.streams.by_ends.insert((local, remote), side);
        if let Some(it) = self.file(file) {
            it.object = Object::Stream(side);
        }
        self.knock(side, 0);
    }

    fn knock(&mut self, side: usize, tries: u32) {
        let (from, to) = (self.streams.sides[side].local, self.streams.sides[side].remote);
        let delay = self.links.delay(&mut self.rng, from.host, to.host);
        self.call_at(self.now + delay, move |world| world.knocked(side, tries));
    }

    fn knocked(&mut self, side: usize, tries: u32) {
        let (from, to) = (self.streams.sides[side].local, self.streams.sides[side].remote);
        if self.streams.sides[side].closed {
            return;
        }
        // The answer must come back, too.
        if self.links.is_cut(from.host, to.host, false) || self.links.is_cut(to.host, from.host, false) {
            if tries >= CONNECT_TRIES {
                return self.fail(side, libc::ETIMEDOUT);
            }
            return self.call_at(self.now + (CONNECT_AGAIN << tries), move |world| world.knock(side, tries + 1));
        }
        let delay = self.links.delay(&mut self.rng, to.host, from.host);
        self.streams.taken += 1;
        let listener = self.streams.listeners.get(&to).and_then(|files| files.get(self.streams.taken % files.len()).copied());
        let Some(listener) = listener else {
            return self.call_at(self.now + delay, move |world| world.fail(side, libc::ECONNREFUSED));
        };
        let other = Side { local: to, remote: from, other: Some(side), open: true, ..Side::default() };
        let other = self.streams.add(other);
        self.streams.by_ends.insert((to, from), other);
        self.streams.sides[side].other = Some(other);
        if let Some(Object::Listener { waiting, .. }) = self.file(listener).map(|file| &mut file.object) {
            waiting.push_back(other);
        }
        self.notify(listener);
        let arrival = self.now + delay;
        self.streams.sides[other].last_arrival = arrival;
        self.call_at(arrival, move |world| {
            world.streams.sides[side].open = true;
            world.tell(side);
        });
    }

    /// Takes a connection that waits.
    pub(crate) fn accept(&mut self, fd: c_int, process: usize, blocks: bool) -> Result<Option<(c_int, Addr)>, c_int> {
        let Some(Object::Listener { waiting, .. }) = self.object(fd) else { return Err(libc::EINVAL) };
        let Some(side) = waiting.pop_front() else { return Ok(None) };
        let fd = self.open(Object::Stream(side), process, blocks);
        let file = self.file_of(fd);
        let side = &mut self.streams.sides[side];
        side.file = file;
        Ok(Some((fd, side.remote)))
    }

    // === Use ===

    pub(crate) fn ends(&self, side: usize) -> (Addr, Addr, bool) {
        let side = &self.streams.sides[side];
        (side.local, side.remote, side.open)
    }

    pub(crate) fn take_error(&mut self, side: usize) -> c_int {
        self.streams.sides[side].error.take().unwrap_or(0)
    }

    pub(crate) fn set_user_timeout(&mut self, side: usize, nanos: u64) {
        self.streams.sides[side].user_timeout = nanos;
        self.check_later(side);
    }

    /// Bytes that were read; `None` if there are none yet.
    pub(crate) fn read(&mut self, side: usize, buf: &mut [u8], peek: bool) -> Result<Option<usize>, c_int> {
        let it = &mut self.streams.sides[side];
        if it.unread.is_empty() {
            return match it.error.take() {
                Some(error) => Err(error),
                None if it.ended || it.broken => Ok(Some(0)),
                None if !it.open => Err(libc::ENOTCONN),
                None => Ok(None),
            };
        }
        let len = buf.len().min(it.unread.len());
        let (front, back) = it.unread.as_slices();
        let first = len.min(front.len());
        buf[..first].copy_from_slice(&front[..first]);
        buf[first..len].copy_from_slice(&back[..len - first]);
        if !peek {
            it.unread.drain(..len);
            if it.withheld > 0 && it.unread.len() < UNREAD_MAX / 2 {
                let withheld = std::mem::take(&mut it.withheld);
                self.acknowledge(side, withheld);
            }
        }
        Ok(Some(len))
    }

    /// Bytes that were taken; `None` if there is no room now.
    pub(crate) fn write(&mut self, side: usize, bytes: &[u8]) -> Result<Option<usize>, c_int> {
        let now = self.now;
        let it = &mut self.streams.sides[side];
        if let Some(error) = it.error.take() {
            return Err(error);
        }
        if it.broken || it.finished {
            return Err(libc::EPIPE);
        }
        if !it.open {
            return Err(libc::ENOTCONN);
        }
        let len = bytes.len().min(UNACKNOWLEDGED_MAX - it.unacknowledged.min(UNACKNOWLEDGED_MAX));
        it.wants_room |= len < bytes.len();
        if len == 0 {
            return Ok(if bytes.is_empty() { Some(0) } else { None });
        }
        if it.unacknowledged == 0 {
            it.oldest = now;
        }
        it.unacknowledged += len;
        self.send(side, Packet::Bytes(bytes[..len].to_vec()));
        self.check_later(side);
        Ok(Some(len))
    }

    /// Ends the sending half.
    pub(crate) fn finish(&mut self, side: usize) {
        if !std::mem::replace(&mut self.streams.sides[side].finished, true) {
            self.send(side, Packet::End);
        }
    }

    pub(super) fn close_side(&mut self, side: usize, abrupt: bool) {
        let it = &mut self.streams.sides[side];
        (it.closed, it.file) = (true, None);
        let unread = !it.unread.is_empty();
        it.unread = VecDeque::new();
        if it.broken {
            return;
        }
        if abrupt || unread {
            // What is on its way or stuck is lost.
            it.stuck.clear();
            it.broken = true;
            self.send(side, Packet::Reset);
        } else {
            self.finish(side);
        }
    }

    /// Bytes that the other end has not acknowledged, by the addresses of both ends.
    pub(crate) fn unacknowledged(&self, local: Addr, remote: Addr) -> Option<usize> {
        let side = &self.streams.sides[*self.streams.by_ends.get(&(local, remote))?];
        (!side.broken).then_some(side.unacknowledged + usize::from(side.finished && side.unacknowledged > 0))
    }

    // === The way ===

    fn send(&mut self, side: usize, packet: Packet) {
        let it = &self.streams.sides[side];
        let delay = if it.inner { 1_000 } else { self.links.delay(&mut self.rng, it.local.host, it.remote.host) };
        let it = &mut self.streams.sides[side];
        let arrival = (self.now + delay).max(it.last_arrival);
        it.last_arrival = arrival;
        self.call_at(arrival, move |world| world.arrive(side, packet));
    }

    /// A packet of `side` comes to the other end, or to a cut.
    fn arrive(&mut self, side: usize, packet: Packet) {
        let it = &self.streams.sides[side];
        let cut = !it.inner && self.links.is_cut(it.local.host, it.remote.host, false);
        if cut && self.is_lost_for_good(side, &packet) {
            return;
        }
        let it = &mut self.streams.sides[side];
        if !cut && it.stuck.is_empty() {
            return self.deliver(side, packet);
        }
        it.stuck.push_back(packet);
        if it.stuck.len() == 1 {
            it.stuck_since = self.now;
            self.call_at(self.now + AGAIN_MIN, move |world| world.again(side, AGAIN_MIN));
        }
    }

    /// What a connection had sent that was reset here is not sent again, and neither is the reset, unless the other end asks for it by
    /// sending again what nobody acknowledges.
    fn is_lost_for_good(&self, side: usize, packet: &Packet) -> bool {
        let it = &self.streams.sides[side];
        let asks = || it.other.is_some_and(|other| self.streams.sides[other].unacknowledged > 0);
        it.broken && (!matches!(packet, Packet::Reset) || !asks())
    }

    fn again(&mut self, side: usize, waited: u64) {
        let it = &self.streams.sides[side];
        if it.stuck.is_empty() {
            return;
        }
        // The limit on what is not acknowledged holds for the end of a connection too, whether or not somebody still holds it.
        let give_up = if it.user_timeout == 0 { GIVE_UP } else { it.user_timeout };
        if self.now - it.stuck_since > give_up {
            return self.fail(side, libc::ETIMEDOUT);
        }
        if self.links.is_cut(it.local.host, it.remote.host, false) {
            return self.call_at(self.now + 2 * waited, move |world| world.again(side, 2 * waited));
        }
        for packet in std::mem::take(&mut self.streams.sides[side].stuck) {
            self.deliver(side, packet);
        }
    }

    fn deliver(&mut self, side: usize, packet: Packet) {
        let Some(to) = self.streams.sides[side].other else { return };
        let it = &mut self.streams.sides[to];
        match packet {
            Packet::Reset => self.fail(to, libc::ECONNRESET),
            _ if it.broken && !it.closed => {}
            Packet::Bytes(_) if it.closed => {
                // Nobody is there any more.
                if !self.streams.sides[side].broken {
                    self.streams.sides[to].broken = true;
                    self.send(to, Packet::Reset);
                }
            }
            Packet::Bytes(bytes) => {
                it.unread.extend(&bytes);
                let (file, from) = (it.file, it.remote.host);
                if it.unread.len() > UNREAD_MAX {
                    it.withheld += bytes.len();
                } else {
                    self.acknowledge(to, bytes.len());
                }
                self.tell(to);
                if let Some(file) = file {
                    self.spoken_to(file, from);
                }
            }
            Packet::End => {
                it.ended = true;
                self.tell(to);
            }
        }
    }

    /// `side` acknowledges bytes of the other end.
    fn acknowledge(&mut self, side: usize, len: usize) {
        let it = &self.streams.sides[side];
        let delay = if it.inner { 1_000 } else { self.links.delay(&mut self.rng, it.local.host, it.remote.host) };
        self.call_at(self.now + delay, move |world| world.acknowledged(side, len, AGAIN_MIN));
    }

    fn acknowledged(&mut self, side: usize, len: usize, again: u64) {
        let it = &self.streams.sides[side];
        let Some(sender) = it.other else { return };
        if !it.inner && self.links.is_cut(it.local.host, it.remote.host, false) {
            return self.call_at(self.now + again, move |world| world.acknowledged(side, len, 2 * again));
        }
        let now = self.now;
        let it = &mut self.streams.sides[sender];
        it.unacknowledged = it.unacknowledged.saturating_sub(len);
        it.oldest = now;
        if it.unacknowledged < UNACKNOWLEDGED_MAX / 2 && std::mem::take(&mut it.wants_room) {
            self.tell(sender);
        }
    }

    /// Looks whether the user time-out has passed once it may have.
    fn check_later(&mut self, side: usize) {
        let it = &self.streams.sides[side];
        if it.user_timeout == 0 || it.unacknowledged == 0 {
            return;
        }
        let at = it.oldest + it.user_timeout;
        self.call_at(at, move |world| {
            let it = &world.streams.sides[side];
            if it.user_timeout == 0 || it.unacknowledged == 0 || it.broken {
                return;
            }
            if it.oldest + it.user_timeout <= world.now {
                world.fail(side, libc::ETIMEDOUT);
            } else {
                world.check_later(side);
            }
        });
    }

    /// The connection is over at this end.
    fn fail(&mut self, side: usize, error: c_int) {
        let it = &mut self.streams.sides[side];
        if !it.broken {
            (it.broken, it.error) = (true, Some(error));
            it.stuck.clear();
            self.tell(side);
        }
    }

    fn tell(&mut self, side: usize) {
        if let Some(file) = self.streams.sides[side].file {
            self.notify(file);
        }
    }
}
