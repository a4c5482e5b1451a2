//! Processes by pid: signals, signs of life, and the ends of their logs.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Lines of a log that are shown.
const TAIL_LINES: usize = 25;

/// Ends a process on the spot: it can do nothing more, and its connections are reset or closed by the kernel.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Freezes a process: its sockets stay open and silent.
pub fn freeze(pid: u32) {
    signal(pid, Signal::STOP);
}

/// Lets a frozen process go on.
pub fn thaw(pid: u32) {
    signal(pid, Signal::CONT);
}

/// Asks a process to stop.
pub fn terminate(pid: u32) {
    signal(pid, Signal::TERM);
}

/// Whether a process runs or is frozen; one that is dead and not yet collected does not.
pub fn is_alive(pid: u32) -> bool {
    // The first thread of a killed process may be dead before the others, which still hold its sockets.
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X') || threads(pid) > 1)
}

/// Whether a process is frozen.
pub fn is_frozen(pid: u32) -> bool {
    state(pid) == Some('T')
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Whether the process at `pid` is one of the binary called `name`: a pid may be another's by the time it is used.
pub(crate) fn is_called(pid: u32, name: &str) -> bool {
    // The kernel keeps 15 bytes of the name.
    let kept: String = name.chars().take(15).collect();
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == kept)
}

/// Processes whose command line names `path`, which is how a cluster knows its own by its directory.
pub(crate) fn naming(path: &Path) -> Vec<u32> {
    let path = path.as_os_str().as_encoded_bytes();
    let names = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.windows(path.len()).any(|part| part == path));
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(names).collect()
}

/// Resident memory in bytes.
pub fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Processor time used so far, in ticks of a hundredth of a second.
pub fn ticks(pid: u32) -> Option<u64> {
    let fields = after_name(pid)?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

fn state(pid: u32) -> Option<char> {
    after_name(pid)?.chars().next()
}

/// The fields of `/proc/PID/stat` behind the name, which may hold anything, parentheses included.
fn after_name(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.to_owned())
}

fn signal(pid: u32, signal: Signal) {
    let process = i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw).expect("a pid of a single process");
    // A process that is gone needs no signal.
    let _ = kill_process(process, signal);
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use dynomesh_core::time::Span;

    use super::*;
    use crate::wait;

    #[test]
    fn a_process_is_frozen_thawed_and_killed() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let limit = Span::from_secs(10);
        wait::until("it is called sleep", limit, || is_called(pid, "sleep").then_some(()));
        freeze(pid);
        wait::until("it is frozen", limit, || is_frozen(pid).then_some(()));
        assert!(is_alive(pid) && resident(pid).is_some() && ticks(pid).is_some());
        thaw(pid);
        wait::until("it runs", limit, || (!is_frozen(pid)).then_some(()));
        kill(pid);
        wait::until("it is dead though not collected", limit, || (!is_alive(pid)).then_some(()));
        child.wait().unwrap();
    }
}
