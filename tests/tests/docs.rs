//! What the documentation shows is what happens: every command in it is run, every block of it is used.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maplock::internals::sys::Map;
use maplock::{Options, Spec};
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

/// The directory of a `cargo-maplock` built from this tree, for `PATH`.
fn tool() -> PathBuf {
    toolchain::built("cargo-maplock", "cargo-maplock").parent().unwrap().to_owned()
}

/// Runs the commands of a console block, and compares what they print with what stands behind them. A line `...` stands
/// for any number of lines, `…` within a line for any text.
fn run_console(block: &Block, cwd: &Path) {
    run_console_at(block, cwd, None);
}

/// As [`run_console`]. Where the page has `/sys/fs/bpf`, `bpffs` is meant; how wide columns are depends on ids, and is not compared.
fn run_console_at(block: &Block, cwd: &Path, bpffs: Option<&str>) {
    const PLACE: &str = "/sys/fs/bpf";
    let inside = |command: &str| bpffs.map_or(command.to_owned(), |bpffs| command.replace(PLACE, bpffs));
    let outside = |text: &str| match bpffs {
        Some(bpffs) => text.replace(bpffs, PLACE).lines().map(|line| narrow(line) + "\n").collect(),
        None => text.to_owned(),
    };
    let matches = |expected: &str, printed: &str| matches(&outside(expected), &outside(printed));
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
        shell.args(["-c", &format!("exec 2>&1; {}", inside(command))]).current_dir(cwd).env("PATH", &path);
        for name in ["CI", "MAPLOCK_LOCKED", "MAPLOCK_GATE", "DOCS_RS", "CLANG"] {
            shell.env_remove(name);
        }
        let said = String::from_utf8(shell.output().unwrap().stdout).unwrap();
        // Tests run at once, and one cargo waits for another now and then.
        printed = said.split_inclusive('\n').filter(|line| !line.contains("Blocking waiting for file lock")).collect();
        expected.clear();
    }
    assert!(matches(&expected, &printed), "{}\nshows:\n{expected}\nprints:\n{printed}", block.intro);
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
            // A doctest of `maplock`, whose page has the same.
            ("rust,no_run", _) => assert!(blocks("docs/daemon.md").iter().any(|other| other.text == block.text)),
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
                Config::default().read(&block.text, Scope::Package).unwrap();
            }
            // The command that runs this test.
            ("sh", _) => assert_eq!(block.text, ".ci/packages && cargo test --workspace\n"),
            (language, intro) => panic!("nothing is known of a block of `{language}` behind `{intro}`"),
        }
    }
    assert_eq!(consoles, 6);
}

#[test]
fn the_lock_in_the_docs_is_one() {
    let all = blocks("docs/lockfile.md");
    // Behind it, commands alone.
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
    let stage = |lock: &str| {
        let lock = fs::read_to_string(toolchain::root().join("minimesh").join(lock)).unwrap();
        Options::new(Spec::parse(&lock).unwrap(), &dir).begin().unwrap().stage().unwrap()
    };
    let fill = |map: &str, entries: u64| {
        let map = Map::open(&dir.join(map)).unwrap();
        (0..entries).for_each(|key| map.update(&key.to_ne_bytes(), &vec![0; map.value_bytes()], 0).unwrap());
    };
    let mut consoles = 0;
    for block in blocks("docs/node.md") {
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
        run_console_at(&block, &toolchain::root(), Some(bpffs.path().to_str().unwrap()));
        consoles += 1;
    }
    assert_eq!(consoles, 9);
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
    let upgrade = || {
        let lock = fs::read_to_string(toolchain::root().join("minimesh/maps.lock")).unwrap();
        Options::new(Spec::parse(&lock).unwrap(), &dir).begin().unwrap().stage().unwrap().commit().unwrap();
    };
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
            run_console_at(&block, &toolchain::root(), Some(bpffs.path().to_str().unwrap()));
        });
        consoles += 1;
    }
    assert_eq!((consoles, functions), (3, 1));
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
