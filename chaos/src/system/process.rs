//! One process of the system under test: started, killed, frozen, started again, and found out when it died by itself.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::layout::Member;
use crate::making::spawn;
use crate::net::Network;
use crate::program::{self, process};

/// A process and how it is started.
pub(crate) struct Process {
    pub(crate) member: Member,
    /// Its program and arguments.
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(&'static str, OsString)>,
    /// Its state, where it has one.
    pub(crate) data: Option<PathBuf>,
    pub(crate) log: PathBuf,
    pub(super) child: Option<Child>,
    /// It may die by itself: a fault is in it that ends processes.
    pub(crate) may_die: bool,
}

// === impl Process ===

impl Process {
    /// Starts it on its host, if it does not run. Its output goes to the end of its log.
    pub(crate) fn start(&mut self, net: &Network) -> Result<()> {
        if self.pid().is_some() {
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log).with_context(|| self.log.display().to_string())?;
        let mut command: Command = net.command(&self.member.host, &self.program);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env(program::PARENT, std::process::id().to_string()).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(spawn(&mut command).with_context(|| format!("start {}", self.member.name))?);
        Ok(())
    }

    /// Its number, if it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id).filter(|pid| process::is_alive(*pid))
    }

    /// Ends it on the spot.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait()).with_context(|| format!("kill {}", self.member.name))?;
        }
        Ok(())
    }

    /// Asks it to stop; [`Process::has_stopped`] tells when it has.
    pub(crate) fn terminate(&mut self) {
        self.may_die = true;
        if let Some(pid) = self.pid() {
            process::terminate(pid);
        }
    }

    /// Whether it does not run any more; then it is collected.
    pub(crate) fn has_stopped(&mut self) -> bool {
        let ended = self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
        if ended {
            self.child = None;
        }
        ended
    }

    /// How it ended, if it did so by itself since it was started.
    pub(super) fn death(&mut self) -> Option<String> {
        let child = self.child.as_mut()?;
        let status = child.try_wait().ok().flatten()?;
        self.child = None;
        let (name, tail) = (&self.member.name, process::tail(&self.log));
        (!self.may_die).then(|| format!("{name} died by itself ({status}); its log ends with:\n{tail}"))
    }

    /// What it has said since its log had this size.
    pub(crate) fn log_since(&self, from: u64) -> String {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut log = File::open(&self.log)?;
            log.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    /// The size of its log, from which later lines can be told apart.
    pub(crate) fn log_len(&self) -> u64 {
        File::open(&self.log).and_then(|log| log.metadata()).map_or(0, |meta| meta.len())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be frozen or dead; either way nothing is left of it.
        let _ = self.kill();
    }
}
