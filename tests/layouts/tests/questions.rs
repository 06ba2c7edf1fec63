//! What `accept --on-upgrade migrate` asks, over changes that people make: the whole command that it suggests works as it is typed, and
//! every format says what was answered.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use maplock_layout_tests::toolchain::{Clang, Order, built, run};

/// What is to come of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// Nothing.
    Nothing,
    /// Questions that each have an answer to begin with, which is this at last.
    First(&'static str),
    /// What the author alone knows.
    Author,
}

/// A change: members of the key and of the value before and after.
type Change = (&'static str, [&'static str; 2], [&'static str; 2], Asks);

const CHANGES: [Change; 22] = [
    ("a member is new", ["u32 a;", "u32 a;"], ["u64 n;", "u64 n; u32 m;"], Asks::Nothing),
    ("a member is gone", ["u32 a;", "u32 a;"], ["u64 n; u64 gone;", "u64 n;"], Asks::Nothing),
    ("a struct is gone", ["u32 a;", "u32 a;"], ["u64 n; struct { u32 x; u32 y; } in;", "u64 n;"], Asks::Nothing),
    (
        "padding is taken",
        ["u32 a;", "u32 a;"],
        ["u32 n; u8 m; u8 _pad[3];", "u32 n; u8 m; u8 f; u8 _pad[2];"],
        Asks::Nothing,
    ),
    ("a name is shorter", ["u32 a;", "u32 a;"], ["u64 n; char name[16];", "u64 n; char name[8];"], Asks::Nothing),
    ("a name at the same bytes", ["u32 a;", "u32 a;"], ["u64 n; u32 old;", "u64 n; u32 other;"], Asks::First("rename")),
    ("two names", ["u32 a;", "u32 a;"], ["u64 n; u32 x; u64 y;", "u64 n; u32 v; u64 w;"], Asks::First("rename")),
    ("numbers that may not fit", ["u32 a;", "u32 a;"], ["u64 n; u64 m;", "u64 n; u8 m;"], Asks::First("cast")),
    ("another unit", ["u32 a;", "u32 a;"], ["u64 n; u64 at_ns;", "u64 n; u64 at_us;"], Asks::First("scale")),
    ("regrouped", ["u32 a;", "u32 a;"], ["u32 ip[4];", "u64 ip[2];"], Asks::First("rename")),
    (
        "other arms",
        ["u32 a;", "u32 a;"],
        ["union { u32 x; u64 y; } u;", "union { u64 z; u8 w[8]; } u;"],
        Asks::First("rename"),
    ),
    ("an enumerator is gone", ["u32 a;", "u32 a;"], ["enum e { A, B, C } e;", "enum e { A, B } e;"], Asks::Author),
    ("another shape", ["u32 a;", "u32 a;"], ["u64 n; char *at;", "u64 n; char at[32];"], Asks::Author),
    ("padding of the key is named", ["u64 a; u32 b;", "u64 a; u32 b; u32 c;"], ["u64 n;", "u64 n;"], Asks::Nothing),
    (
        "padding of the key is packed",
        ["u64 a; u32 b;", "u64 a; u32 b; } __attribute__((packed)); struct other {"],
        ["u64 n;", "u64 n;"],
        Asks::First("collide"),
    ),
    (
        "the key is a union's arm now",
        ["u64 a;", "union { u64 cookie; u32 ip[4]; } of;"],
        ["u64 n;", "u64 n;"],
        Asks::First("rename"),
    ),
    (
        "the key's union is its bytes",
        ["u32 p; union { u32 v4; u8 v6[16]; } u;", "u32 p; u8 ip[16];"],
        ["u64 n;", "u64 n;"],
        Asks::First("rename"),
    ),
    ("the key has a member more", ["u32 a;", "u32 a; u32 zone;"], ["u64 n;", "u64 n;"], Asks::First("default")),
    ("the key has a member less", ["u32 a; u32 b;", "u32 a;"], ["u64 n;", "u64 n;"], Asks::First("collide")),
    ("nothing is left of the key", ["char path[64];", "u32 inode; u32 device;"], ["u64 n;", "u64 n;"], Asks::Author),
    ("another member in the key", ["char path[64]; u32 m;", "u32 inode; u32 m;"], ["u64 n;", "u64 n;"], Asks::Author),
    ("key and value", ["u32 a; u32 b;", "u32 a; u64 c;"], ["u64 at_ns;", "u64 at_ms; u64 m;"], Asks::Author),
];

/// A map of the same kind before and after.
const HASHES: [&str; 2] = ["__uint(type, BPF_MAP_TYPE_HASH);"; 2];

struct Case {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Case {
    /// A lock of the first release, and the second one's object.
    fn new(clang: &Clang, keys: [&str; 2], values: [&str; 2]) -> Self {
        Self::of(clang, keys, values, HASHES)
    }

    /// With what the map's declaration begins with, before and after.
    fn of(clang: &Clang, keys: [&str; 2], values: [&str; 2], heads: [&str; 2]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        for (at, name) in ["old", "new"].into_iter().enumerate() {
            let (key, value, head) = (keys[at], values[at], heads[at]);
            let most = if head.contains("max_entries") { "" } else { "__uint(max_entries, 64);" };
            let source = format!(
                "#include \"bpf_min.h\"\n#define u8 __u8\n#define u32 __u32\n#define u64 __u64\nstruct k {{ {key} }};\nstruct v {{ {value} }};\nstruct {{ {head} {most} \
                 __uint(pinning, 1); __type(key, struct k); __type(value, struct v); }} flows SEC(\".maps\");\n"
            );
            let (file, object) = (path.join(format!("{name}.c")), path.join(format!("{name}.o")));
            fs::write(&file, source).expect("a file");
            clang.compile(Order::Little, &file, &object);
        }
        let case = Self { _folder: folder, path };
        let init = case.run("init --object old.o --lock maps.lock");
        assert!(init.status.success(), "{}", text(&init.stderr));
        case
    }

    fn run(&self, line: &str) -> Output {
        self.shell(&format!("cargo maplock {line}"))
    }

    /// A line as it is typed, where `cargo maplock` is the tool of this tree.
    fn shell(&self, line: &str) -> Output {
        let line = line.replacen("cargo maplock", "\"$TOOL\" maplock", 1);
        let mut command = Command::new("sh");
        command.args(["-c", &line]).current_dir(&self.path).env("TOOL", tool());
        for foreign in ["CI", "MAPLOCK_LOCKED", "MAPLOCK_GATE", "NO_COLOR", "CLICOLOR_FORCE"] {
            command.env_remove(foreign);
        }
        command.output().expect("a shell")
    }

    fn lock(&self) -> String {
        fs::read_to_string(self.path.join("maps.lock")).expect("a lock")
    }
}

fn tool() -> &'static Path {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| built("cargo-maplock", "cargo-maplock"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The command behind a word of the help.
fn suggested<'t>(told: &'t str, begins: &str) -> Option<&'t str> {
    let line = told.lines().find(|line| line.contains(begins))?;
    line.find("cargo maplock").map(|at| &line[at..])
}

const ACCEPT: &str = "accept flows --on-upgrade migrate --reason \"it's so\" --object new.o --lock maps.lock";

#[test]
fn the_whole_command_that_is_suggested_works_as_it_is_typed() {
    let Some(clang) = Clang::newest() else { return };
    for (what, keys, values, asks) in CHANGES {
        let case = Case::new(&clang, keys, values);
        let before = case.lock();
        let asked = case.run(ACCEPT);
        let told = text(&asked.stderr);
        let first = suggested(&told, "with the first answer");
        match asks {
            Asks::Nothing => assert!(asked.status.success(), "{what}: {told}"),
            Asks::First(option) => {
                assert!(!asked.status.success() && case.lock() == before, "{what}");
                let command = first.unwrap_or_else(|| panic!("{what}: {told}"));
                assert!(command.contains(&format!(" --{option} ")), "{what}: {command}");
                let typed = case.shell(command);
                assert!(typed.status.success(), "{what}: {command}: {}", text(&typed.stderr));
            }
            Asks::Author => {
                assert!(!asked.status.success() && case.lock() == before, "{what}");
                assert!(
                    first.is_none() && told.contains("is safe in every case: choose one yourself"),
                    "{what}: {told}"
                );
            }
        }
        if asks == Asks::Nothing {
            continue;
        }
        // The other way on works too.
        fs::write(case.path.join("maps.lock"), before).expect("a lock");
        let command = suggested(&told, "written by yourself").unwrap_or_else(|| panic!("{what}: {told}"));
        let typed = case.shell(command);
        assert!(typed.status.success(), "{what}: {command}: {}", text(&typed.stderr));
        assert!(case.lock().contains("by-hand = true"), "{what}");
    }
}

/// Changes of a map's declaration beside those of its members: what follows its key and value, before and after.
const ATTRIBUTES: [(&str, [&str; 2]); 5] = [
    ("of another type", ["__uint(type, BPF_MAP_TYPE_HASH);", "__uint(type, BPF_MAP_TYPE_PERCPU_HASH);"]),
    ("of an array's keys", ["__uint(type, BPF_MAP_TYPE_HASH);", "__uint(type, BPF_MAP_TYPE_ARRAY);"]),
    ("that evicts", ["__uint(type, BPF_MAP_TYPE_HASH);", "__uint(type, BPF_MAP_TYPE_LRU_HASH);"]),
    (
        "of fewer entries",
        ["__uint(type, BPF_MAP_TYPE_HASH);", "__uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8);"],
    ),
    ("with flags", ["__uint(type, BPF_MAP_TYPE_HASH);", "__uint(type, BPF_MAP_TYPE_HASH); __uint(map_flags, 128);"]),
];

/// Values with what the kernel owns, or with another meaning.
const OTHERS: [Change; 5] = [
    (
        "a timer",
        ["u32 a;", "u32 a;"],
        [
            "struct bpf_timer { u64 opaque[2]; } __attribute__((aligned(8))) t; u64 n;",
            "struct bpf_timer { u64 opaque[2]; } __attribute__((aligned(8))) t; u64 n; u64 m;",
        ],
        Asks::Author,
    ),
    (
        "a timer that goes",
        ["u32 a;", "u32 a;"],
        ["struct bpf_timer { u64 opaque[2]; } __attribute__((aligned(8))) t; u64 n;", "u64 n;"],
        Asks::Author,
    ),
    ("a lock", ["u32 a;", "u32 a;"], ["u64 n;", "struct bpf_spin_lock { u32 val; } l; u64 n;"], Asks::Author),
    (
        "another meaning",
        ["u32 a;", "u32 a;"],
        ["u64 n;", "u64 n; } __attribute__((btf_decl_tag(\"maplock:version=2\"))); struct other {"],
        Asks::Author,
    ),
    ("no member of the key", ["u64 a;", "u64 b; u64 c;"], ["u64 n;", "u64 n; u64 m;"], Asks::Author),
];

/// The commands that a report offers, without what says nothing but their purpose.
fn offered(told: &str) -> Vec<&str> {
    let helps = told.lines().filter_map(|line| line.find("cargo maplock").map(|at| &line[at..]));
    helps.filter(|line| line.contains(" accept ") || line.contains(" explain ")).collect()
}

#[test]
fn every_command_that_a_report_offers_is_taken_or_leads_to_one_that_is() {
    let Some(clang) = Clang::newest() else { return };
    let members = CHANGES.iter().chain(&OTHERS).map(|(what, keys, values, _)| (*what, *keys, *values, HASHES));
    let attributes = ATTRIBUTES.iter().flat_map(|(what, heads)| {
        let plain = (*what, ["u32 a;", "u32 a;"], ["u64 n;", "u64 n;"], *heads);
        [plain, (*what, ["u32 a;", "u32 a;"], ["u64 n;", "u64 n; u32 m;"], *heads)]
    });
    let mut kinds = std::collections::BTreeMap::<_, usize>::new();
    for (what, keys, values, heads) in members.chain(attributes) {
        let case = Case::of(&clang, keys, values, heads);
        let before = case.lock();
        for verb in ["check", "update"] {
            let reported = case.run(&format!("{verb} --object new.o --lock maps.lock"));
            let told = text(&[reported.stdout, reported.stderr].concat());
            if reported.status.success() {
                fs::write(case.path.join("maps.lock"), &before).expect("a lock");
                continue;
            }
            for command in offered(&told) {
                let typed = case.shell(command);
                let said = text(&typed.stderr);
                let kind = if command.contains(" --by-hand ") { "by hand" } else { "plain" };
                if typed.status.success() {
                    *kinds.entry((kind, "taken")).or_default() += 1;
                } else {
                    // Another command is suggested then, and that one is taken.
                    let asks = said.contains("answered");
                    let next =
                        suggested(&said, "with the first answer").or_else(|| suggested(&said, "written by yourself"));
                    let next = next.filter(|_| asks).unwrap_or_else(|| panic!("{what}: {command}: {said}"));
                    let again = case.shell(next);
                    assert!(again.status.success(), "{what}: {command}: {next}: {}", text(&again.stderr));
                    *kinds.entry((kind, "asked")).or_default() += 1;
                }
                if command.contains(" accept ") {
                    let again = case.run("check --object new.o --lock maps.lock");
                    assert!(again.status.success(), "{what}: {command}: {}", text(&again.stdout));
                }
                fs::write(case.path.join("maps.lock"), &before).expect("a lock");
            }
        }
    }
    let count = |kind: &str, how: &str| kinds.get(&(kind, how)).copied().unwrap_or_default();
    assert!(count("plain", "taken") > 60 && count("plain", "asked") > 20, "{kinds:?}");
    assert!(count("by hand", "taken") > 4 && count("by hand", "asked") == 0, "{kinds:?}");
}

#[test]
fn what_was_answered_is_shown_in_every_format() {
    let Some(clang) = Clang::newest() else { return };
    let values = ["u64 seen_ns; u64 bytes;", "u64 seen_us; u32 bytes; u32 weight;"];
    let case = Case::new(&clang, ["u32 a; u32 b;", "u32 a;"], values);
    let git = |line: &str| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(line.split(' ')).current_dir(&case.path);
        run(&mut command);
    };
    fs::write(case.path.join("old.lock"), case.lock()).expect("a lock");
    git("init -q");
    git("add maps.lock");
    git("commit -qm released");
    let answers =
        "--default weight=7 --scale seen_us=1/1000 --rename seen_us=seen_ns --cast bytes=saturate --collide sum";
    let wanted = [
        "weight: added as 7",
        "seen_us: renamed from `value.seen_ns`, divided by 1000",
        "bytes: cast from u64 to u32: the nearest number if one does not fit",
        "entries whose keys become one: counts are added up, and of the rest one stays",
        "key.b: dropped",
    ];
    let last = "`key.b` of `flows` is given up, old numbers over 4294967295 in `bytes` of `flows` become 4294967295, \
                `seen_us` of `flows` is divided by 1000 and rounded down, entries of `flows` whose keys become one are put \
                together; no pinned state is misread";
    let lines = [
        format!("{ACCEPT} {answers}"),
        "check --against HEAD --lock maps.lock".to_owned(),
        "diff old.lock maps.lock".to_owned(),
    ];
    for line in lines {
        for format in ["human", "markdown", "github", "json"] {
            let ran = case.run(&format!("{line} --message-format {format}"));
            let told = text(&ran.stdout);
            assert!(ran.status.success(), "{line} {format}: {told}{}", text(&ran.stderr));
            for wanted in wanted {
                // A table of the plain text stands apart by columns; in JSON, some are words of their own.
                let words: Vec<_> = wanted.split(": ").collect();
                let is_shown = words.iter().all(|word| told.contains(word));
                let has_field = format == "json" && told.contains("\"collide\":\"sum\"");
                assert!(is_shown || has_field, "{line} {format}: {wanted} in {told}");
            }
            assert!(!line.starts_with("diff") || format == "github" || told.contains(last), "{format}: {told}");
        }
    }
}
