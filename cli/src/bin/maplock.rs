//! `maplock`, the tool without Cargo: arguments in, exit codes out.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    cargo_maplock::tool::main(std::env::args_os()).into()
}
