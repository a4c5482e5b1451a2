//! Other programs that do a thing and end: `ip`, `tc`, `nft`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::making::GATE;

/// Where programs of the system lie that are not everybody's; not every PATH names them.
const SBIN: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Runs a program to its end and returns what it said; an error tells the line and the complaint.
pub(crate) fn run(line: &[&str]) -> Result<String> {
    run_with(line, "")
}

/// The same with something to read.
pub(crate) fn run_with(line: &[&str], input: &str) -> Result<String> {
    let (program, args) = line.split_first().context("an empty command line")?;
    let mut command = command(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let _making = GATE.pass();
    let mut child = command.spawn().with_context(|| format!("start {program}"))?;
    let mut stdin = child.stdin.take().context("a pipe that was asked for")?;
    // A program that ended without reading has said why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().with_context(|| format!("wait for {program}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed: {}{}",
            line.join(" "),
            complaint.trim(),
            if input.is_empty() { String::new() } else { format!(" (given: {input})") }
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A program that is looked for where [`has`] looks, and so are those that it starts.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = env::var_os("PATH").unwrap_or_default();
    let searched = searched(&path);
    // A path of its own makes the start of a program slower.
    if searched != path {
        command.env("PATH", searched);
    }
    command
}

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    has_in(&searched(&env::var_os("PATH").unwrap_or_default()), program)
}

fn has_in(path: &OsStr, program: &str) -> bool {
    env::split_paths(path).any(|dir| dir.join(program).is_file())
}

/// What is searched for programs: PATH, and what it lacks.
fn searched(path: &OsStr) -> OsString {
    let mut dirs: Vec<PathBuf> = env::split_paths(path).filter(|dir| !dir.as_os_str().is_empty()).collect();
    let lacks: Vec<PathBuf> = SBIN.map(PathBuf::from).into_iter().filter(|sbin| !dirs.contains(sbin)).collect();
    if lacks.is_empty() {
        return path.to_owned();
    }
    dirs.extend(lacks);
    // What came out of a PATH fits into one.
    env::join_paths(dirs).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_and_how_it_fails_is_told() {
        assert_eq!(run_with(&["cat"], "given").unwrap(), "given");
        assert!(has("sh") && !has("no-such-program"));
        let failed = run(&["sh", "-c", "echo why >&2; exit 1"]).unwrap_err().to_string();
        assert!(failed.contains("sh -c") && failed.contains("why"), "{failed}");
    }

    #[test]
    fn programs_are_started_from_where_they_are_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/bin/echo", dir.path().join("only-here")).unwrap();
        let path = searched(dir.path().as_os_str());
        assert!(has_in(&path, "only-here") && !has("only-here"));
        let output = Command::new("only-here").env("PATH", &path).output().unwrap();
        assert!(output.status.success());
        for (path, expected) in
            [("/usr/bin", "/usr/bin:/usr/sbin:/sbin"), ("", "/usr/sbin:/sbin"), ("/sbin:/usr/sbin:/x", "/sbin:/usr/sbin:/x")]
        {
            assert_eq!(searched(OsStr::new(path)), OsString::from(expected));
        }
        let set = command("ip").get_envs().any(|(name, _)| name == "PATH");
        let path = env::var_os("PATH").unwrap_or_default();
        assert_eq!(set, searched(&path) != path);
    }
}
