//! Other programs that do a thing and end: `ip`, `tc`, `nft`.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a program to its end and returns what it said; an error tells the line and the complaint.
pub(crate) fn run(line: &[&str]) -> Result<String> {
    run_with(line, "")
}

/// The same with something to read.
pub(crate) fn run_with(line: &[&str], input: &str) -> Result<String> {
    let (program, args) = line.split_first().context("an empty command line")?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
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

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(sbin).any(|dir| dir.join(program).is_file())
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
}
