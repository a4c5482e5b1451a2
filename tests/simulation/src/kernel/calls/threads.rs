//! Threads: they are the machine's, but one has the turn at a time.

use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use super::super::turn::{give_way, leave, set_current};
use super::super::{block, current, raw, with};
use super::{failed, real, set_errno, time};

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Start, *mut c_void) -> c_int;
type Join = unsafe extern "C" fn(libc::pthread_t, *mut *mut c_void) -> c_int;

struct Library {
    create: Create,
    join: Join,
    /// Its destructor runs when a thread's own ones have run.
    end: libc::pthread_key_t,
}

static LIBRARY: OnceLock<Library> = OnceLock::new();
/// The simulation's number of each of the machine's threads; of one whose number was used again the newest counts.
static NUMBERS: Mutex<Vec<(libc::pthread_t, usize)>> = Mutex::new(Vec::new());

/// What a new thread is told.
struct Told {
    number: usize,
    /// By which it gets the turn.
    word: &'static AtomicU32,
    start: Start,
    arg: *mut c_void,
}

pub(super) fn prepare() {
    library();
}

fn library() -> &'static Library {
    LIBRARY.get_or_init(|| {
        let mut end = 0;
        // SAFETY: the functions have these types; the key's destructor takes what was set.
        unsafe {
            assert_eq!(libc::pthread_key_create(&mut end, Some(ended)), 0);
            Library {
                create: std::mem::transmute::<*mut c_void, Create>(raw::next(c"pthread_create")),
                join: std::mem::transmute::<*mut c_void, Join>(raw::next(c"pthread_join")),
                end,
            }
        }
    })
}

extern "C" fn begin(told: *mut c_void) -> *mut c_void {
    // SAFETY: `pthread_create` below made it, for this thread alone.
    let Told { number, word, start, arg } = *unsafe { Box::from_raw(told.cast::<Told>()) };
    raw::await_word(word);
    set_current(Some(number));
    // SAFETY: the key was made.
    unsafe { libc::pthread_setspecific(library().end, (number + 1) as *const c_void) };
    start(arg)
}

extern "C" fn ended(number: *mut c_void) {
    leave(number as usize - 1);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    arg: *mut c_void,
) -> c_int {
    let create = library().create;
    let Some(parent) = current() else {
        // SAFETY: the caller's.
        return unsafe { create(thread, attributes, start, arg) };
    };
    let (number, word) = with(|world| {
        let number = world.add_thread(Some(parent));
        (number, world.threads[number].word)
    });
    let told = Box::into_raw(Box::new(Told { number, word, start, arg }));
    // SAFETY: as above; `begin` takes what it is given.
    let result = unsafe { create(thread, attributes, begin, told.cast()) };
    assert_eq!(result, 0, "the machine has no thread left");
    // SAFETY: it was written.
    NUMBERS.lock().expect("nobody panics with it").push((unsafe { *thread }, number));
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_join(thread: libc::pthread_t, value: *mut *mut c_void) -> c_int {
    if let Some(me) = current() {
        let numbers = NUMBERS.lock().expect("nobody panics with it");
        let number = numbers.iter().rev().find(|(known, _)| *known == thread).map(|(_, number)| *number);
        drop(numbers);
        while number.is_some_and(|number| !with(|world| world.join(number, me))) {
            block(None);
        }
    }
    // SAFETY: the caller's.
    unsafe { (library().join)(thread, value) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn abort() -> ! {
    end_process("aborted", 134)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn exit(code: c_int) -> ! {
    end_process(&format!("exited with {code}"), code)
}

/// Ends a simulated process; of any other, and of the first one, the program.
pub(crate) fn end_process(how: &str, code: c_int) -> ! {
    let ended = current().map(|me| {
        with(|world| {
            let process = world.threads[me].process;
            if process > 0 {
                world.ended_by_itself(process, how);
            }
            process
        })
    });
    match ended {
        Some(1..) => loop {
            block(None);
        },
        Some(0) | None => raw::exit(code),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sched_yield() -> c_int {
    match current() {
        // SAFETY: no memory is involved.
        None => unsafe { real(libc::SYS_sched_yield, [0; 6]) as c_int },
        Some(_) => {
            give_way();
            0
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
    match (current(), number) {
        // SAFETY: the caller's.
        (Some(me), libc::SYS_futex) => unsafe { futex(me, a, b as c_int, c as u32, d, f) },
        // SAFETY: the caller's.
        (Some(_), libc::SYS_getrandom) => unsafe { time::getrandom(a as *mut c_void, b, 0) as c_long },
        // SAFETY: the caller's.
        _ => unsafe { real(number, [a, b, c, d, e, f]) as c_long },
    }
}

unsafe fn futex(me: usize, address: usize, operation: c_int, value: u32, time: usize, _set: usize) -> c_long {
    let wait = |deadline| {
        // SAFETY: the caller gave the address of such a number.
        if unsafe { &*(address as *const AtomicU32) }.load(Ordering::SeqCst) != value {
            return failed(libc::EAGAIN) as c_long;
        }
        with(|world| world.futex_queue(address, me));
        if block(deadline) {
            return 0;
        }
        with(|world| world.futex_leave(address, me));
        failed(libc::ETIMEDOUT) as c_long
    };
    // SAFETY: who waits gave a time, or none; the argument of others is no time.
    let given = || unsafe { (time as *const libc::timespec).as_ref() }.map(time::nanos);
    match operation & 0x7f {
        libc::FUTEX_WAIT => wait(given().map(|span| with(|world| world.now) + span)),
        libc::FUTEX_WAIT_BITSET => wait(given()),
        libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET => with(|world| world.futex_wake(address, value as usize)) as c_long,
        _ => {
            set_errno(libc::ENOSYS);
            -1
        }
    }
}
