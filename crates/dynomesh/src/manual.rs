//! What the command line says about itself: daemons and nouns apart in `--help`, and the same texts as a page, `docs/cli.md`.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{Arg, CommandFactory};

use crate::args::Cli;
use crate::error::Failure;

/// Commands in the order in which a reader looks for them.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Try it", &["dev", "sim"]),
    ("Daemons", &["edge", "block", "control", "agent", "check-config"]),
    ("What is in the mesh", &["app", "dyno", "block", "replica", "edge"]),
    ("How the mesh does", &["status", "plan", "rebalance", "settings", "events", "map", "control"]),
];

/// Stands above the page.
const HEAD: &str = "# The command line

Written by `cargo run -- manual > docs/cli.md` from the program's own help; a test keeps it so. What each command asks of the control
plane is in the [API reference](api.md), what to do when in [operations](operations.md).

";

/// The command line with its help in groups.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let mut groups = String::new();
    for (title, names) in GROUPS {
        writeln!(groups, "\x1b[1m\x1b[4m{title}:\x1b[0m").expect("writing to a string does not fail");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about).map(ToString::to_string).unwrap_or_default();
            writeln!(groups, "  \x1b[1m{name:<13}\x1b[0m {}", told_in(title, &about)).expect("writing to a string does not fail");
        }
        groups.push('\n');
    }
    let exit = format!("\x1b[1m\x1b[4mExit codes of what is said to the mesh:\x1b[0m\n{}", indented(dynomesh_ctl::EXIT_CODES));
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}\x1b[1m\x1b[4mOptions:\x1b[0m\n{{options}}{{after-help}}\n\n{exit}\n"
    ))
}

/// Of a name that is a daemon and a noun, the half of its text that belongs to the group; the halves are joined by "; or ".
fn told_in(title: &str, about: &str) -> String {
    match about.split_once("; or ") {
        Some((daemon, _)) if title == "Daemons" => daemon.to_owned(),
        Some((_, noun)) => noun[..1].to_uppercase() + &noun[1..],
        None => about.to_owned(),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Writes the page to stdout.
pub(crate) fn write() -> Result<ExitCode, Failure> {
    print!("{}", page());
    Ok(ExitCode::SUCCESS)
}

/// The manual as a page: a section for each command, in alphabetical order.
pub(crate) fn page() -> String {
    let mut root = command();
    root.build();
    let mut page = HEAD.to_owned();
    page += "## Exit codes\nOf all commands that speak to the control plane:\n\n| code | meaning |\n|---|---|\n";
    for line in dynomesh_ctl::EXIT_CODES.lines() {
        let (code, meaning) = line.split_once("  ").unwrap_or((line, ""));
        page += &format!("| {code} | {meaning} |\n");
    }
    page += "\n## Options that stand anywhere\n";
    page += &options(root.get_arguments().filter(|arg| arg.is_global_set()));
    let mut commands: Vec<&clap::Command> = root.get_subcommands().filter(|command| told(command)).collect();
    commands.sort_by_key(|command| command.get_name());
    for command in commands {
        section(&mut page, command, "dynomesh", 2);
    }
    page
}

/// Whether a command is for readers; `help` explains itself.
fn told(command: &clap::Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn section(page: &mut String, command: &clap::Command, parent: &str, depth: usize) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    *page += &format!("\n{} {name}\n{}\n", "#".repeat(depth), about.trim_end());
    let arguments: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_global_set() && shown(arg)).collect();
    let usage = command.clone().render_usage().to_string();
    *page += &format!("\n```\n{}\n", usage.trim_start_matches("Usage: "));
    if let Some(example) = command.get_after_help() {
        *page += &format!("\n{example}\n");
    }
    *page += "```\n";
    if !arguments.is_empty() {
        *page += &format!("\n{}", options(arguments.into_iter()));
    }
    for command in command.get_subcommands().filter(|command| told(command)) {
        section(page, command, &name, depth + 1);
    }
}

fn shown(arg: &Arg) -> bool {
    !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

/// A table of arguments.
fn options<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let mut table = String::from("| argument | meaning |\n|---|---|\n");
    for arg in arguments.filter(|arg| shown(arg)) {
        table += &format!("| `{}` | {} |\n", form(arg), meaning(arg).replace('|', "\\|").replace('\n', " "));
    }
    table
}

/// How an argument is written.
fn form(arg: &Arg) -> String {
    let names: Vec<String> = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let value = if arg.get_action().takes_values() { names.join(" ") } else { String::new() };
    let value = if value.is_empty() && arg.get_action().takes_values() { arg.get_id().to_string().to_uppercase() } else { value };
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let long = arg.get_long().map(|long| format!("--{long}"));
    match long {
        Some(long) => format!("{short}{long} {value}").trim_end().to_owned(),
        None => value,
    }
}

fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let words: Vec<String> = arg.get_possible_values().iter().map(|word| format!("`{}`", word.get_name())).collect();
    if !words.is_empty() && arg.get_action().takes_values() {
        text += &format!(": {}", words.join(", "));
    }
    let defaults: Vec<String> = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        text += &format!(" [default: {}]", defaults.join(" "));
    }
    if let Some(name) = arg.get_env() {
        text += &format!(" [env: {}]", name.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_place_in_the_help() {
        let listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = command();
        for name in command.get_subcommands().filter(|command| told(command)).map(clap::Command::get_name) {
            assert!(listed.contains(&name), "{name} is in no group");
        }
        for name in listed {
            assert!(command.find_subcommand(name).is_some(), "{name} is no command");
        }
    }

    #[test]
    fn every_verb_has_an_example() {
        fn look(command: &clap::Command, name: &str) {
            let mut verbs = command.get_subcommands().filter(|command| told(command)).peekable();
            if verbs.peek().is_none() {
                let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(example.contains(&format!("dynomesh {name}")), "`dynomesh {name}` has no example");
            }
            verbs.for_each(|verb| look(verb, &format!("{name} {}", verb.get_name())));
        }
        for noun in ["app", "dyno", "block", "replica", "edge", "status", "plan", "rebalance", "settings", "events", "map", "control"] {
            look(command().find_subcommand(noun).unwrap(), noun);
        }
    }

    #[test]
    fn the_manual_is_what_the_program_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page(), "docs/cli.md is out of date; write it with: cargo run -- manual > docs/cli.md");
    }
}
