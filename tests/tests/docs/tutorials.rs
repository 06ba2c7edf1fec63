//! The README and the tutorials, followed step by step.

use super::{Block, Place, blocks, kernel, toolchain};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a page says that its reader has beside the project.
const CLONE: &str = "../maplock";

/// Held while a project is built: all of them are called `flowtop`, and Cargo takes them for one in the folder that they share.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where they are built: as this workspace, whose dependencies are theirs too.
fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// A folder for the project of a page, empty, with a git of its own. It has the versions of this tree's own lockfile, so that nothing has
/// to be looked up.
fn project(name: &str) -> PathBuf {
    // Cargo takes all of them for one package, and would run the build script of the one before.
    for kind in [".fingerprint", "build"] {
        for entry in fs::read_dir(target().join("debug").join(kind)).into_iter().flatten().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("flowtop-") {
                fs::remove_dir_all(entry.path()).unwrap();
            }
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tutorials").join(name);
    _ = fs::remove_dir_all(&folder);
    for sub in ["src", "bpf"] {
        fs::create_dir_all(folder.join(sub)).unwrap();
    }
    fs::copy(toolchain::root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    // As this workspace has it: a dependency that is built in another way is built anew.
    fs::create_dir(folder.join(".cargo")).unwrap();
    fs::write(folder.join(".cargo/config.toml"), "[profile.dev.package.aya-obj]\nopt-level = 2\n").unwrap();
    toolchain::run(Command::new("git").args(["init", "-q"]).current_dir(&folder));
    folder
}

/// Where the commands of a tutorial run: with a `clang`, and a name for git.
pub(super) fn place<'a>(project: &'a Path, clang: &toolchain::Clang) -> Place<'a> {
    let programs = project.with_extension("programs");
    _ = fs::remove_dir_all(&programs);
    fs::create_dir(&programs).unwrap();
    let found = Command::new("which").arg(clang.command().get_program()).output().unwrap().stdout;
    let found = PathBuf::from(String::from_utf8(found).unwrap().trim());
    std::os::unix::fs::symlink(found, programs.join("clang")).unwrap();
    let of = |value: &str| OsString::from(value);
    Place {
        replaced: vec![(CLONE, toolchain::root().display().to_string())],
        env: vec![
            ("CARGO_TARGET_DIR", target().into()),
            ("CARGO_NET_OFFLINE", of("true")),
            ("GITHUB_BASE_REF", of("main")),
            ("CARGO_TERM_COLOR", of("never")),
            ("GIT_AUTHOR_NAME", of("You")),
            ("GIT_AUTHOR_EMAIL", of("you@example.com")),
            ("GIT_COMMITTER_NAME", of("You")),
            ("GIT_COMMITTER_EMAIL", of("you@example.com")),
        ],
        programs: Some(programs),
        ..Place::new(project)
    }
}

/// Puts the file of a block into the project: the last path in backticks before it. A manifest stands outside of this tree's workspace.
fn write(place: &Place<'_>, block: &Block) {
    let file = block.intro.split('`').skip(1).step_by(2).last().expect("a file is named before its text");
    let alone = if file == "Cargo.toml" { "\n[workspace]\n" } else { "" };
    let path = place.cwd.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, place.inside(&block.text) + alone).unwrap();
}

fn apply(place: &Place<'_>, block: &Block) {
    let file = place.cwd.join(".git/change.diff");
    fs::write(&file, &block.text).unwrap();
    let applied = Command::new("git").arg("apply").arg(&file).current_dir(place.cwd).output().unwrap();
    assert!(applied.status.success(), "{}\n{}", String::from_utf8_lossy(&applied.stderr), block.text);
}

/// What a job installs, beside what its machine has (Git and a clang, where GitHub's Ubuntu is one), is what its headers are of: no more,
/// and no less. Here they are installed already.
fn has_the_packages_of(place: &Place<'_>, packages: &str) {
    let sources = toolchain::files(&place.cwd.join("bpf"), ".c");
    let system = |text: String| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.strip_prefix("#include <")?.strip_suffix('>')?.to_owned())).collect()
    };
    let headers: BTreeSet<_> = sources.iter().flat_map(|file| system(fs::read_to_string(file).unwrap())).collect();
    let mut needed: BTreeSet<_> = headers
        .iter()
        .map(|header| {
            let of = Command::new("dpkg").arg("--search").arg(format!("*/include/{header}")).output().unwrap();
            let of = String::from_utf8(of.stdout).unwrap();
            let package = of
                .lines()
                .filter(|line| line.ends_with(&format!("/usr/include/{header}")))
                .find_map(|line| line.split([':', ',']).next());
            package.unwrap_or_else(|| panic!("no package has {header}: {of}")).to_owned()
        })
        .collect();
    // The kernel's headers come with the compiler's C library, which each of GitHub's images has.
    needed.remove("linux-libc-dev");
    assert_eq!(packages.split(' ').map(str::to_owned).collect::<BTreeSet<_>>(), needed);
}

/// Does all that a page asks for, in its order. Says how many blocks of commands there were.
fn follow(page: &str, place: &Place<'_>) -> usize {
    let mut consoles = 0;
    for block in blocks(page) {
        match block.language.as_str() {
            "toml" | "rust" | "c" => write(place, &block),
            "diff" => apply(place, &block),
            "console" => {
                place.run(&block);
                consoles += 1;
            }
            // Installing takes minutes; that the programs are there, the commands behind it show.
            "sh" => {
                for line in block.text.lines() {
                    let folder = line.strip_prefix("cargo install --locked --path ").expect("a command that installs");
                    assert!(Path::new(&place.inside(folder)).join("Cargo.toml").exists(), "{line}");
                }
            }
            // Steps of a CI, each of which succeeds.
            "yaml" => {
                place.say("git update-ref refs/remotes/origin/main HEAD");
                for command in block.text.lines().filter_map(|line| line.trim().strip_prefix("- run: ")) {
                    if let Some((_, packages)) = command.split_once("apt-get install --yes ") {
                        has_the_packages_of(place, packages);
                    } else if !command.starts_with("cargo install") {
                        let said = place.say(&format!("{command} && echo done"));
                        assert!(said.ends_with("done\n"), "{command}\n{said}");
                    }
                }
            }
            language => panic!("{page}: nothing is known of a block of `{language}` behind `{}`", block.intro),
        }
    }
    consoles
}

/// The block of the README that begins with this command.
fn readme_console(command: &str) -> Block {
    let start = format!("$ {command}\n");
    blocks("README.md").into_iter().find(|block| block.text.starts_with(&start)).unwrap()
}

#[test]
fn the_readme_shows_what_a_build_says() {
    let first = blocks("README.md").into_iter().next().unwrap();
    let block = readme_console("cargo run -q -p minimesh -- build");
    assert_eq!(first.text, block.text, "the main job comes first");
    super::run_console(&block, &toolchain::root());
}

#[test]
fn the_readme_shows_what_an_upgrade_does() {
    let block = readme_console("cargo run -q -p minimesh -- upgrade");
    if kernel::available() {
        super::run_console(&block, &toolchain::root());
    }
}

#[test]
fn the_readme_is_short_and_its_commands_for_adoption_work() {
    let lines = fs::read_to_string(toolchain::root().join("README.md")).unwrap().lines().count();
    assert!(lines < 150, "{lines} lines");
    let Some(clang) = toolchain::Clang::newest() else { return };
    let _alone = alone();
    let folder = project("readme");
    let place = place(&folder, &clang);
    let [in_rust, in_others, tests] = blocks("README.md")
        .into_iter()
        .filter(|block| block.language == "sh")
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .unwrap();
    let install = format!("cargo install --locked --path {CLONE}/cli\n");
    let commands = |block: &Block| block.text.strip_prefix(&install).unwrap().replace('\n', " && ") + "echo done";
    let succeeds = |block: &Block| {
        let said = place.say(&commands(block));
        assert!(said.ends_with("done\n"), "{said}");
    };
    // What the reader has: an object, and a build script with the line of the README.
    let source = "#include \"bpf_min.h\"\nstruct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, int); __type(value, int); } flows SEC(\".maps\");\n";
    fs::write(folder.join("bpf/flowtop.bpf.c"), source).unwrap();
    fs::copy(toolchain::root().join("bpf/include/bpf_min.h"), folder.join("bpf/bpf_min.h")).unwrap();
    clang.compile(toolchain::Order::Little, &folder.join("bpf/flowtop.bpf.c"), &folder.join("bpf/flowtop.bpf.o"));
    succeeds(&in_others);
    fs::remove_file(folder.join("maps.lock")).unwrap();
    let readme = fs::read_to_string(toolchain::root().join("README.md")).unwrap();
    let line = readme.split('`').find(|code| code.starts_with("maplock_codegen::Builder::new().compile")).unwrap();
    fs::write(
        folder.join("build.rs"),
        format!("fn main() -> Result<(), maplock_codegen::BuildError> {{\n    {line}\n}}\n"),
    )
    .unwrap();
    let manifest = "[package]\nname = \"flowtop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let include = readme.split('`').find(|code| code.starts_with("include!")).unwrap();
    fs::write(folder.join("src/lib.rs"), format!("mod maps {{\n    {include}\n}}\n")).unwrap();
    succeeds(&in_rust);
    fs::write(folder.join("bpf/flowtop.bpf.c"), source.replace("value, int", "value, long")).unwrap();
    assert!(place.say("cargo build -q; echo $?").ends_with("101\n"), "a break passes");
    // From git, Cargo finds a package by its name.
    let from_git: Vec<_> = readme.split('`').filter(|code| code.contains(" --git URL ")).collect();
    assert_eq!(from_git.len(), 2, "{from_git:?}");
    for (command, dir) in from_git.into_iter().zip(["cli", "codegen"]) {
        let (begin, name) = command.split_once(" --git URL ").unwrap();
        assert!(in_rust.text.contains(&format!("{begin} --path {CLONE}/{dir}\n")), "{command}");
        let manifest = fs::read_to_string(toolchain::root().join(dir).join("Cargo.toml")).unwrap();
        assert!(manifest.starts_with(&format!("[package]\nname = \"{name}\"\n")), "{command}");
    }
    // The command that runs this test.
    assert_eq!(tests.text, ".ci/packages && cargo test --workspace\n");
}

/// What a tutorial that ends on a node has beside its project: pins and a cgroup of its own.
fn follow_to_a_node(name: &str, page: &str) -> Option<usize> {
    let clang = toolchain::Clang::newest()?;
    if !kernel::available() {
        return None;
    }
    let (bpffs, cgroup) = (kernel::Bpffs::mount(), kernel::Cgroup::new());
    let _alone = alone();
    let folder = project(name);
    let mut place = place(&folder, &clang);
    place.replaced.push(("/sys/fs/bpf", bpffs.path().display().to_string()));
    place.replaced.push(("/sys/fs/cgroup/flowtop", cgroup.path().display().to_string()));
    Some(follow(page, &place))
}

#[test]
fn the_tutorial_for_aya_leads_to_an_upgraded_node() {
    if let Some(consoles) = follow_to_a_node("flowtop-aya", "docs/tutorial-aya.md") {
        assert!(consoles > 8, "{consoles}");
    }
}

#[test]
fn the_tutorial_for_libbpf_rs_leads_to_an_upgraded_node() {
    if let Some(consoles) = follow_to_a_node("flowtop-libbpf", "docs/tutorial-libbpf-rs.md") {
        assert!(consoles > 2, "{consoles}");
    }
}

#[test]
fn the_tutorial_for_go_and_c_leads_to_a_gate() {
    let Some(clang) = toolchain::Clang::newest() else { return };
    let _alone = alone();
    let folder = project("flowtop-c");
    fs::remove_file(folder.join("Cargo.lock")).unwrap();
    let consoles = follow("docs/tutorial-go-and-c.md", &place(&folder, &clang));
    assert!(consoles > 3, "{consoles}");
}

#[test]
fn the_page_of_changes_makes_each_of_them() {
    let Some(clang) = toolchain::Clang::newest() else { return };
    let _alone = alone();
    let folder = project("flowtop-change");
    // The project that the page goes on with: that of the tutorial for aya, as far as a build needs it.
    let codegen = toolchain::root().join("codegen");
    let manifest = format!(
        "[package]\nname = \"flowtop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[build-dependencies]\nmaplock-codegen = {{ path = {codegen:?} }}\n\n[workspace]\n"
    );
    let script = "fn main() -> Result<(), maplock_codegen::BuildError> {\n    maplock_codegen::Builder::new().compile(\"bpf/flowtop.bpf.c\").generate()\n}\n";
    let library = "//! Its maps.\npub mod maps {\n    include!(concat!(env!(\"OUT_DIR\"), \"/maps.rs\"));\n}\n";
    for (file, text) in [("Cargo.toml", manifest.as_str()), ("build.rs", script), ("src/lib.rs", library)] {
        fs::write(folder.join(file), text).unwrap();
    }
    let consoles = follow("docs/change.md", &place(&folder, &clang));
    assert!(consoles > 6, "{consoles}");
}
