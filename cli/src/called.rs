//! What this program was called as, so that the commands it offers can be typed.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

use clap::Subcommand as _;

use crate::args::Verb;
use crate::terminal::style;

/// As whoever has it from Cargo calls it, and as all texts name it.
const PLUGIN: &str = "cargo maplock";

/// The program that needs no Cargo, as all texts name it.
pub(crate) const TOOL: &str = "maplock";

static NAME: OnceLock<String> = OnceLock::new();

/// Set of the program that needs no Cargo, whatever its file is called.
static IS_TOOL: OnceLock<()> = OnceLock::new();

/// Keeps how the program was called. Cargo tells a plugin where Cargo is; without it, the words of the command line count.
pub(crate) fn by(args: &[OsString]) {
    let by_cargo = env::var_os("CARGO").is_some();
    let name = if by_cargo { PLUGIN.to_owned() } else { without_cargo(args) };
    _ = NAME.set(name);
}

/// Keeps how `maplock` was called, with which Cargo has nothing to do.
pub(crate) fn by_itself(args: &[OsString]) {
    _ = IS_TOOL.set(());
    _ = NAME.set(program(args, TOOL));
}

fn without_cargo(args: &[OsString]) -> String {
    let word = if args.get(1).is_some_and(|word| word == "maplock") { " maplock" } else { "" };
    format!("{}{word}", program(args, env!("CARGO_PKG_NAME")))
}

/// The program as it was typed. One that a shell, a workflow's command or JSON would read otherwise is called by its own name.
fn program(args: &[OsString], own: &str) -> String {
    let program = args.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    if is_plain(&program) { program.into_owned() } else { own.to_owned() }
}

fn is_plain(program: &str) -> bool {
    !program.is_empty() && program.chars().all(|c| c.is_ascii_alphanumeric() || "_-./+".contains(c))
}

/// The same for a command that is run in another directory: a path is absolute.
pub(crate) fn from_anywhere() -> String {
    in_any_directory(name(), &env::current_dir().unwrap_or_default())
}

fn in_any_directory(name: &str, here: &Path) -> String {
    let (program, word) = name.split_once(' ').unwrap_or((name, ""));
    if !program.contains('/') {
        return name.to_owned();
    }
    let there = here.join(program).to_string_lossy().into_owned();
    let own = program.rsplit('/').next().unwrap_or(program);
    let program = if is_plain(&there) { &there } else { own };
    format!("{program} {word}").trim_end().to_owned()
}

/// What it was called as.
pub(crate) fn name() -> &'static str {
    NAME.get().map_or(PLUGIN, String::as_str)
}

/// True of the program that needs no Cargo.
pub(crate) fn is_tool() -> bool {
    IS_TOOL.get().is_some()
}

/// A text of ours, in which the commands begin as this program was called.
pub(crate) fn named(text: &str) -> String {
    rename(text, name(), is_tool())
}

#[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
fn rename(text: &str, name: &str, is_tool: bool) -> String {
    let text = renamed(text, PLUGIN, name, Verb::has_subcommand);
    #[cfg(target_os = "linux")]
    if is_tool {
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
        // In JSON, a line begins behind an escape.
        let is_apart = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || "_-./".contains(c))
            || before.ends_with("\\n")
            || before.rfind('\u{1b}').and_then(|at| style(&before[at..])).is_some_and(|style| before.ends_with(style));
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
        assert_eq!(rename(text, "./tool", false), expected);
        assert_eq!(rename(text, PLUGIN, false), text);
        let json = r#""type:\ncargo maplock accept m\nncargo maplock accept m""#;
        assert_eq!(rename(json, "./tool", false), r#""type:\n./tool accept m\nncargo maplock accept m""#);
        let styled = "\u{1b}[2mcargo maplock accept m\u{1b}[0m, \u{1b}[2mxcargo maplock accept m";
        let expected = "\u{1b}[2m./tool accept m\u{1b}[0m, \u{1b}[2mxcargo maplock accept m";
        assert_eq!(rename(styled, "./tool", false), expected);
        let text = "cargo maplock merge-driver %O; see maplock plan, /bin/maplock plan, `maplock rollback fs`, maplock planning";
        assert_eq!(rename(text, PLUGIN, false), text);
        let expected =
            "maplock merge-driver %O; see maplock plan, /bin/maplock plan, `maplock rollback fs`, maplock planning";
        assert_eq!(rename(text, TOOL, true), expected);
        let other = "./cargo-maplock merge-driver %O; see maplock plan, /bin/maplock plan, `maplock rollback fs`, maplock planning";
        assert_eq!(rename(text, "./cargo-maplock", false), other);
        #[cfg(target_os = "linux")]
        {
            let by_path = "bin/maplock merge-driver %O; see bin/maplock plan, /bin/maplock plan, `bin/maplock rollback fs`, maplock planning";
            assert_eq!(rename(text, "bin/maplock", true), by_path);
            let by_version = "maplock-1 merge-driver %O; see maplock-1 plan, /bin/maplock plan, `maplock-1 rollback fs`, maplock planning";
            assert_eq!(rename(text, "maplock-1", true), by_version);
        }
    }

    #[test]
    fn a_command_for_another_directory_has_an_absolute_path() {
        let in_sub = |name| in_any_directory(name, Path::new("/src/sub"));
        assert_eq!(in_sub("cargo maplock"), "cargo maplock");
        assert_eq!(in_sub("maplock"), "maplock");
        assert_eq!(in_sub("../bin/maplock"), "/src/sub/../bin/maplock");
        assert_eq!(in_sub("/bin/cargo-maplock maplock"), "/bin/cargo-maplock maplock");
        assert_eq!(in_any_directory("./maplock", Path::new("/a folder")), "maplock");
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
