//! Breaks a mesh of real processes on networks of its own, and judges what clients and dynos saw.
//!
//! A run starts edges, blocks, control plane and dynos on hosts that are network namespaces ([`net`]), asks them for what a scenario
//! says ([`workload`]), breaks them ([`fault`]), heals everything, and judges the history by the checkers of the testkit ([`judge`]).
//! The daemons are this very program under another first argument, so that one build is all a run needs.
//!
//! Threads: the main one drives the run and lives in the network of the users; those of the workloads are started from it and so live
//! there too. One waits for signals and takes everything away after one ([`interrupt`]). Processes die with the main one, and what is left
//! of their networks is taken away by the next run.

mod cli;
mod cpu;
mod disk;
mod fault;
mod figures;
mod interrupt;
mod judge;
mod making;
mod need;
mod net;
mod program;
mod relaying;
mod report;
mod run;
mod scenario;
mod series;
mod shell;
mod system;
mod waiting;
mod workload;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use dynomesh_runtime::shutdown;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_ref().and_then(|first| first.to_str()) {
        Some(program::MESH) => dynomesh::run(std::iter::once(OsString::from("dynomesh")).chain(args)),
        Some(program::RELAY) => {
            let words: Vec<String> = args.filter_map(|word| word.into_string().ok()).collect();
            helper(|| match &words[..] {
                [told, counts, hosts @ ..] => relaying::run(Path::new(told), Path::new(counts), hosts),
                _ => anyhow::bail!("the relay takes two files and hosts"),
            })
        }
        Some(program::SOCKETS) => {
            let words: Vec<String> = args.filter_map(|word| word.into_string().ok()).collect();
            helper(|| workload::sockets::dyno::serve(&words))
        }
        _ => cli::run(),
    }
}

/// A process that serves a run and ends with it.
fn helper(serve: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    match shutdown::exit_with_parent().map_err(anyhow::Error::from).and_then(|_| serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
