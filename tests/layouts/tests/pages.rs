//! The pages for who changes maplock say what is so: their paths, tests and words are those of the tree.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maplock_layout_tests::toolchain::{files, root, run};

const CONTRIBUTING: &str = "CONTRIBUTING.md";
const PAGES: [&str; 3] = [CONTRIBUTING, "docs/architecture.md", "docs/glossary.md"];

fn read(page: impl AsRef<Path>) -> String {
    let path = root().join(page);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands in backticks within a line, and between fences line by line.
fn code(page: &str) -> Vec<String> {
    let (mut found, mut is_block) = (Vec::new(), false);
    let mut prose = String::new();
    for line in page.lines() {
        match (line.starts_with("```"), is_block) {
            (true, _) => is_block = !is_block,
            (false, true) => found.push(line.to_owned()),
            (false, false) => prose.extend([line, " "]),
        }
    }
    found.extend(prose.split('`').skip(1).step_by(2).map(str::to_owned));
    found
}

#[test]
fn every_path_on_the_pages_is_there() {
    let is_folder = |name: &str| !name.is_empty() && root().join(name).is_dir();
    let mut checked = 0;
    for page in PAGES {
        let text = read(page);
        let folder = Path::new(page).parent().expect("a page is a file");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let links = links.filter(|link| !link.is_empty() && !link.contains("://")).map(|link| folder.join(link));
        let code = code(&text);
        let words = code.iter().flat_map(|code| code.split([' ', ',', ':']));
        // A name in capitals is the reader's to choose.
        let paths = words.filter(|word| word.split_once('/').is_some_and(|(first, _)| is_folder(first)));
        let paths = paths.filter(|path| !path.contains("YOUR_")).map(PathBuf::from);
        for path in links.chain(paths) {
            assert!(root().join(&path).exists(), "{page}: there is no {}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} paths");
}

/// The packages of the workspace, as `cargo metadata` tells them.
fn packages() -> serde_json::Value {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--no-deps", "--locked", "--format-version", "1"]).current_dir(root());
    serde_json::from_slice::<serde_json::Value>(&run(&mut cargo).stdout).expect("JSON")["packages"].take()
}

/// The sources of a package's library or of one of its tests, if it has that.
fn sources(packages: &serde_json::Value, package: &str, test: Option<&str>) -> Option<String> {
    let package = packages.as_array()?.iter().find(|of| of["name"] == package)?;
    let target = package["targets"].as_array()?.iter().find(|target| match test {
        Some(test) => target["name"] == test && target["kind"][0] == "test",
        None => target["kind"][0] == "lib" || target["kind"][0] == "proc-macro",
    })?;
    let file = Path::new(target["src_path"].as_str()?);
    let is_alone = test.is_some() && file.file_name()? != "main.rs";
    let all = if is_alone { vec![file.to_owned()] } else { files(file.parent()?, ".rs") };
    Some(
        all.into_iter()
            .map(|file| format!("mod {} {{\n{}", file.file_stem().expect("a file of Rust").display(), read(&file)))
            .collect(),
    )
}

#[test]
fn every_command_for_tests_names_some_that_are_there() {
    let packages = packages();
    let mut checked = 0;
    let commands = [CONTRIBUTING, "docs/kernel-facts.md"].into_iter().flat_map(|page| code(&read(page)));
    for command in commands {
        let Some((_, rest)) = command.split_once("cargo test ") else { continue };
        let rest = rest.split(" #").next().unwrap_or(rest);
        let (mut package, mut test, mut filter) = (None, None, None);
        let mut words = rest.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "-p" => package = words.next(),
                "--test" => test = words.next(),
                "--lib" => {}
                // What is behind it is for the tests themselves.
                "--" => break,
                word => filter = Some(word),
            }
        }
        let package = package.unwrap_or_else(|| panic!("`{command}` names no package"));
        let sources = sources(&packages, package, test).unwrap_or_else(|| panic!("`{command}` finds nothing to run"));
        if let Some(filter) = filter {
            let names =
                sources.lines().filter_map(|line| line.trim().strip_prefix("fn ").or(line.strip_prefix("mod ")));
            assert!(names.into_iter().any(|name| name.contains(filter)), "`{command}` runs no test");
        }
        checked += 1;
    }
    assert!(checked > 15, "{checked} commands");
}

/// The words that a source defines: its types, functions, modules and macros, by the keyword before them.
fn defined(source: &str) -> BTreeSet<&str> {
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let words: Vec<&str> = source.split(|c| !is_of_name(c)).filter(|word| !word.is_empty()).collect();
    let pairs = words.windows(2).filter(|pair| ["struct", "enum", "trait", "fn", "mod", "type"].contains(&pair[0]));
    pairs.map(|pair| pair[1]).collect()
}

#[test]
fn the_words_of_the_glossary_are_those_of_the_code() {
    let sources: Vec<String> = ["layout", "codegen", "runtime", "harness", "cli"]
        .iter()
        .flat_map(|folder| files(&root().join(folder).join("src"), ".rs"))
        .map(read)
        .collect();
    let sources: Vec<(BTreeSet<&str>, &str)> = sources.iter().map(|text| (defined(text), text.as_str())).collect();
    let glossary = read("docs/glossary.md");
    let rows = glossary.lines().filter_map(|line| line.strip_prefix("| ")).filter(|row| !row.starts_with("word "));
    let (mut words, mut missing) = (BTreeSet::new(), Vec::new());
    for row in rows {
        let cells: Vec<_> = row.split(" | ").collect();
        let [word, item, meaning] = cells[..] else { panic!("not three cells: {row}") };
        assert!(words.insert(word), "`{word}` is explained twice");
        assert!(meaning.len() > 10, "{row}");
        let (owner, name) = item.trim_matches('`').split_once("::").unwrap_or(("", item.trim_matches('`')));
        let is_word = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
        let is_there = sources.iter().any(|(defined, text)| match owner {
            "" => defined.contains(name),
            owner => (defined.contains(owner) || text.contains(&format!("impl {owner}"))) && is_word(text),
        });
        if !is_there {
            missing.push(format!("{word}: {item}"));
        }
    }
    assert!(words.len() > 60, "{} words", words.len());
    assert!(missing.is_empty(), "the code has no such items: {missing:#?}");
}
