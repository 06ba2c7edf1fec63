//! What the documentation shows is what happens: every command in it is run, every block of it is used.

#![allow(clippy::unwrap_used, missing_docs)]

mod book;
mod crates;
mod pages;
mod recipes;
mod tutorials;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maplock::internals::sys::Map;
use maplock::{Options, Spec, Staged};
use maplock_layout::config::Scope;
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

/// The directory of `cargo-maplock` and `maplock`, built from this tree, for `PATH`.
fn tool() -> PathBuf {
    toolchain::built("cargo-maplock", "cargo-maplock").parent().unwrap().to_owned()
}

/// Where the commands of a page run.
struct Place<'a> {
    cwd: &'a Path,
    /// What stands on the page for a path of this test, and that path.
    replaced: Vec<(&'static str, String)>,
    env: Vec<(&'static str, OsString)>,
    /// A directory for `PATH`, before all others.
    programs: Option<PathBuf>,
}

impl<'a> Place<'a> {
    fn new(cwd: &'a Path) -> Self {
        Self { cwd, replaced: Vec::new(), env: Vec::new(), programs: None }
    }

    /// A text of the page as it is here.
    fn inside(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    /// A text from here as the page would have it. How wide columns are depends on ids and paths, and is not compared.
    fn outside(&self, text: &str) -> String {
        if self.replaced.is_empty() {
            return text.to_owned();
        }
        let text = self.replaced.iter().rfold(text.to_owned(), |text, (there, here)| text.replace(here, there));
        text.lines().map(|line| narrow(line) + "\n").collect()
    }

    /// What a command prints.
    fn say(&self, command: &str) -> String {
        let path = std::env::var("PATH").unwrap();
        let first = self.programs.iter().cloned().chain([tool()]).map(|dir| dir.display().to_string() + ":");
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1; {}", self.inside(command))]).current_dir(self.cwd);
        for name in ["CI", "MAPLOCK_LOCKED", "MAPLOCK_GATE", "DOCS_RS", "CLANG", "CARGO"] {
            shell.env_remove(name);
        }
        shell.env("PATH", first.collect::<String>() + &path).envs(self.env.iter().cloned());
        let said = String::from_utf8(shell.output().unwrap().stdout).unwrap();
        // Tests run at once, and one cargo waits for another now and then.
        said.split_inclusive('\n').filter(|line| !line.contains("Blocking waiting for file lock")).collect()
    }

    /// Runs the commands of a console block, and compares what they print with what stands behind them. A line `...` stands
    /// for any number of lines, `…` within a line for any text. A command that ends in `\` goes on in the next line.
    fn run(&self, block: &Block) {
        let compare = |expected: &str, printed: &str| {
            let (expected, printed) = (self.outside(expected), self.outside(printed));
            assert!(matches(&expected, &printed), "{}\nshows:\n{expected}\nprints:\n{printed}", block.intro);
        };
        let (mut expected, mut printed) = (String::new(), String::new());
        let text = block.text.replace("\\\n", "");
        for line in text.lines() {
            let Some(command) = line.strip_prefix("$ ") else {
                expected.extend([line, "\n"]);
                continue;
            };
            compare(&expected, &printed);
            printed = self.say(command);
            expected.clear();
        }
        compare(&expected, &printed);
    }
}

fn run_console(block: &Block, cwd: &Path) {
    Place::new(cwd).run(block);
}

/// As [`run_console`]. Where the page has `/sys/fs/bpf`, `bpffs` is meant.
fn run_console_at(block: &Block, cwd: &Path, bpffs: &Path) {
    Place { replaced: vec![("/sys/fs/bpf", bpffs.to_str().unwrap().to_owned())], ..Place::new(cwd) }.run(block);
}

/// A line in which no gap is wider than two.
fn narrow(line: &str) -> String {
    line.split("  ").filter(|part| !part.is_empty()).map(str::trim).collect::<Vec<_>>().join("  ")
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
        // Reports suggest `--reason "…"` in so many words, which matches itself.
        let mut parts: Vec<_> = expected.split('…').collect();
        let Some(end) = parts.pop().filter(|_| !parts.is_empty()) else { return expected == printed };
        let Some(mut rest) = printed.strip_prefix(parts.remove(0)) else { return false };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(end)
    }
    let split = |text| -> Vec<&str> { str::trim_end(text).lines().map(str::trim_end).collect() };
    lines(&split(expected), &split(printed))
}

/// The upgrade to the release of minimesh that has this lock, before its commit.
fn stage(lock: &str, pins: &Path) -> Staged {
    let lock = fs::read_to_string(toolchain::root().join("minimesh").join(lock)).unwrap();
    Options::new(Spec::parse(&lock).unwrap(), pins).begin().unwrap().stage().unwrap()
}

#[test]
fn the_lock_in_the_docs_is_one() {
    let all = blocks("docs/lockfile.md");
    // Behind it, commands alone, which `pages` runs.
    let Some((block, rest)) = all.split_first() else { panic!("no block") };
    assert!(block.language == "toml" && rest.iter().all(|block| block.language == "sh"));
    let lock = Lock::parse(&block.text).unwrap();
    assert_eq!(lock.to_string(), block.text);
    assert_eq!(lock.maps["stats"].epochs[0].on_upgrade, OnUpgrade::Migrate);
}

#[test]
fn the_commands_for_ci_do_what_they_show() {
    for block in blocks("docs/ci.md") {
        match block.language.as_str() {
            "toml" => {
                let scope = if block.text.contains("[workspace.") { Scope::Workspace } else { Scope::File };
                assert!(Config::default().read(&block.text, scope).unwrap(), "{}", block.text);
            }
            // What a workflow hands to the action is what that takes.
            "yaml" => {
                let action = fs::read_to_string(toolchain::root().join("action.yml")).unwrap();
                let inputs = block.text.split("with:\n").nth(1).expect("inputs").lines();
                for input in inputs.filter_map(|line| line.trim().split_once(": ")) {
                    assert!(action.contains(&format!("\n  {}:\n", input.0)), "{input:?}");
                }
            }
            // What somebody sets up for himself.
            "sh" => {
                let home = tempfile::tempdir().unwrap();
                let root = toolchain::root();
                let place = Place { env: vec![("HOME", home.path().into())], ..Place::new(&root) };
                let said = place.say(&format!("set -e\n{}", block.text));
                assert!(said.starts_with("wrote the manual to ") && said.lines().count() == 1, "{said}");
                assert!(home.path().join(".local/share/man/man1/maplock-check.1").is_file());
            }
            language => {
                assert_eq!(language, "console");
                run_console(&block, &toolchain::root());
            }
        }
    }
}

#[test]
fn the_page_of_conversions_shows_what_is_asked_and_tried() {
    let all = blocks("docs/migrate.md");
    let consoles: Vec<_> = all.iter().filter(|block| block.language == "console").collect();
    let of_meaning = |block: &Block| block.text.contains("--new-meaning");
    consoles.iter().filter(|block| !of_meaning(block)).for_each(|block| run_console(block, &toolchain::root()));
    assert_eq!(consoles.len(), 3);
    // Of the struct that the page shows, as it was before.
    let [structure] = all.iter().filter(|block| block.language == "c").collect::<Vec<_>>()[..] else {
        panic!("one struct")
    };
    let folder = tempfile::tempdir().unwrap();
    let object = |name: &str, structure: &str| {
        let map = "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, struct flow_stats); } flows SEC(\".maps\");";
        let (source, out) = (folder.path().join("flows.c"), folder.path().join(name));
        fs::write(&source, format!("#include \"bpf_min.h\"\n{structure}\n{map}\n")).unwrap();
        toolchain::Clang::newest().unwrap().compile(toolchain::Order::Little, &source, &out);
        fs::read(out).unwrap()
    };
    let untagged = structure.text.replace(" __attribute__((btf_decl_tag(\"maplock:version=2\")))", "");
    assert_ne!(untagged, structure.text);
    let version = |object: &[u8]| {
        let maps = maplock_tests::maps_of(object).unwrap();
        maps[0].value.as_ref().unwrap().composite().unwrap().version()
    };
    assert_eq!(version(&object("tagged.o", &structure.text)), 2);
    assert_eq!(version(&object("flows.o", &untagged)), 0);
    let with_files = |block: &Block| {
        let text = block.text.replace(" --reason", " --object flows.o --reason");
        Block { language: block.language.clone(), intro: block.intro.clone(), text }
    };
    let init = "$ cargo maplock init --object flows.o\n...\n".to_owned();
    run_console(&Block { language: "console".to_owned(), intro: String::new(), text: init }, folder.path());
    consoles.iter().filter(|block| of_meaning(block)).for_each(|block| run_console(&with_files(block), folder.path()));
    // A doctest of `maplock`.
    assert_eq!(all.iter().filter(|block| block.language == "rust").count(), 1);
}

#[test]
fn the_page_for_those_who_run_upgrades_shows_a_node() {
    if !kernel::available() {
        return;
    }
    let bpffs = kernel::Bpffs::mount();
    let dir = bpffs.path().join("minimesh");
    let stage = |lock: &str| stage(lock, &dir);
    let root = toolchain::root();
    let fill = |map: &str, entries: u64| {
        let map = Map::open(&dir.join(map)).unwrap();
        (0..entries).for_each(|key| map.update(&key.to_ne_bytes(), &vec![0; map.value_bytes()], 0).unwrap());
    };
    let mut consoles = 0;
    let all = blocks("docs/node.md");
    let [unit] = all.iter().filter(|block| block.language == "ini").collect::<Vec<_>>()[..] else { panic!("one unit") };
    pages::verify(unit);
    let programs = tempfile::tempdir().unwrap();
    let place = Place {
        replaced: vec![
            ("/sys/fs/bpf", bpffs.path().display().to_string()),
            ("/etc/minimesh/maps.lock", root.join("minimesh/releases/v2.lock").display().to_string()),
        ],
        programs: Some(programs.path().to_owned()),
        ..Place::new(&root)
    };
    pages::systemctl(&place, unit);
    for block in all.iter().filter(|block| block.language != "ini") {
        assert_eq!(block.language, "console");
        match block.intro.as_str() {
            "<!-- v1 runs -->" => {
                stage("maps.lock").commit().unwrap();
                fill("backends", 12);
                fill("stats", 812);
            }
            "<!-- upgraded to v2 -->" => drop(stage("releases/v2.lock").commit().unwrap()),
            "<!-- killed while it staged v2 -->" => {
                // All that was staged, without the process and its lock.
                let staged = stage("releases/v2.lock");
                let (next, copy) = (bpffs.path().join("minimesh@next"), bpffs.dir("copy"));
                for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
                    let to = copy.join(entry.file_name());
                    match fs::read_link(entry.path()) {
                        Ok(record) => std::os::unix::fs::symlink(record, to).unwrap(),
                        Err(_) => fs::hard_link(entry.path(), to).unwrap(),
                    }
                }
                drop(staged);
                fs::rename(&copy, &next).unwrap();
            }
            intro => assert!(!intro.starts_with("<!--"), "nobody knows how to do: {intro}"),
        }
        place.run(block);
        consoles += 1;
    }
    assert_eq!(consoles, 11);
}

/// Says that it is over when it is dropped, also where a test fails.
struct End<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn the_page_for_readers_shows_what_they_are_told() {
    if !kernel::available() {
        return;
    }
    let bpffs = kernel::Bpffs::mount();
    let dir = bpffs.path().join("minimesh");
    let upgrade = || drop(stage("maps.lock", &dir).commit().unwrap());
    let (mut consoles, mut functions) = (0, 0);
    for block in blocks("docs/readers.md") {
        if block.language == "rust,no_run" {
            // Compiled with the crate, and run by `tests/tests/handles/readers.rs`, which has the same.
            functions += 1;
            continue;
        }
        assert_eq!(block.language, "console");
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _end = End(&is_over);
            match block.intro.as_str() {
                "<!-- v1 runs -->" => upgrade(),
                // As many as it takes until it watches.
                "<!-- upgrades begin -->" => {
                    _ = scope.spawn(|| {
                        while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                            upgrade();
                        }
                    })
                }
                intro => assert!(!intro.starts_with("<!--"), "nobody knows how to do: {intro}"),
            }
            run_console_at(&block, &toolchain::root(), bpffs.path());
        });
        consoles += 1;
    }
    assert_eq!((consoles, functions), (3, 1));
}

#[test]
fn the_page_on_adopting_shows_a_first_plan() {
    if !kernel::available() {
        return;
    }
    // Where libbpf pins, if nobody tells it otherwise; in mounts of this thread's own.
    let _world = maplock_harness::World::enter(true).unwrap();
    let mut load = Command::new("bpftool");
    load.args(["prog", "load", "bpf/minimesh/v1/minimesh.bpf.o", "/sys/fs/bpf/old_connect4"]);
    toolchain::run(load.current_dir(toolchain::root()));
    let [block] = &blocks("docs/adopting.md")[..] else { panic!("one block") };
    run_console(block, &toolchain::root());
}

#[test]
fn the_page_on_trying_an_upgrade_shows_what_is_told() {
    if !kernel::available() {
        return;
    }
    _ = toolchain::built("minimesh", "minimesh");
    let all = blocks("docs/test-upgrade.md");
    let consoles: Vec<_> = all.iter().filter(|block| block.language == "console").collect();
    consoles.iter().for_each(|block| run_console(block, &toolchain::root()));
    // The fourth is what another kernel told.
    assert_eq!((consoles.len(), all.len()), (2, 4));
    // What runs on another kernel is what the page shows above, with other kills.
    let run = all.iter().find(|block| block.language == "sh").unwrap();
    let command = run.text.trim_end().strip_prefix("tests/kernels/run 6.1 -- ").unwrap();
    let (command, _) = command.split_once(" --kills ").unwrap();
    assert!(consoles[0].text.starts_with(&format!("$ {command} --kills ")));
    // So are the words that it prints there; the numbers are others.
    let told = all.iter().find(|block| block.language == "text").unwrap();
    let printed: Vec<_> =
        consoles[0].text.lines().map(|line| line.replace(|sign: char| sign.is_ascii_digit(), "…")).collect();
    for line in told.text.lines().filter(|line| *line != "...") {
        assert!(printed.iter().any(|expected| expected != "..." && matches(expected, line)), "{line}");
    }
}

#[test]
fn the_setting_in_the_page_of_rules_is_one() {
    for block in blocks("docs/rules.md").iter().filter(|block| block.language == "toml") {
        Config::default().read(&block.text, Scope::Package).unwrap();
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
            let objects = [maplock_layout::ObjectMaps::new(release, maps)];
            maplock_layout::observe(&objects, &Config::default()).unwrap().lock.to_string()
        };
        assert_eq!(lock(folder.path()), lock(&toolchain::root()), "{object} is not what its sources make");
    }
}
