//! The pages are a book: each has its place in `docs/SUMMARY.md`, and each link leads somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::toolchain;

/// The links of a page outside of its blocks: pictures too.
fn links(text: &str) -> Vec<String> {
    let mut is_block = false;
    let prose: Vec<&str> = text
        .lines()
        .filter(|line| {
            is_block ^= line.starts_with("```");
            !is_block
        })
        .collect();
    let prose = prose.join(" ");
    prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_owned()).collect()
}

/// The anchors of a page, as GitHub and mdBook make them of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let of = |heading: &str| -> String {
        let kept = heading.chars().filter(|sign| sign.is_alphanumeric() || " -_".contains(*sign));
        kept.map(|sign| if sign == ' ' { '-' } else { sign.to_ascii_lowercase() }).collect()
    };
    headings.map(of).collect()
}

fn pages() -> BTreeSet<String> {
    let names = fs::read_dir(toolchain::root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".md")).collect()
}

#[test]
fn every_page_has_one_place_in_the_book() {
    let summary = fs::read_to_string(toolchain::root().join("docs/SUMMARY.md")).unwrap();
    let mut listed = links(&summary);
    listed.sort();
    let expected: Vec<String> = pages().into_iter().filter(|page| page != "SUMMARY.md").collect();
    assert_eq!(listed, expected, "docs/SUMMARY.md lists each page once");
    let config = fs::read_to_string(toolchain::root().join("docs/book.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    assert_eq!(config["book"]["src"].as_str(), Some("."));
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let mut checked = 0;
    let book = pages().into_iter().map(|page| format!("docs/{page}"));
    let crates = super::crates::folders().into_iter().map(|folder| format!("{folder}/README.md"));
    for page in book.chain(crates).chain(["README.md", "CONTRIBUTING.md", "bpf/README.md"].map(str::to_owned)) {
        let text = fs::read_to_string(toolchain::root().join(&page)).unwrap();
        let folder = Path::new(&page).parent().unwrap();
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone().into() } else { folder.join(path) };
            // What is not a page is not in a book that was built.
            assert!(!page.starts_with("docs/") || !link.starts_with("../"), "{page}: {link} leads out of the book");
            assert!(toolchain::root().join(&target).exists(), "{page}: {link} leads nowhere");
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(toolchain::root().join(&target)).unwrap());
                assert!(there.contains(anchor), "{page}: {link}: there is no such heading, but {there:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked} links");
}

#[test]
fn every_page_with_a_block_is_named_by_what_runs_its_blocks() {
    let tests = ["tests/tests/docs", "tests/layouts/tests"].map(|folder| toolchain::root().join(folder));
    let files = tests.iter().flat_map(|folder| toolchain::files(folder, ".rs"));
    let files = files.filter(|file| !file.ends_with("book.rs")).chain([toolchain::root().join("runtime/src/lib.rs")]);
    let tests: String = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    let mut checked = 0;
    for page in pages() {
        if !super::blocks(&format!("docs/{page}")).is_empty() {
            assert!(tests.contains(&format!("docs/{page}\"")), "no test reads the blocks of docs/{page}");
            checked += 1;
        }
    }
    assert!(checked > 15, "{checked} pages");
}

/// What stands in backticks within the lines of a page, outside of its blocks.
fn code(text: &str) -> Vec<String> {
    let mut is_block = false;
    let lines = text.lines().filter(|line| {
        is_block ^= line.starts_with("```");
        !is_block
    });
    lines.flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

#[test]
fn every_file_of_the_repository_that_a_page_names_is_there() {
    let mut checked = 0;
    for page in pages() {
        let code = code(&fs::read_to_string(toolchain::root().join("docs").join(&page)).unwrap());
        let words = code.iter().flat_map(|code| code.split_whitespace());
        for path in words.filter(|word| word.starts_with("deploy/") || word.starts_with("tests/")) {
            assert!(toolchain::root().join(path).exists(), "docs/{page}: there is no {path}");
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked} files");
}

/// The words of a text that begin with a prefix: names of variables.
fn variables(text: &str) -> BTreeSet<String> {
    let is_of_name = |sign: char| sign.is_ascii_uppercase() || sign == '_';
    let words = text.split(|sign| !is_of_name(sign)).filter(|word| word.starts_with("MAPLOCK_"));
    words.map(str::to_owned).collect()
}

#[test]
fn one_page_has_every_variable_of_the_environment_and_every_exit_code() {
    let page = fs::read_to_string(toolchain::root().join("docs/exit-codes.md")).unwrap();
    let folders = ["layout/src", "codegen/src", "macros/src", "runtime/src", "harness/src", "cli/src"];
    let files = folders.iter().flat_map(|folder| toolchain::files(&toolchain::root().join(folder), ".rs"));
    let used: BTreeSet<String> = files
        .flat_map(|file| {
            let source = fs::read_to_string(file).unwrap();
            let texts: Vec<String> = source.split('"').skip(1).step_by(2).map(str::to_owned).collect();
            texts.into_iter().filter(|text| variables(text).contains(text)).collect::<Vec<_>>()
        })
        .collect();
    assert!(used.len() > 8, "{used:?}");
    assert_eq!(variables(&page), used, "docs/exit-codes.md has the variables of the code");

    // Those of `Ended`, and clap's own.
    let source = fs::read_to_string(toolchain::root().join("cli/src/lib.rs")).unwrap();
    let told = source.split_once("pub enum Ended {").unwrap().1.split_once('}').unwrap().0;
    let told = told.lines().filter_map(|line| line.trim().strip_prefix("/// ")?.split_once(": "));
    let codes: BTreeSet<&str> = told.map(|(code, _)| code).chain(["2"]).collect();
    let first = page.split("| exit code | meaning |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows = first.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    assert_eq!(rows.collect::<BTreeSet<_>>(), codes);

    let commands = page.split("| command | ends with 100 if |").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands: Vec<String> = commands.lines().filter_map(|row| row.split(" | ").next()).flat_map(code).collect();
    assert!(commands.len() > 12, "{commands:?}");
    for command in &commands {
        let (program, words) =
            command.split_once(' ').filter(|(first, _)| *first == "maplock").unwrap_or(("", command));
        let program = if program.is_empty() { "cargo-maplock" } else { program };
        let verb = words.split(' ').next().unwrap();
        let help = Command::new(toolchain::built("cargo-maplock", program)).args([verb, "--help"]).output().unwrap();
        assert!(help.status.success(), "`{command}` is no command");
    }
}

#[test]
fn the_picture_is_read_by_those_who_do_not_see_it() {
    let picture = fs::read_to_string(toolchain::root().join("docs/misread.svg")).unwrap();
    for part in ["role=\"img\"", "aria-labelledby=\"title desc\"", "<title id=\"title\">", "<desc id=\"desc\">"] {
        assert!(picture.contains(part), "{part}");
    }
    assert!(picture.contains("prefers-color-scheme: dark"));
}

/// A source with `…` in the place of what its format strings name, as the page has it.
fn without_names(source: &str) -> String {
    let mut out = String::new();
    // A quote within a text is no end of it, and a text may go on in the next line.
    let source = source.replace("\\\"", "”");
    let mut pieces = source.split("\\\n");
    let first = pieces.next().unwrap_or_default().to_owned();
    let source = pieces.fold(first, |source, piece| source + piece.trim_start());
    for line in source.lines() {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('{') {
            out += before;
            match after.split_once(['{', '}']) {
                Some((name, behind)) if after[name.len()..].starts_with('}') => {
                    out.push('…');
                    rest = behind;
                }
                _ => rest = after,
            }
        }
        out += rest;
        out.push('\n');
    }
    out
}

/// The messages that the page of troubleshooting explains. What stands before the first name and behind the last is often a name itself,
/// put in by another line.
fn explained() -> Vec<String> {
    let page = fs::read_to_string(toolchain::root().join("docs/troubleshooting.md")).unwrap().replace('"', "”");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ``"));
    let cells = rows.map(|row| row.split_once("`` |").expect("a message in two backticks").0);
    cells.flat_map(|cell| cell.split("``, ``").map(|message| message.trim_matches(['…', ' ']).to_owned())).collect()
}

/// The sources of some folders, with `…` for names.
fn sources(folders: &[&str]) -> Vec<String> {
    let files = folders.iter().flat_map(|folder| toolchain::files(&toolchain::root().join(folder), ".rs"));
    files.map(|file| without_names(&fs::read_to_string(file).unwrap())).collect()
}

#[test]
fn every_message_for_which_there_is_help_is_one_that_is_told() {
    let sources = sources(&["layout/src", "codegen/src", "macros/src", "runtime/src", "cli/src"]);
    let messages = explained();
    for message in &messages {
        assert!(sources.iter().any(|source| source.contains(message)), "nothing says `{message}`");
    }
    assert!(messages.len() > 40, "{} messages", messages.len());
}

/// What a message that says the next step goes on with, behind a semicolon or a colon.
const STEPS: &[&str] = &[
    "build",
    "commit",
    "compile",
    "correct",
    "decide",
    "delete",
    "find",
    "give",
    "install",
    "load",
    "mount",
    "move",
    "name",
    "or decide",
    "or release",
    "plan",
    "raise",
    "remove",
    "rename",
    "roll",
    "run",
    "see `cargo",
    "see what",
    "see which",
    "set",
    "start",
];

#[test]
fn every_message_of_a_build_and_a_daemon_that_says_the_next_step_is_explained() {
    let explained = explained();
    let mut checked = 0;
    for source in sources(&["codegen/src", "runtime/src"]) {
        let code = source.split("#[cfg(test)]").next().unwrap();
        for line in code.lines().filter(|line| !line.trim().starts_with("//")) {
            for text in line.split('"').skip(1).step_by(2) {
                let says = |step: &&str| [';', ':'].iter().any(|sign| text.contains(&format!("{sign} {step} ")));
                if STEPS.iter().any(says) {
                    assert!(explained.iter().any(|message| text.contains(message)), "troubleshooting.md lacks: {text}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 30, "{checked} messages");
}

#[test]
fn the_recipes_for_ci_are_what_init_writes() {
    let recipes = super::blocks("docs/ci-recipes.md").into_iter().filter(|block| block.language == "yaml");
    let recipes: Vec<String> = recipes.map(|block| block.text).collect();
    let templates = ["github.yml", "gitlab.yml", "pre-commit.yaml"]
        .map(|name| fs::read_to_string(toolchain::root().join("cli/src/templates").join(name)).unwrap());
    assert_eq!(recipes, templates);
}
