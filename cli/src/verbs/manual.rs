//! `cargo maplock completions` and `man`: what a shell and a manual know of the command line that they are made from.

use std::fs;

use clap::{Command, CommandFactory as _};

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::error::Error;
use crate::{Said, called, tool};

pub(crate) fn completions(args: &CompletionsArgs) -> Result<Said, Error> {
    let mut command = command();
    // Not `cargo maplock`, which nobody can complete.
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    let script = String::from_utf8(script);
    let script = script.map_err(|error| Error::new("could not write the completions").because(error))?;
    // clap_complete 4.6 names the functions of a program with a dash in two ways for bash, so that no verb's options are found.
    Ok(Said::document(script.replace("cargo__subcmd__maplock", "cargo__maplock")))
}

pub(crate) fn pages(args: &ManArgs) -> Result<Said, Error> {
    let failed = |error| Error::new(format!("could not write to {}", args.dir.display())).because(error);
    fs::create_dir_all(&args.dir).map_err(failed)?;
    let command = command();
    let first = format!("{}.1", command.get_name());
    clap_mangen::generate_to(command, &args.dir).map_err(failed)?;
    Ok(Said::well(format!(
        "wrote the manual to {}: see `man -l {}`\n",
        args.dir.display(),
        args.dir.join(first).display()
    )))
}

/// The command line of this program.
fn command() -> Command {
    if called::is_tool() { tool::command() } else { Cli::command().bin_name(env!("CARGO_PKG_NAME")) }
}
