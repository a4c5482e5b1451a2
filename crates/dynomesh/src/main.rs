//! The program `dynomesh`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dynomesh::run(std::env::args_os())
}
