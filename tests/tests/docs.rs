//! What the documentation shows is what happens: every command in it is run, every block of it is used.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maplock_layout::lock::OnUpgrade;
use maplock_layout::{Config, Lock};
use maplock_tests::{kernel, toolchain};

/// A fenced block of a page.
struct Block {
    language: String,
    /// The line before it that is not empty.
    intro: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(toolchain::root().join(page)).unwrap();
    let (mut blocks, mut open, mut intro) = (Vec::new(), None::<Block>, String::new());
    for line in text.lines() {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(language), None) => {
                open = Some(Block { language: language.to_owned(), intro: intro.clone(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) if !line.trim().is_empty() => line.clone_into(&mut intro),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block is not closed");
    blocks
}

/// The directory of a `cargo-maplock` built from this tree, for `PATH`.
fn tool() -> PathBuf {
    toolchain::built("cargo-maplock", "cargo-maplock").parent().unwrap().to_owned()
}

/// Runs the commands of a console block, and compares what they print with what stands behind them. A line `...` stands
/// for any number of lines, `…` within a line for any text.
fn run_console(block: &Block, cwd: &Path) {
    let path = format!("{}:{}", tool().display(), std::env::var("PATH").unwrap());
    let mut expected = String::new();
    let mut printed = String::new();
    for line in block.text.lines() {
        let Some(command) = line.strip_prefix("$ ") else {
            expected.extend([line, "\n"]);
            continue;
        };
        assert!(matches(&expected, &printed), "{}\nshows:\n{expected}\nprints:\n{printed}", block.intro);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{command} 2>&1")]).current_dir(cwd).env("PATH", &path);
        for name in ["CI", "MAPLOCK_LOCKED", "MAPLOCK_GATE", "DOCS_RS", "CLANG"] {
            shell.env_remove(name);
        }
        printed = String::from_utf8(shell.output().unwrap().stdout).unwrap();
        expected.clear();
    }
    assert!(matches(&expected, &printed), "{}\nshows:\n{expected}\nprints:\n{printed}", block.intro);
}

fn matches(expected: &str, printed: &str) -> bool {
    fn lines(expected: &[&str], printed: &[&str]) -> bool {
        match expected {
            [] => printed.is_empty(),
            ["...", rest @ ..] => (0..=printed.len()).any(|skip| lines(rest, &printed[skip..])),
            [first, rest @ ..] => printed.first().is_some_and(|line| alike(first, line)) && lines(rest, &printed[1..]),
        }
    }
    fn alike(expected: &str, printed: &str) -> bool {
        let Some((start, rest)) = expected.split_once('…') else { return expected == printed };
        let Some(mut printed) = printed.strip_prefix(start) else { return false };
        // Each `…` takes as little as it can, the last one all that is left.
        let mut parts = rest.split('…').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return printed.ends_with(part);
            }
            let Some((_, after)) = printed.split_once(part) else { return false };
            printed = after;
        }
        true
    }
    let split = |text| -> Vec<&str> { str::trim_end(text).lines().map(str::trim_end).collect() };
    lines(&split(expected), &split(printed))
}

/// The block of the README that begins with this command.
fn readme_console(command: &str) -> Block {
    let start = format!("$ {command}\n");
    blocks("README.md").into_iter().find(|block| block.text.starts_with(&start)).unwrap()
}

#[test]
fn the_readme_shows_what_a_build_says() {
    let first = blocks("README.md").into_iter().find(|block| block.language == "console").unwrap();
    let block = readme_console("cargo run -q -p minimesh -- build");
    assert_eq!(first.text, block.text, "the main job comes first");
    run_console(&block, &toolchain::root());
}

#[test]
fn the_readme_shows_what_an_upgrade_does() {
    let block = readme_console("cargo run -q -p minimesh -- upgrade");
    if kernel::available() {
        run_console(&block, &toolchain::root());
    }
}

#[test]
fn the_readme_builds_a_project_step_by_step() {
    if toolchain::Clang::newest().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    for sub in ["src", "bpf"] {
        fs::create_dir(project.join(sub)).unwrap();
    }
    let codegen = toolchain::root().join("codegen");
    let head = "[package]\nname = \"flowtop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n";
    // The versions of this tree's own lockfile, so that nothing has to be looked up.
    fs::copy(toolchain::root().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let mut consoles = 0;
    for block in blocks("README.md").into_iter().skip_while(|block| !block.intro.contains("`Cargo.toml`")) {
        match (block.language.as_str(), block.intro.as_str()) {
            ("toml", intro) if intro.contains("In its `Cargo.toml`") => {
                let manifest = block.text.replace("\"0.1\"", &format!("{{ path = {:?} }}", codegen.display()));
                fs::write(project.join("Cargo.toml"), format!("{head}{manifest}")).unwrap();
            }
            ("rust" | "c", intro) => {
                let file = intro.split('`').nth(1).unwrap();
                fs::write(project.join(file), &block.text).unwrap();
            }
            ("diff", _) => {
                fs::write(project.join("change.diff"), &block.text).unwrap();
                let applied = Command::new("git").args(["apply", "change.diff"]).current_dir(project).output().unwrap();
                assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
            }
            ("console", _) => {
                run_console(&block, project);
                consoles += 1;
            }
            ("toml", _) => {
                Config::default().read(&block.text, maplock_layout::config::Scope::Package).unwrap();
            }
            // The command that runs this test.
            ("sh", _) => assert_eq!(block.text, ".ci/packages && cargo test --workspace\n"),
            (language, intro) => panic!("nothing is known of a block of `{language}` behind `{intro}`"),
        }
    }
    assert_eq!(consoles, 3);
}

#[test]
fn the_lock_in_the_docs_is_one() {
    let all = blocks("docs/lockfile.md");
    let [block] = all.as_slice() else { panic!("one block, not {}", all.len()) };
    let lock = Lock::parse(&block.text).unwrap();
    assert_eq!(lock.to_string(), block.text);
    assert_eq!(lock.maps["stats"].epochs[0].on_upgrade, OnUpgrade::Migrate);
}

#[test]
fn the_commands_for_ci_do_what_they_show() {
    for block in blocks("docs/ci.md") {
        assert_eq!(block.language, "console");
        run_console(&block, &toolchain::root());
    }
}

#[test]
fn the_setting_in_the_page_of_rules_is_one() {
    for block in blocks("docs/rules.md").iter().filter(|block| block.language == "toml") {
        Config::default().read(&block.text, maplock_layout::config::Scope::Package).unwrap();
    }
}

#[test]
fn the_committed_objects_are_what_their_readme_makes() {
    let Some(clang) =
        toolchain::Clang::at_least(1).and_then(|mut clangs| (!clangs.is_empty()).then(|| clangs.remove(0)))
    else {
        return;
    };
    let commands = blocks("bpf/README.md");
    let block = commands.iter().find(|block| block.text.contains("bpf/minimesh")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(toolchain::root().join("bpf")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    let name = clang.command().get_program().to_owned();
    let script = block.text.replace("clang-14", name.to_str().unwrap());
    let made = Command::new("sh").args(["-ec", &script]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for release in ["v1", "v2", "v3", "v4"] {
        let object = format!("bpf/minimesh/{release}/minimesh.bpf.o");
        let lock = |root: &Path| {
            let bytes = fs::read(root.join(&object)).unwrap();
            let maps = maplock_codegen::Object::parse(&bytes).unwrap().maps;
            let objects = [maplock_layout::ObjectMaps { name: release.to_owned(), maps }];
            maplock_layout::observe(&objects, &Config::default()).unwrap().lock.to_string()
        };
        assert_eq!(lock(folder.path()), lock(&toolchain::root()), "{object} is not what its sources make");
    }
}
