//! What is left when `dev` is killed: a small process that takes the rest away.
//!
//! The daemons watch `dev` by themselves and go when it goes. A user's server does not, nor do a temporary directory and the ready
//! file. So the reaper reads from a pipe which process groups there are; the pipe ends when `dev` does, however that happens, and
//! then the reaper stops the groups and removes the leftovers. It ignores the signals that stop `dev`.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::child::{group_lives, signal_group};

/// Time for a user's server to end by itself before it is killed.
const GRACE: Duration = Duration::from_millis(500);
/// Pause between two looks at what is left.
const LOOK: Duration = Duration::from_millis(10);

/// The pipe to a running reaper.
#[derive(Debug)]
pub(crate) struct Reaper {
    process: std::process::Child,
}

impl Reaper {
    /// Starts it before anything else, so that it outlives everything.
    pub(crate) fn start(program: &Path, leftovers: &[PathBuf]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("reap").args(leftovers).process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        Ok(Reaper { process: command.spawn()? })
    }

    /// From now on the group of this process goes when `dev` goes.
    pub(crate) fn watch(&mut self, leader: u32) {
        self.tell('+', leader);
    }

    /// The group is gone; its number may come back as somebody else's.
    pub(crate) fn forget(&mut self, leader: u32) {
        self.tell('-', leader);
    }

    /// Ends the pipe and waits until the leftovers are gone.
    pub(crate) fn finish(mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }

    /// A reaper that was killed leaves `dev` without a net, which is no reason to stop.
    fn tell(&mut self, sign: char, leader: u32) {
        if let Some(pipe) = &mut self.process.stdin {
            let _ = writeln!(pipe, "{sign}{leader}");
        }
    }
}

/// The reaper itself: `dynomesh reap LEFTOVERS...`.
pub(crate) async fn run(leftovers: &[PathBuf]) -> io::Result<()> {
    // Once asked for, these signals no longer end the process, and nobody waits for them.
    let _ignored = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let groups = listen(io::stdin().lock())?;
    // The ready file first: whoever starts the mesh anew in the next moment writes another of the same name.
    for file in leftovers.iter().filter(|path| !path.is_dir()) {
        let _ = std::fs::remove_file(file);
    }
    stop(&groups).await;
    for dir in leftovers.iter().filter(|path| path.is_dir()) {
        let _ = std::fs::remove_dir_all(dir);
    }
    Ok(())
}

/// The groups that are there when the pipe ends. A word is a line, which the kernel hands over whole or not at all.
fn listen(pipe: impl BufRead) -> io::Result<BTreeSet<u32>> {
    let mut groups = BTreeSet::new();
    for line in pipe.lines() {
        let line = line?;
        match (line.chars().next(), line.get(1..).and_then(|number| number.parse().ok())) {
            (Some('+'), Some(leader)) => groups.insert(leader),
            (Some('-'), Some(leader)) => groups.remove(&leader),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{line:?} is no word of dev"))),
        };
    }
    Ok(groups)
}

async fn stop(groups: &BTreeSet<u32>) {
    groups.iter().for_each(|leader| signal_group(*leader, Signal::TERM));
    let all_gone = async {
        while groups.iter().any(|leader| group_lives(*leader)) {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(GRACE, all_gone).await.is_err() {
        groups.iter().for_each(|leader| signal_group(*leader, Signal::KILL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_groups_are_left_alone() {
        let groups = listen(&b"+10\n+20\n-10\n+30\n"[..]).unwrap();
        assert_eq!(groups, BTreeSet::from([20, 30]));
        assert!(listen(&b"+x\n"[..]).is_err());
    }

    #[tokio::test]
    async fn a_server_that_ignores_the_request_to_stop_is_killed_with_its_workers() {
        let mut server = Command::new("sh");
        server.args(["-c", "trap '' TERM; sleep 600 & echo; wait; sleep 600"]).process_group(0).stdout(Stdio::piped());
        let mut server = server.spawn().unwrap();
        // The first byte says that the signal is ignored and the worker runs.
        io::Read::read_exact(server.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let leader = server.id();
        stop(&BTreeSet::from([leader])).await;
        server.wait().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while group_lives(leader) {
            assert!(std::time::Instant::now() < deadline, "a worker outlived its server");
            tokio::time::sleep(LOOK).await;
        }
    }
}
