//! The machine below: real system calls, the real thread library, and the clock that programs read without a call.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Whether the program was asked to end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A real system call; the result is the kernel's, a negative error number included.
///
/// # Safety
/// As the call itself.
#[inline(always)]
pub(crate) unsafe fn syscall(number: i64, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the caller's; the registers are those of the ABI.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2], in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    result
}

/// Waits until the word is set, and takes it back.
pub(crate) fn await_word(word: &AtomicU32) {
    while word.swap(0, Ordering::SeqCst) == 0 {
        // SAFETY: the word lives as long as the program.
        unsafe { syscall(libc::SYS_futex, [word.as_ptr() as usize, (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize, 0, 0, 0, 0]) };
    }
}

/// Sets the word and wakes who waits for it.
pub(crate) fn set_word(word: &AtomicU32) {
    word.store(1, Ordering::SeqCst);
    // SAFETY: as above.
    unsafe { syscall(libc::SYS_futex, [word.as_ptr() as usize, (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize, 1, 0, 0, 0]) };
}

/// Reads at a place of a file.
pub(crate) fn read_at(fd: c_int, buf: &mut [u8], at: u64) -> usize {
    // SAFETY: the buffer is ours.
    let read = unsafe { syscall(libc::SYS_pread64, [fd as usize, buf.as_mut_ptr() as usize, buf.len(), at as usize, 0, 0]) };
    usize::try_from(read).unwrap_or(0)
}

/// Length of a file.
pub(crate) fn length(fd: c_int) -> u64 {
    // SAFETY: a plain structure of numbers.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: it is ours.
    unsafe { syscall(libc::SYS_fstat, [fd as usize, (&raw mut stat) as usize, 0, 0, 0, 0]) };
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Cuts a file, or makes it longer by a hole.
pub(crate) fn set_length(fd: c_int, len: u64) {
    // SAFETY: no memory is involved.
    unsafe { syscall(libc::SYS_ftruncate, [fd as usize, len as usize, 0, 0, 0, 0]) };
}

/// Closes a real descriptor.
pub(crate) fn close(fd: c_int) {
    // SAFETY: whoever used it will never run again.
    unsafe { syscall(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// The function of this name in the next library: the real one.
pub(crate) fn next(name: &CStr) -> *mut c_void {
    // SAFETY: a name that ends with a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(!found.is_null(), "no {name:?} in any library");
    found
}

/// Ends the program at once.
pub(crate) fn exit(code: c_int) -> ! {
    // SAFETY: nothing is left to be done.
    unsafe { libc::_exit(code) }
}

/// Has programs that read the clock in the kernel's shared page call `function` instead.
pub(crate) fn redirect_clock(function: usize) {
    const LEN: usize = 12;
    // SAFETY: the page is the program's own copy; no other thread runs yet.
    unsafe {
        let vdso = libc::dlopen(c"linux-vdso.so.1".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
        assert!(!vdso.is_null(), "no shared page of the kernel");
        let place = libc::dlsym(vdso, c"__vdso_clock_gettime".as_ptr()) as usize;
        assert!(place != 0, "no clock in the shared page of the kernel");
        let (page, len) = shared_page(place);
        let open = libc::mprotect(page as *mut c_void, len, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
        assert_eq!(open, 0, "the shared page of the kernel cannot be written");
        // mov rax, function; jmp rax
        let mut code = [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0];
        code[2..10].copy_from_slice(&function.to_le_bytes());
        std::ptr::copy_nonoverlapping(code.as_ptr(), place as *mut u8, LEN);
        libc::mprotect(page as *mut c_void, len, libc::PROT_READ | libc::PROT_EXEC);
    }
}

/// The whole mapping that holds a place of the kernel's page, which can only be opened whole.
fn shared_page(place: usize) -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the kernel tells what is mapped where");
    let range = |line: &str| {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
    };
    let found = maps.lines().filter_map(range).find(|(from, to)| (*from..*to).contains(&place));
    let (from, to) = found.expect("what runs is mapped");
    (from, to - from)
}

/// Lets addresses be the same in every run of the programs that this one starts, and in no other.
pub(crate) fn fixed_addresses() {
    // SAFETY: no memory is involved.
    unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) };
}

extern "C" fn interrupt(_: c_int) {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// Has the program note that it is asked to end, so that it can clear away what it has made.
pub(crate) fn watch_interrupts() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the function sets a flag and does nothing else.
        unsafe { libc::signal(signal, interrupt as *const () as libc::sighandler_t) };
    }
}

pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Kills this program when the thread that started it is gone: nobody would read what it has to tell.
pub(crate) fn end_with_parent() {
    // SAFETY: no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Keeps the program on one processor: a change of threads there is cheaper.
pub(crate) fn stay_on(processor: usize) {
    // SAFETY: a set of bits of our own.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Writes at a place of a file.
pub(crate) fn write_at(fd: c_int, bytes: &[u8], at: u64) {
    // SAFETY: the bytes are ours.
    unsafe { syscall(libc::SYS_pwrite64, [fd as usize, bytes.as_ptr() as usize, bytes.len(), at as usize, 0, 0]) };
}
