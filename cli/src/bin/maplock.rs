//! `maplock`, the node tool: arguments in, exit codes out.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser as _;
    cargo_maplock::node::main(&cargo_maplock::node::Cli::parse()).into()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("error: maplock looks at the maps of a running kernel, and this is not Linux");
    cargo_maplock::Ended::Incomplete.into()
}
