//! `cargo maplock`: arguments in, exit codes out.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cargo_maplock::Cli::parse_from(cargo_maplock::without_plugin_name(std::env::args_os()));
    cargo_maplock::main(&cli).into()
}
