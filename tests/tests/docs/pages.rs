//! The blocks of the pages that show no story: configuration, the lock, rules, kernels, Kubernetes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use maplock_layout::config::Scope;
use maplock_layout::rules::Level;
use maplock_layout::{Config, Lock};

use super::tutorials::place;
use super::{Block, Place, blocks, kernel, stage, toolchain};

fn of<'a>(all: &'a [Block], language: &str) -> Vec<&'a Block> {
    all.iter().filter(|block| block.language == language).collect()
}

#[test]
fn the_page_of_the_configuration_sets_what_it_says() {
    let all = blocks("docs/configuration.md");
    let [first, second] = &all[..] else { panic!("two blocks") };
    let read = |block: &Block| {
        let mut config = Config::default();
        assert_eq!(block.language, "toml");
        assert!(config.read(&block.text, Scope::Package).unwrap(), "{}", block.text);
        config
    };
    let config = read(first);
    assert!(config.pinned.contains("tokens") && config.ephemeral.contains("scratch"));
    let renamed = maplock_layout::rules::find("member-renamed").unwrap();
    assert_eq!(config.levels.of(renamed), Level::Warn);
    assert_ne!(Config::default().levels.of(renamed), Level::Warn);
    let recent = &config.bindings["recent"];
    assert_eq!(recent.key.as_deref(), Some("struct flow_key"));
    assert_eq!(recent.value.as_deref(), Some("struct flow_stats"));
    assert!(recent.runtime_capacity);
    assert!(read(second).bindings["stats"].user_never_deletes);
}

/// A git repository with the program of the tutorials, and its lock, which is committed.
struct Flowtop<'a> {
    place: Place<'a>,
    source: String,
}

impl<'a> Flowtop<'a> {
    fn new(folder: &'a Path, clang: &toolchain::Clang) -> Self {
        let all = blocks("docs/tutorial-aya.md");
        let source = of(&all, "c")[0].text.clone();
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("maplock.toml"), "objects = [\"flowtop.o\"]\n").unwrap();
        let flowtop = Self { place: place(folder, clang), source };
        flowtop.compile(&flowtop.source);
        flowtop.succeeds("git init -q && cargo maplock init && git add -A && git commit -q -m x");
        flowtop
    }

    fn compile(&self, source: &str) {
        fs::write(self.place.cwd.join("flowtop.c"), source).unwrap();
        self.succeeds("clang -target bpf -O2 -g -I/usr/include/$(uname -m)-linux-gnu -c flowtop.c -o flowtop.o");
    }

    fn succeeds(&self, command: &str) -> String {
        let said = self.place.say(&format!("{{ {}\n}} && echo done", command.trim_end()));
        said.strip_suffix("done\n").unwrap_or_else(|| panic!("{command}\n{said}")).to_owned()
    }

    fn fails(&self, command: &str) -> String {
        let said = self.place.say(&format!("{command} || echo failed"));
        said.strip_suffix("failed\n").unwrap_or_else(|| panic!("{command}\n{said}")).to_owned()
    }

    fn lock(&self) -> Lock {
        Lock::parse(&fs::read_to_string(self.place.cwd.join("maps.lock")).unwrap()).unwrap()
    }
}

#[test]
fn the_commands_of_the_lock_s_page_do_what_it_says() {
    let Some(clang) = toolchain::Clang::newest() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path().join("flowtop");
    let flowtop = Flowtop::new(&cwd, &clang);
    let all = blocks("docs/lockfile.md");
    let [answers, driver] = of(&all, "sh")[..] else { panic!("two blocks of commands") };

    let [renamed, dropped] = answers.text.lines().collect::<Vec<_>>()[..] else { panic!("two answers") };
    let other = flowtop.source.replace("flows", "flow_table");
    let none = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\nstruct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __uint(pinning, LIBBPF_PIN_BY_NAME); __type(key, __u32); __type(value, __u32); } left SEC(\".maps\");\n";
    for (source, answer) in [(other.as_str(), renamed), (none, dropped)] {
        flowtop.compile(source);
        assert!(flowtop.fails("cargo maplock check").contains("map-removed"));
        flowtop.succeeds(answer);
        flowtop.succeeds("cargo maplock update && cargo maplock check && cargo maplock check --against HEAD");
        let lock = flowtop.lock();
        if answer == renamed {
            assert_eq!(lock.maps["flow_table"].renamed_from, ["flows"]);
        } else {
            assert!(lock.to_string().contains("[gone.flows]"), "{lock}");
        }
        flowtop.succeeds("git checkout -q maps.lock");
    }
    flowtop.compile(&flowtop.source);

    // What `init` says, with the same line.
    let said = flowtop.succeeds("git config merge.maplock.driver other && cargo maplock init --add merge-driver");
    assert!(said.contains(driver.text.trim_end()), "{said}");
    flowtop.succeeds(&driver.text);
    let set = flowtop.succeeds("git config --get merge.maplock.driver");
    assert!(driver.text.contains(&format!("\"{}\"", set.trim_end())), "{set}");
}

#[test]
fn the_commands_of_the_rules_do_what_they_say() {
    let Some(clang) = toolchain::Clang::newest() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path().join("flowtop");
    let flowtop = Flowtop::new(&cwd, &clang);
    let all = blocks("docs/rules.md");
    let mut merges = Vec::new();
    for block in of(&all, "sh") {
        flowtop.succeeds(&block.text);
        flowtop.succeeds("cargo maplock check");
        let merge = flowtop.lock().maps["flows"].merge.clone();
        merges.push(format!("{merge:?}"));
    }
    // One sums a member, and the other says that it is not summed.
    assert!(
        merges.len() == 2 && merges[0] != merges[1] && merges.iter().all(|merge| merge.contains("packets")),
        "{merges:?}"
    );
}

#[test]
fn the_gate_of_any_other_ci_is_the_command_of_the_recipes() {
    let Some(clang) = toolchain::Clang::newest() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path().join("flowtop");
    let flowtop = Flowtop::new(&cwd, &clang);
    let all = blocks("docs/ci-recipes.md");
    let gate = of(&all, "sh").pop().unwrap();
    flowtop.succeeds("git update-ref refs/remotes/origin/main HEAD");
    let said = flowtop.succeeds(&gate.text);
    assert_eq!(said, "maps.lock against origin/main: 1 map, no break\n");
    // A change that nobody accepted.
    flowtop.compile(&flowtop.source.replace("    __u64 bytes;", "    __u32 drops;\n    __u64 bytes;"));
    flowtop.succeeds("rm maps.lock && cargo maplock init");
    let said = flowtop.place.say(&format!("{}; echo $?", gate.text.trim_end()));
    assert!(said.contains("member-added") && said.ends_with("\n100\n"), "{said}");
}

/// The commands that boot kernels: each is taken by the script, up to the machine, which is not there.
#[test]
fn the_page_of_kernels_names_what_runs_there() {
    let all = blocks("docs/kernels.md");
    let root = toolchain::root();
    let place = Place { env: vec![("QEMU", "nowhere".into())], ..Place::new(&root) };
    let commands: Vec<&str> = of(&all, "sh").into_iter().flat_map(|block| block.text.lines()).collect();
    assert_eq!(commands.len(), 4);
    for command in &commands {
        assert!(command.starts_with("tests/kernels/run "), "{command}");
        let said = place.say(command);
        assert!(said.contains("nowhere is not installed"), "{command}\n{said}");
        for path in command.split_whitespace().filter(|word| word.contains('/')) {
            assert!(root.join(path).exists(), "there is no {path}");
        }
    }
    // It is what the page on trying an upgrade runs here.
    let (_, program) = commands[3].split_once(" -- ").unwrap();
    assert!(blocks("docs/test-upgrade.md")[0].text.starts_with(&format!("$ {program} ")), "{program}");
    let [list] = of(&all, "text")[..] else { panic!("one list") };
    let mut kinds = Vec::new();
    for line in list.text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = line.split_whitespace().collect();
        let [kind, name, seconds, ..] = words[..] else { panic!("{line}") };
        assert!(seconds.parse::<u32>().is_ok() && !line.contains('#'), "{line}");
        kinds.push(kind);
        if kind == "test" {
            let module = words[3].strip_suffix("::").expect("a module");
            let file = root.join("tests/tests").join(name).join(module);
            assert!(file.is_dir() || file.with_extension("rs").is_file(), "{line}");
        } else {
            let help = Command::new(toolchain::built(name, name)).args(&words[3..]).arg("--help").output().unwrap();
            assert!(help.status.success(), "{line}");
        }
    }
    assert_eq!(kinds, ["run", "test"]);
}

/// A kubectl that knows what the page asks for, of two pods on nodes that share the pins of this test. What it takes to be there is what
/// deploy/minimesh.yaml has.
const KUBECTL: &str = r#"#!/bin/sh
case "$*" in
"-n minimesh logs -l app.kubernetes.io/name=minimesh -c plan")
    exec maplock plan --lock /etc/minimesh/maps.lock --pins /sys/fs/bpf/minimesh ;;
"-n minimesh get pods -o name")
    printf 'pod/minimesh-a\npod/minimesh-b\n' ;;
"-n minimesh get pod/minimesh-"[ab]" -o jsonpath={.spec.nodeName}")
    printf 'node-%s' "${4##*-}" ;;
"-n minimesh exec pod/minimesh-"[ab]" -c minimesh -- maplock "*)
    shift 7
    exec "$@" ;;
*)
    echo "kubectl: $*?"
    exit 1 ;;
esac
"#;

#[test]
fn the_page_on_kubernetes_looks_at_every_node() {
    if !kernel::available() {
        return;
    }
    let manifest = fs::read_to_string(toolchain::root().join("deploy/minimesh.yaml")).unwrap();
    for part in ["namespace: minimesh\n", "app.kubernetes.io/name: minimesh\n", "- name: plan\n", "- name: minimesh\n"]
    {
        assert!(manifest.contains(part), "{part}");
    }
    let bpffs = kernel::Bpffs::mount();
    let pins = bpffs.path().join("minimesh");
    stage("maps.lock", &pins).commit().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let programs = tempfile::tempdir().unwrap();
    let lock = toolchain::root().join("minimesh/releases/v2.lock").display().to_string();
    let place = Place {
        replaced: vec![("/sys/fs/bpf", bpffs.path().display().to_string()), ("/etc/minimesh/maps.lock", lock)],
        programs: Some(programs.path().to_owned()),
        ..Place::new(folder.path())
    };
    program(&place, "kubectl", KUBECTL);
    let all = blocks("docs/kubernetes.md");
    let ([logs], [look]) = (&of(&all, "console")[..], &of(&all, "sh")[..]) else { panic!("one of each") };
    let said = place.say(logs.text.strip_prefix("$ ").unwrap());
    assert!(said.contains("backends") && said.contains("max_entries 64 -> 4096"), "{said}");
    let said = place.say(&look.text);
    let rows: Vec<_> = said.lines().filter(|line| line.starts_with("node-")).map(super::narrow).collect();
    let planned = "grow backends, create drops";
    assert!(
        rows.len() == 2 && rows[0].starts_with("node-a  1") && rows.iter().all(|row| row.contains(planned)),
        "{said}"
    );
    assert!(said.ends_with("2 nodes, 0 as planned, 2 to be upgraded, 0 held back\n"), "{said}");
}

/// Writes a program for the commands of a page.
fn program(place: &Place<'_>, name: &str, script: &str) {
    let file = place.programs.as_ref().unwrap().join(name);
    fs::write(&file, place.inside(script)).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A systemctl that knows one command: to start the unit's daemon anew, as far as to what goes before it.
pub(super) fn systemctl(place: &Place<'_>, unit: &Block) {
    let first = unit.text.lines().find_map(|line| line.strip_prefix("ExecStartPre=/usr/bin/")).unwrap();
    program(place, "systemctl", &format!("#!/bin/sh\n[ \"$*\" = 'restart minimesh' ] && {first} >/dev/null\n"));
}

/// The unit of a daemon, as systemd reads it, with the programs of this tree in the place of those of a node.
pub(super) fn verify(unit: &Block) {
    if !toolchain::has("systemd-analyze") {
        toolchain::skip("systemd-analyze (systemd)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("minimesh.service");
    let text = ["maplock", "minimesh"].iter().fold(unit.text.clone(), |text, program| {
        let package = if *program == "maplock" { "cargo-maplock" } else { program };
        let here = toolchain::built(package, program).display().to_string();
        text.replace(&format!("/usr/bin/{program} "), &format!("{here} "))
    });
    fs::write(&file, &text).unwrap();
    // The daemon takes these arguments.
    let start = text.replace("\\\n", "");
    let start = start.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let mut words = start.split_whitespace();
    let taken = Command::new(words.next().unwrap()).args(words).arg("--help").output().unwrap();
    assert!(taken.status.success(), "{start}\n{}", String::from_utf8_lossy(&taken.stderr));
    let said = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let told = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && !told.contains("minimesh.service:"), "{told}");
}
