//! What operators do while things break: commands of the mesh's own command line, each on a thread, so that one that waits delays
//! nothing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::making::spawn;

/// The command line, and what came of the commands so far.
pub(crate) struct Admin {
    program: PathBuf,
    first: Vec<OsString>,
    admin: String,
    done: (mpsc::Sender<Call>, mpsc::Receiver<Call>),
    under_way: usize,
    calls: Vec<Call>,
}

/// A command that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its arguments.
    pub(crate) line: Vec<String>,
    /// What it said, or complained of.
    pub(crate) answer: Result<String, String>,
}

// === impl Admin ===

impl Admin {
    /// A command line that asks the control replicas at `admin`.
    pub(super) fn new((program, first): (PathBuf, Vec<OsString>), admin: String) -> Self {
        Admin { program, first, admin, done: mpsc::channel(), under_way: 0, calls: Vec::new() }
    }

    /// Runs a command and waits for it.
    pub(crate) fn run(&self, line: &[&str]) -> Result<String> {
        match run(self.command(line)) {
            Ok(said) => Ok(said),
            Err(complaint) => bail!("`dynomesh {}` failed: {}", line.join(" "), complaint.trim()),
        }
    }

    /// The same with an answer in JSON.
    pub(crate) fn json(&self, line: &[&str]) -> Result<Value> {
        let said = self.run(&[line, &["-o", "json"]].concat())?;
        serde_json::from_str(&said).with_context(|| format!("`dynomesh {}` said no JSON: {said}", line.join(" ")))
    }

    /// Begins a command and does not wait for it.
    pub(crate) fn begin(&mut self, line: &[&str]) {
        let (command, done) = (self.command(line), self.done.0.clone());
        let line = line.iter().map(|word| (*word).to_owned()).collect();
        self.under_way += 1;
        thread::spawn(move || {
            let answer = run(command);
            // A run that is over does not listen any more.
            let _ = done.send(Call { line, answer });
        });
    }

    /// How many commands have not ended.
    pub(crate) fn under_way(&mut self) -> usize {
        self.collect();
        self.under_way
    }

    /// The commands that have ended.
    pub(crate) fn calls(&mut self) -> &[Call] {
        self.collect();
        &self.calls
    }

    fn collect(&mut self) {
        for call in self.done.1.try_iter() {
            self.under_way -= 1;
            self.calls.push(call);
        }
    }

    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.first).args(line).env("DYNOMESH_ADMIN", &self.admin);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn run(mut command: Command) -> Result<String, String> {
    let output = spawn(&mut command).and_then(Child::wait_with_output).map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
