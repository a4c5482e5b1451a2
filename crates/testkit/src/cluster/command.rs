//! The command line as a user types it: arguments in, exit code and texts out.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use dynomesh_core::time::Span;
use serde_json::Value;

use crate::wait;

/// How long a command may take.
const RUN_MAX: Span = Span::from_secs(60);

/// What a command said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The arguments.
    pub line: String,
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it said.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// Runs a command with its admin API at `admin`, if there is one.
pub fn run(binary: &Path, admin: Option<SocketAddr>, args: &[&str]) -> Ran {
    let mut command = Command::new(binary);
    command.args(args).env_remove("DYNOMESH_ADMIN").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(admin.map(|admin| ("DYNOMESH_ADMIN", admin.to_string())));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("start {}: {error}", binary.display()));
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let line = args.join(" ");
    let mut running = Running { child };
    let status = wait::until(&format!("`{line}` ends"), RUN_MAX, || running.child.try_wait().expect("the child is ours to wait for"));
    let text = |reader: thread::JoinHandle<String>| reader.join().expect("reading a pipe does not panic");
    Ran { line, code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// The binary under test: `DYNOMESH_BIN`, or else the one that was built beside the test.
pub fn binary() -> PathBuf {
    let found = std::env::var_os("DYNOMESH_BIN").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().expect("a test knows its own path");
        // A test lies in target/PROFILE/deps.
        test.ancestors().nth(2).unwrap_or(&test).join("dynomesh")
    });
    assert!(
        found.is_file(),
        "the binary under test is missing: {}. Build it with `cargo build -p dynomesh`, or set DYNOMESH_BIN to its path.",
        found.display()
    );
    found
}

impl Ran {
    /// What it said; panics if it failed.
    #[track_caller]
    pub fn expect_ok(self) -> String {
        assert_eq!(self.code, Some(0), "`{}` failed: {}{}", self.line, self.stdout, self.stderr);
        self.stdout
    }

    /// What it said, as JSON; panics if it failed or is none.
    #[track_caller]
    pub fn expect_json(self) -> Value {
        let line = self.line.clone();
        let text = self.expect_ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("`{line}` said no JSON ({error}): {text}"))
    }

    /// What it complained of; panics if it did not fail, or fell over instead of refusing.
    #[track_caller]
    pub fn expect_refused(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0 && code != 101), "`{}` was not refused: {self:?}", self.line);
        assert!(!self.stderr.trim().is_empty(), "`{}` was refused without a word", self.line);
        assert!(!self.stderr.contains("panicked"), "`{}` panicked: {}", self.line, self.stderr);
        self.stderr
    }
}

/// Killed when its test gives up on it.
struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Most often it has ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still what was said.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_run_and_its_end_is_told() {
        let ran = run(Path::new("/bin/sh"), None, &["-c", "echo '[1]'; echo no >&2; exit 0"]);
        assert_eq!(ran.clone().expect_json(), serde_json::json!([1]));
        assert_eq!(ran.stderr, "no\n");
        assert_eq!(run(Path::new("/bin/sh"), None, &["-c", "echo why >&2; exit 2"]).expect_refused(), "why\n");
    }

    #[test]
    #[should_panic(expected = "was not refused")]
    fn a_panic_is_no_refusal() {
        run(Path::new("/bin/sh"), None, &["-c", "echo why >&2; exit 101"]).expect_refused();
    }
}
