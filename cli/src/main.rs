//! `cargo maplock`: arguments in, exit codes out.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    cargo_maplock::main(&cargo_maplock::parse(std::env::args_os())).into()
}
