//! One process of the mesh: how it is started, and how it is told to stop.
//!
//! Every child leads a process group of its own. So Ctrl-C in a terminal reaches `dev` alone, which stops the mesh in order; and a
//! user's server goes with all the workers it has started.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// Bytes of a log that are shown when its process has died.
const TAIL_LEN: u64 = 2_000;

/// Which process of the layout this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Edge(usize),
    Control(usize),
    Replica { block: usize, replica: usize },
    Dyno(usize),
}

/// How to start a process, the first time and every other.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, String)>,
    pub(crate) log: PathBuf,
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) plan: Plan,
    /// Of its last run.
    pub(crate) pid: u32,
    pub(crate) running: bool,
    pub(crate) started: Instant,
    /// Runs in a row that ended soon after their start.
    pub(crate) failures: u32,
}

impl Plan {
    /// Starts the process; its output goes to the end of its log.
    pub(crate) fn start(&self) -> io::Result<tokio::process::Child> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        tokio::process::Command::new(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }

    /// The end of the log, from the first whole line on.
    pub(crate) fn log_tail(&self) -> String {
        let read = |path: &Path| -> io::Result<Vec<u8>> {
            let mut file = File::open(path)?;
            let len = file.metadata()?.len();
            file.seek(SeekFrom::Start(len.saturating_sub(TAIL_LEN)))?;
            let mut tail = Vec::new();
            file.read_to_end(&mut tail)?;
            let cut = if len > TAIL_LEN { tail.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) } else { 0 };
            Ok(tail.split_off(cut))
        };
        String::from_utf8_lossy(&read(&self.log).unwrap_or_default()).trim_end().to_string()
    }
}

/// Sends `signal` to a process and everything it has started, if any of it is still there.
pub(crate) fn signal_group(leader: u32, signal: Signal) {
    if let Some(pid) = group(leader) {
        let _ = kill_process_group(pid, signal);
    }
}

/// Whether anything is left of a process and what it has started.
pub(crate) fn group_lives(leader: u32) -> bool {
    group(leader).is_some_and(|pid| test_kill_process_group(pid).is_ok())
}

/// Never 0 or 1: a signal to those would hit our own group or everything there is.
fn group(leader: u32) -> Option<Pid> {
    i32::try_from(leader).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}

/// How a process ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
