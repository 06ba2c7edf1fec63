//! What this program was called as, so that the commands it offers can be typed.

use std::env;
use std::ffi::OsString;
use std::sync::OnceLock;

use clap::Subcommand as _;

use crate::args::Verb;

/// As whoever has it from Cargo calls it, and as all texts name it.
const PLUGIN: &str = "cargo maplock";

/// The program that needs no Cargo, as all texts name it.
pub(crate) const TOOL: &str = "maplock";

static NAME: OnceLock<String> = OnceLock::new();

/// Keeps how the program was called. Cargo tells a plugin where Cargo is; without it, the words of the command line count.
pub(crate) fn by(args: &[OsString]) {
    let by_cargo = env::var_os("CARGO").is_some();
    let name = if by_cargo { PLUGIN.to_owned() } else { without_cargo(args) };
    _ = NAME.set(name);
}

/// Keeps how `maplock` was called, with which Cargo has nothing to do.
pub(crate) fn by_itself(args: &[OsString]) {
    _ = NAME.set(program(args, TOOL));
}

fn without_cargo(args: &[OsString]) -> String {
    let word = if args.get(1).is_some_and(|word| word == "maplock") { " maplock" } else { "" };
    format!("{}{word}", program(args, env!("CARGO_PKG_NAME")))
}

/// The program as it was typed. One that a shell, a workflow's command or JSON would read otherwise is called by its own name.
fn program(args: &[OsString], own: &str) -> String {
    let program = args.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./+".contains(c);
    if program.chars().all(is_plain) && !program.is_empty() { program.into_owned() } else { own.to_owned() }
}

/// What it was called as.
pub(crate) fn name() -> &'static str {
    NAME.get().map_or(PLUGIN, String::as_str)
}

/// True of the program that needs no Cargo.
pub(crate) fn is_tool() -> bool {
    is_tool_by(name())
}

fn is_tool_by(name: &str) -> bool {
    name.rsplit('/').next() == Some(TOOL)
}

/// A text of ours, in which the commands begin as this program was called.
pub(crate) fn named(text: &str) -> String {
    rename(text, name())
}

fn rename(text: &str, name: &str) -> String {
    let text = renamed(text, PLUGIN, name, Verb::has_subcommand);
    #[cfg(target_os = "linux")]
    if is_tool_by(name) {
        return renamed(&text, TOOL, name, crate::node::Verb::has_subcommand);
    }
    text
}

/// The text, in which the commands of `program` begin with `name`.
fn renamed(text: &str, program: &str, name: &str, has_verb: fn(&str) -> bool) -> String {
    if name == program || !text.contains(program) {
        return text.to_owned();
    }
    let is_command = |before: &str, rest: &str| {
        let is_apart = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || "_-./".contains(c));
        let verb =
            rest.strip_prefix(' ').and_then(|rest| rest.split(|c: char| !c.is_ascii_alphabetic() && c != '-').next());
        is_apart && verb.is_some_and(has_verb)
    };
    let mut parts = text.split(program);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(if is_command(&out, part) { name } else { program });
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
        let text = "cargo maplock merge-driver %O; see maplock plan, /bin/maplock plan, `maplock rollback fs`, maplock planning";
        assert_eq!(rename(text, PLUGIN), text);
        let expected =
            "maplock merge-driver %O; see maplock plan, /bin/maplock plan, `maplock rollback fs`, maplock planning";
        assert_eq!(rename(text, TOOL), expected);
        let other = "./cargo-maplock merge-driver %O; see maplock plan, /bin/maplock plan, `maplock rollback fs`, maplock planning";
        assert_eq!(rename(text, "./cargo-maplock"), other);
        #[cfg(target_os = "linux")]
        {
            let by_path = "bin/maplock merge-driver %O; see bin/maplock plan, /bin/maplock plan, `bin/maplock rollback fs`, maplock planning";
            assert_eq!(rename(text, "bin/maplock"), by_path);
        }
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
