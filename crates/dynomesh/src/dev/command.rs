//! The user's own server as a dyno: its command line with a port of its own.
//!
//! `dev -- server --port '$PORT'` starts the server itself, with `$PORT` and `${PORT}` replaced in every argument. One argument that
//! holds spaces, as in `dev -- 'gunicorn -b 127.0.0.1:$PORT app:app'`, is a line for the shell. Either way `PORT` is in the environment.

use std::ffi::OsString;
use std::path::PathBuf;

/// What to start for `command` on `port`: a program and its arguments. `None` for an empty command.
pub(crate) fn for_port(command: &[String], port: u16) -> Option<(PathBuf, Vec<OsString>)> {
    if let [line] = command
        && line.contains(char::is_whitespace)
    {
        return Some(("sh".into(), vec!["-c".into(), line.into()]));
    }
    let port = port.to_string();
    let mut words = command.iter().map(|word| word.replace("${PORT}", &port).replace("$PORT", &port));
    let program = words.next().filter(|program| !program.is_empty())?;
    Some((program.into(), words.map(OsString::from).collect()))
}

/// Whether the command names its port; one that does not was often typed without quotes, so that the user's shell ate `$PORT`.
pub(crate) fn names_port(command: &[String]) -> bool {
    command.iter().any(|word| word.contains("PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &[&str]) -> Option<(String, Vec<String>)> {
        let command: Vec<String> = command.iter().map(|word| (*word).into()).collect();
        for_port(&command, 4000)
            .map(|(program, args)| (program.display().to_string(), args.into_iter().map(|arg| arg.into_string().unwrap()).collect()))
    }

    fn line(program: &str, args: &[&str]) -> Option<(String, Vec<String>)> {
        Some((program.into(), args.iter().map(|arg| (*arg).into()).collect()))
    }

    #[test]
    fn arguments_get_their_port_without_a_shell() {
        assert_eq!(of(&["server", "-b", "127.0.0.1:$PORT", "x y;"]), line("server", &["-b", "127.0.0.1:4000", "x y;"]));
        assert_eq!(of(&["./run-${PORT}"]), line("./run-4000", &[]));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[""]), None);
    }

    #[test]
    fn one_argument_with_spaces_is_a_line_for_the_shell() {
        assert_eq!(of(&["server -b 127.0.0.1:$PORT"]), line("sh", &["-c", "server -b 127.0.0.1:$PORT"]));
    }
}
