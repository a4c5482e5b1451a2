//! Who has the turn: the one thread that may run, and with it the only one that may touch the world.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};

use super::World;
use super::raw;

struct Room(UnsafeCell<Option<World>>);

// SAFETY: only the thread that has the turn touches it, and turns are handed over by futexes.
unsafe impl Sync for Room {}

static ROOM: Room = Room(UnsafeCell::new(None));

thread_local! {
    /// The thread's number plus one; 0 in threads that are not simulated, and while a thread is within [`with`].
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The number of this thread, if it belongs to the simulation.
pub(crate) fn current() -> Option<usize> {
    CURRENT.get().checked_sub(1)
}

pub(super) fn set_current(thread: Option<usize>) {
    CURRENT.set(thread.map_or(0, |thread| thread + 1));
}

/// Looks at the world or changes it. Never within another `with`, and nothing that waits is called in it.
pub(crate) fn with<R>(look: impl FnOnce(&mut World) -> R) -> R {
    // What the world itself calls is meant for the machine.
    let thread = CURRENT.replace(0);
    // SAFETY: the caller has the turn.
    let room = unsafe { &mut *ROOM.0.get() };
    let seen = look(room.as_mut().expect("the world was made before its threads"));
    CURRENT.set(thread);
    seen
}

/// Makes the world and its first process, whose only thread is this one.
pub(crate) fn begin(seed: u64, name: &str, host: u32) {
    super::calls::prepare();
    let mut world = World::new(seed);
    world.add_process(name, host);
    let thread = world.add_thread(None);
    // SAFETY: no other thread knows of the world yet.
    unsafe { *ROOM.0.get() = Some(world) };
    set_current(Some(thread));
}

/// Waits until it is woken, which is true, or until `deadline`.
pub(crate) fn block(deadline: Option<u64>) -> bool {
    let me = current().expect("only simulated threads wait here");
    with(|world| world.begin_wait(me, deadline));
    pass(me);
    with(|world| world.was_woken(me))
}

pub(super) fn give_way() {
    let me = current().expect("only simulated threads give way");
    with(|world| world.begin_yield(me));
    pass(me);
}

fn pass(me: usize) {
    let (next, word, mine) = with(|world| {
        let next = world.next_thread();
        (next, world.threads[next].word, world.threads[me].word)
    });
    if next != me {
        raw::set_word(word);
        raw::await_word(mine);
    }
}

/// The turn of a thread that ends goes to another; it must not touch the world afterwards.
pub(super) fn leave(me: usize) {
    let word = with(|world| {
        world.end_thread(me);
        let next = world.next_thread();
        world.threads[next].word
    });
    set_current(None);
    raw::set_word(word);
}

/// Starts a process at `host` whose first thread runs `main`; its number.
pub(crate) fn run_in(name: &str, host: u32, main: impl FnOnce() + Send + 'static) -> usize {
    let process = with(|world| {
        let process = world.add_process(name, host);
        world.next_thread_of(process);
        process
    });
    let started = std::thread::Builder::new().name(name.into()).spawn(main);
    drop(started.expect("a thread can be started"));
    process
}
