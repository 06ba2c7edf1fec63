//! What this program was called as, so that the commands it offers can be typed.

use std::env;
use std::ffi::OsString;
use std::sync::OnceLock;

use clap::CommandFactory as _;

use crate::args::Cli;

/// As whoever has it from Cargo calls it, and as all texts name it.
const PLUGIN: &str = "cargo maplock";

static NAME: OnceLock<String> = OnceLock::new();

/// Keeps how the program was called. Cargo tells a plugin where Cargo is; without it, the words of the command line count.
pub(crate) fn by(args: &[OsString]) {
    let by_cargo = env::var_os("CARGO").is_some();
    let name = if by_cargo { PLUGIN.to_owned() } else { without_cargo(args) };
    _ = NAME.set(name);
}

fn without_cargo(args: &[OsString]) -> String {
    let program = args.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    // One that a shell, a workflow's command or JSON would read otherwise is called by its own name.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./+".contains(c);
    let program = if program.chars().all(is_plain) && !program.is_empty() { &*program } else { env!("CARGO_PKG_NAME") };
    let word = if args.get(1).is_some_and(|word| word == "maplock") { " maplock" } else { "" };
    format!("{program}{word}")
}

/// What it was called as.
pub(crate) fn name() -> &'static str {
    NAME.get().map_or(PLUGIN, String::as_str)
}

/// A text of ours, in which the commands begin as this program was called.
pub(crate) fn named(text: &str) -> String {
    rename(text, name())
}

fn rename(text: &str, name: &str) -> String {
    if name == PLUGIN || !text.contains(PLUGIN) {
        return text.to_owned();
    }
    let command = Cli::command();
    let is_command = |rest: &str| {
        let verb = rest.strip_prefix(' ').map(|rest| rest.split(|c: char| !c.is_ascii_alphabetic()).next());
        verb.flatten().is_some_and(|verb| command.get_subcommands().any(|of| of.get_name() == verb))
    };
    let mut parts = text.split(PLUGIN);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(if is_command(part) { name } else { PLUGIN });
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_named_as_the_program_was_called() {
        let text = "run `cargo maplock update -p x`: cargo maplock accept m; `cargo maplock` wrote it, cargo maplock-x";
        let expected = "run `./tool update -p x`: ./tool accept m; `cargo maplock` wrote it, cargo maplock-x";
        assert_eq!(rename(text, "./tool"), expected);
        assert_eq!(rename(text, PLUGIN), text);
    }

    #[test]
    fn a_program_is_called_as_it_was_typed() {
        let called = |args: &[&str]| without_cargo(&args.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(called(&["./bin/cargo-maplock", "check"]), "./bin/cargo-maplock");
        assert_eq!(called(&["cargo-maplock", "maplock", "check"]), "cargo-maplock maplock");
        assert_eq!(called(&["/a b/cargo-maplock", "check"]), "cargo-maplock");
        assert_eq!(called(&[]), "cargo-maplock");
    }
}
