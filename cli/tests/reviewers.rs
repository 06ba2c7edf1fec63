//! What a reviewer reads of a change that somebody accepted: the tool's output in each format, and the lock's diff. Each tells in a
//! moment what a node loses.

mod support;

use std::fs;
use std::process::Command;

use support::{Sandbox, repository};

/// A clang that compiles for eBPF; where there is none, the tests are skipped.
fn clang() -> Option<String> {
    let is_there = |name: &String| Command::new(name).arg("--version").output().is_ok();
    let found = (16..30).map(|version| format!("clang-{version}")).chain(["clang".to_owned()]).find(is_there);
    if found.is_none() {
        assert!(std::env::var_os("MAPLOCK_REQUIRE_KERNEL").is_none_or(|value| value != "1"), "needs clang");
        eprintln!("skipped: needs clang (apt-get install clang-16)");
    }
    found
}

/// A change of the map `flows`.
struct Change {
    name: &'static str,
    old: &'static str,
    new: &'static str,
    /// How it is accepted, after `accept`; nothing where `update` takes it.
    accept: &'static str,
    /// What each format says of what becomes of the entries.
    says: &'static [&'static str],
    /// What the lock's diff says.
    lock: &'static [&'static str],
}

const HASH: &str = "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __uint(pinning, 1);
    __type(key, struct key); __type(value, struct flow); } flows SEC(\".maps\");";

const CHANGES: &[Change] = &[
    Change {
        name: "a member in the middle",
        old: "struct key { __u32 a; }; struct flow { __u64 packets; __u64 seen; };\nHASH",
        new: "struct key { __u32 a; }; struct flow { __u64 packets; __u64 ttl; __u64 seen; };\nHASH",
        accept: "flows --on-upgrade migrate --default ttl=60 --reason \"flows live a minute\"",
        says: &["migrate", "`ttl` was added", "flows live a minute"],
        lock: &["on-upgrade = \"migrate\"", "flows live a minute", "\"value.ttl\" = \"60\""],
    },
    Change {
        name: "a member in padding",
        old: "struct key { __u32 a; }; struct flow { __u32 packets; __u64 seen; };\nHASH",
        new: "struct key { __u32 a; }; struct flow { __u32 packets; __u32 drops; __u64 seen; };\nHASH",
        accept: "flows --on-upgrade reuse --reason \"the old release zeroes its entries\"",
        says: &[
            "reuse",
            "written as padding, will be read as `drops` (u32): right if the old release wrote 0",
            "the old release zeroes its entries",
        ],
        lock: &["on-upgrade = \"reuse\"", "the old release zeroes its entries"],
    },
    Change {
        name: "a counter widened",
        old: "struct key { __u32 a; }; struct flow { __u32 packets; __u32 drops; };\nHASH",
        new: "struct key { __u32 a; }; struct flow { __u64 packets; __u32 drops; };\nHASH",
        accept: "flows --on-upgrade migrate --reason \"it wrapped\"",
        says: &["migrate", "`packets` grew from u32 to u64", "it wrapped"],
        lock: &["on-upgrade = \"migrate\"", "it wrapped"],
    },
    Change {
        name: "a key widened",
        old: "struct key { __u16 zone; }; struct flow { __u64 packets; };\nHASH",
        new: "struct key { __u32 zone; }; struct flow { __u64 packets; };\nHASH",
        accept: "flows --on-upgrade migrate --reason \"more zones than 65536\"",
        says: &["migrate", "`key.zone` grew from u16 to u32", "more zones than 65536"],
        lock: &["on-upgrade = \"migrate\"", "more zones than 65536"],
    },
    Change {
        name: "an enum renumbered",
        old: "enum state { OPEN, CLOSED }; struct key { __u32 a; }; struct flow { enum state state; };\nHASH",
        new: "enum state { NEW, OPEN, CLOSED }; struct key { __u32 a; }; struct flow { enum state state; };\nHASH",
        accept: "flows --on-upgrade migrate --reason \"a state before the first\"",
        says: &["migrate", "enumerator `CLOSED` of `state` is 2, it was 1", "a state before the first"],
        lock: &["on-upgrade = \"migrate\"", "a state before the first"],
    },
    Change {
        name: "a hash becomes an LRU",
        old: "struct key { __u32 a; }; struct flow { __u64 packets; };\nHASH",
        new: "struct key { __u32 a; }; struct flow { __u64 packets; };\nLRU",
        accept: "flows --on-upgrade migrate --reason \"the oldest may go\"",
        says: &[
            "migrate",
            "changed from hash to lru_hash",
            "an lru_hash may evict entries before it is full",
            "the oldest may go",
        ],
        lock: &["on-upgrade = \"migrate\"", "the oldest may go", "lru_hash"],
    },
    Change {
        name: "a map made smaller",
        old: "struct key { __u32 a; }; struct flow { __u64 packets; };\nHASH",
        new: "struct key { __u32 a; }; struct flow { __u64 packets; };\nSMALL",
        accept: "flows --on-upgrade swap --reason \"they are made anew within a minute\"",
        says: &["swap", "max_entries", "they are made anew within a minute", "given up"],
        lock: &["on-upgrade = \"swap\"", "they are made anew within a minute", "max_entries = 16"],
    },
    Change {
        name: "a map made smaller with its entries",
        old: "struct key { __u32 a; }; struct flow { __u64 packets; };\nHASH",
        new: "struct key { __u32 a; }; struct flow { __u64 packets; };\nSMALL",
        accept: "flows --on-upgrade migrate --reason \"no node has more\"",
        says: &["migrate", "max_entries", "no node has more", "refused on a node with more than 16 entries"],
        lock: &["on-upgrade = \"migrate\"", "no node has more", "max_entries = 16"],
    },
    Change {
        name: "a map renamed",
        old: "struct key { __u32 a; }; struct flow { __u64 packets; };\nHASH",
        new: "struct key { __u32 a; }; struct flow { __u64 packets; };\nTABLE",
        accept: "flow_table --renamed-from flows --reason \"it is a table\"",
        says: &["reuse", "map `flow_table` was called `flows`"],
        lock: &["[map.flow_table]", "renamed-from = [\"flows\"]"],
    },
    Change {
        name: "a struct renamed",
        old: "struct key { __u32 a; }; struct flow { __u64 packets; };\nHASH",
        new: "struct key { __u32 a; }; struct stats { __u64 packets; };\nOTHER",
        accept: "",
        says: &["reuse", "is spelled struct stats, it was struct flow"],
        lock: &["struct stats"],
    },
    Change {
        name: "an arm of a union",
        old: "struct key { __u32 a; }; struct flow { union { __u32 v4; __u32 v6[4]; }; };\nHASH",
        new: "struct key { __u32 a; }; struct flow { union { __u32 v4; __u32 v6[4]; __u64 mac; }; };\nHASH",
        accept: "flows --on-upgrade reuse --reason \"`kind` tells which\"",
        says: &[
            "reuse",
            "bytes 0..8, written as `v4` (u32) and `v6` (u32[4]), will be read as `mac` (u64)",
            "`kind` tells which",
        ],
        lock: &["on-upgrade = \"reuse\"", "`kind` tells which"],
    },
    Change {
        name: "an inner map",
        old: "OUTER(50)",
        new: "OUTER(128)",
        accept: "",
        says: &["reuse", "max_entries 50 -> 128; inner maps that are in it already keep 50"],
        lock: &["max_entries = 128"],
    },
    Change {
        name: "a member renamed",
        old: "struct key { __u32 a; }; struct flow { __u64 packets; __u64 bytes; };\nHASH",
        new: "struct key { __u32 a; }; struct flow { __u64 packets; __u64 octets; };\nHASH",
        accept: "flows --on-upgrade reuse --reason \"as the RFC calls them\"",
        says: &[
            "reuse",
            "written as `bytes` (u64), will be read as `octets` (u64): right if `octets` means what `bytes` meant",
            "as the RFC calls them",
        ],
        lock: &["on-upgrade = \"reuse\"", "as the RFC calls them"],
    },
    Change {
        name: "members swapped",
        old: "struct key { __u32 a; }; struct flow { __u32 rx; __u32 tx; };\nHASH",
        new: "struct key { __u32 a; }; struct flow { __u32 tx; __u32 rx; };\nHASH",
        accept: "flows --on-upgrade reuse --reason \"nobody reads them\"",
        says: &[
            "reuse",
            "bytes 0..4, written as `rx` (u32), will be read as `tx` (u32)",
            "bytes 4..8, written as `tx` (u32), will be read as `rx` (u32)",
            "nobody reads them",
        ],
        lock: &["on-upgrade = \"reuse\"", "nobody reads them"],
    },
];

/// The C of a release.
fn source(text: &str) -> String {
    let outer = |entries: &str| {
        format!(
            "struct {{ __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 8); __uint(pinning, 1); __type(key, __u32);
    __array(values, struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, {entries}); __type(key, __u32);
        __type(value, __u64); }}); }} flows SEC(\".maps\");"
        )
    };
    let text = text
        .replace("OUTER(50)", &outer("50"))
        .replace("OUTER(128)", &outer("128"))
        .replace("LRU", &HASH.replace("TYPE_HASH", "TYPE_LRU_HASH"))
        .replace("SMALL", &HASH.replace("max_entries, 64", "max_entries, 16"))
        .replace("TABLE", &HASH.replace("} flows", "} flow_table"))
        .replace("OTHER", &HASH.replace("struct flow", "struct stats"));
    let text = if text.ends_with("\nHASH") { text.replace("\nHASH", &format!("\n{HASH}")) } else { text };
    format!("#include \"bpf_min.h\"\n{text}\n")
}

fn compile(clang: &str, sandbox: &Sandbox, text: &str) {
    sandbox.write("flows.bpf.c", source(text));
    let mut command = Command::new(clang);
    command.current_dir(sandbox.path("")).args(["-target", "bpfel", "-O2", "-g", "-Wno-everything", "-I"]);
    command.arg(repository().join("bpf/include")).args(["-c", "flows.bpf.c", "-o", "flows.o"]);
    let output = command.output().expect("clang runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// As a format may write it.
fn plain(text: &str) -> String {
    text.replace("%0A", "\n").replace("%25", "%").replace("\\[", "[").replace("\\]", "]").replace("&lt;", "<")
}

#[test]
fn each_change_tells_in_every_format_what_a_node_loses() {
    let Some(clang) = clang() else { return };
    for change in CHANGES {
        let sandbox = Sandbox::new();
        sandbox.git_init();
        compile(&clang, &sandbox, change.old);
        let ok = |line: &str| {
            let ran = sandbox.run(line);
            assert_eq!(ran.code, Some(0), "{}: {line}: {}{}", change.name, ran.stdout, ran.stderr);
            ran.stdout
        };
        ok("init --object flows.o");
        sandbox.release("v1");
        compile(&clang, &sandbox, change.new);
        let mut seen = match change.accept {
            "" => ok("update --object flows.o"),
            accept => {
                let told = ok(&format!("accept {accept} --object flows.o"));
                // Somebody decided, and all of it is in the lock.
                assert!(!told.contains("wait for"), "{}: {told}", change.name);
                ok("check --object flows.o");
                told
            }
        };
        for format in ["human", "markdown", "github"] {
            // What the diff says is what the check before a merge says.
            let diff = ok(&format!("diff v1 flows.o --message-format {format}").replace(" flows.o", ""));
            for words in change.says {
                let is_silent = format == "github" && matches!(*words, "migrate" | "reuse" | "swap");
                assert!(is_silent || plain(&diff).contains(words), "{} in {format}: {words}\n{diff}", change.name);
            }
            seen.push_str(&format!("\n== {format} ==\n{diff}"));
        }
        let before = sandbox.ran({
            let mut git = Command::new("git");
            git.args(["diff", "-U0", "maps.lock"]).current_dir(sandbox.path(""));
            git
        });
        let added: String =
            before.stdout.lines().filter(|line| line.starts_with('+')).map(|line| format!("{line}\n")).collect();
        for words in change.lock {
            assert!(added.contains(words), "{}: the lock's diff lacks {words}:\n{added}", change.name);
        }
        insta::assert_snapshot!(change.name.replace(' ', "_"), seen);
        fs::remove_file(sandbox.path("flows.o")).expect("an object");
    }
}

/// All formats, but the page.
const FORMATS: [&str; 7] = ["human", "markdown", "github", "sarif", "gitlab", "junit", "json"];

#[test]
fn a_smaller_map_is_said_to_refuse_nodes_in_every_format() {
    let Some(clang) = clang() else { return };
    let sandbox = Sandbox::new();
    sandbox.git_init();
    let types = "struct key { __u32 a; }; struct flow { __u64 packets; };";
    compile(&clang, &sandbox, &format!("{types}\nHASH"));
    assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
    sandbox.release("v1");
    compile(&clang, &sandbox, &format!("{types}\nSMALL"));
    // Before anybody accepts it, no entry is at stake.
    for format in FORMATS {
        for line in ["diff v1:maps.lock flows.o", "check --object flows.o"] {
            let ran = sandbox.run(&format!("{line} --message-format {format}"));
            assert_eq!(ran.code, Some(100), "{line} in {format}: {}{}", ran.stdout, ran.stderr);
            assert!(!ran.stdout.contains("misread or lost"), "{line} in {format}: {}", ran.stdout);
            assert!(ran.stdout.contains("a node keeps its larger map"), "{line} in {format}: {}", ran.stdout);
            let is_refused = ran.stdout.contains("upgrade does not start") || ran.stdout.contains("refuse  ");
            assert!(!is_refused, "{line} in {format}: {}", ran.stdout);
        }
    }
    let human = sandbox.run("diff v1:maps.lock flows.o").stdout;
    assert!(human.contains("error: the new capacity of map `flows` is not accepted"), "{human}");
    // Accepted, it is refused where they do not fit, and the first line says so.
    let accept = "accept flows --on-upgrade migrate --reason \"no node has more\" --object flows.o";
    assert_eq!(sandbox.run(accept).code, Some(0));
    for format in FORMATS {
        for line in ["diff v1", "check --against v1 --object flows.o"] {
            let ran = sandbox.run(&format!("{line} --message-format {format}"));
            assert_eq!(ran.code, Some(0), "{line} in {format}: {}{}", ran.stdout, ran.stderr);
            let says = "refused on a node with more than 16 entries";
            assert!(ran.stdout.contains(says), "{line} in {format}: {}", ran.stdout);
        }
    }
    let first = sandbox.run("diff v1 --message-format markdown").stdout;
    let refuses =
        "### maplock: a node with more than 16 entries in `flows` refuses the upgrade; no pinned state is lost\n";
    assert!(first.starts_with(refuses), "{first}");
    let last = sandbox.run("check --against v1 --object flows.o").stdout;
    assert!(last.contains("a node with more than 16 entries in `flows` refuses the upgrade"), "{last}");
}

/// What stops an upgrade, and what is right on a condition alone, is said of what was accepted, too.
#[test]
fn what_a_conversion_depends_on_is_said_in_every_format() {
    let Some(clang) = clang() else { return };
    let told = |old: &str, new: &str, answers: &str| {
        let sandbox = Sandbox::new();
        sandbox.git_init();
        let value = |value: &str| {
            compile(&clang, &sandbox, &format!("struct key {{ __u32 a; }}; struct flow {{ {value} }};\nHASH"));
        };
        value(old);
        assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
        sandbox.release("v1");
        value(new);
        let accept = format!("accept flows --on-upgrade migrate{answers} --reason \"fewer bytes\" --object flows.o");
        let ran = sandbox.run(&accept);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        FORMATS.map(|format| sandbox.run(&format!("diff v1 --message-format {format}")).stdout)
    };
    let narrowed = ("__u64 bytes; __u32 packets;", "__u32 bytes; __u16 packets;");
    let narrowed = told(narrowed.0, narrowed.1, " --cast bytes=refuse --cast packets=saturate");
    for text in &narrowed {
        assert!(text.contains("a node with a number in `bytes`"), "{text}");
    }
    let refuses = "; a node with a number in `bytes` of `flows` that does not fit refuses the upgrade";
    assert!(narrowed[1].lines().next().is_some_and(|line| line.ends_with(refuses)), "{}", narrowed[1]);
    // Bytes are copied as they are, with an answer as without.
    let arms = "union { struct { __u32 v4; __u32 mask; } four; };";
    let more = "union { struct { __u32 v4; __u32 mask; } four; __u64 raw; };";
    for text in &told(arms, more, "") {
        let condition =
            ["a new arm of the union", "the new arm of the union"].map(|arm| format!("if no program reads {arm}"));
        assert!(condition.iter().any(|condition| text.contains(condition)), "{text}");
    }
}

#[test]
fn accepting_a_smaller_map_tells_no_older_conversion() {
    let Some(clang) = clang() else { return };
    let sandbox = Sandbox::new();
    let release = |value: &str, map: &str| {
        compile(&clang, &sandbox, &format!("struct key {{ __u32 a; }}; struct flow {{ {value} }};\n{map}"));
    };
    release("__u32 packets;", "HASH");
    assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
    release("__u64 packets;", "HASH");
    let accept = "accept flows --on-upgrade migrate --reason why --object flows.o";
    let told = sandbox.run(accept).stdout;
    assert!(told.contains("  member  packets  widened from u32 to u64"), "{told}");
    release("__u64 packets;", "SMALL");
    let told = sandbox.run(accept).stdout;
    assert!(told.contains("as before") && !told.contains("  member") && !told.contains("a roll-back"), "{told}");
}

#[test]
fn a_number_that_is_signed_now_is_shown_as_another() {
    let Some(clang) = clang() else { return };
    let sandbox = Sandbox::new();
    let map = |value: &str| format!("struct key {{ __u32 a; }}; struct flow {{ {value} }};\nHASH");
    compile(&clang, &sandbox, &map("__u64 packets;"));
    assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
    compile(&clang, &sandbox, &map("__s64 packets;"));
    let told = sandbox.run("diff maps.lock flows.o").stdout;
    assert!(told.contains("wrote    value: packets 18446744073709551614\nread as  value: packets -2\n"), "{told}");
    // Nothing is shown of what no entry shows.
    compile(&clang, &sandbox, &map("_Bool packets; __u8 rest[7];"));
    fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
    assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
    compile(&clang, &sandbox, &map("__u8 packets; __u8 rest[7];"));
    let told = sandbox.run("diff maps.lock flows.o").stdout;
    assert!(!told.contains(": the same"), "{told}");
}

#[test]
fn a_new_arm_of_a_union_may_stay_as_it_is_and_the_gate_offers_that() {
    let Some(clang) = clang() else { return };
    let sandbox = Sandbox::new();
    let arms =
        |more: &str| format!("struct key {{ __u32 a; }}; struct flow {{ union {{ __u32 v4; {more} }}; }};\nHASH");
    let offers = |old: &str, new: &str| {
        _ = fs::remove_file(sandbox.path("maps.lock"));
        compile(&clang, &sandbox, &arms(old));
        assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
        compile(&clang, &sandbox, &arms(new));
        let told = sandbox.run("check --object flows.o").stdout;
        assert!(told.contains("accept flows"), "{told}");
        assert!(!told.contains("old bytes are right"), "{told}");
        told.contains(
            "if no program reads the new arm from an old entry: cargo maplock accept flows --on-upgrade reuse",
        )
    };
    assert!(offers("__u32 v6[4];", "__u32 v6[4]; struct { __u8 mac[6]; __u16 vlan; };"));
    // An old arm that is not what it was is misread by whoever takes it.
    assert!(!offers("__u32 v6[4];", "__u64 v6[2]; __u8 mac[6];"));
    assert!(!offers("__u32 v6[4];", "__u8 mac[16];"));
    // Nor is what an old arm has got a new arm: who takes that arm reads what nobody wrote there.
    let (old, new) = ("__u32 v6[4]; struct { __u32 mark; };", "__u32 v6[4]; struct { __u32 mark; __u16 port; };");
    assert!(!offers(old, new));
}

#[test]
fn the_first_line_names_few_maps_and_counts_many() {
    let Some(clang) = clang() else { return };
    let sandbox = Sandbox::new();
    let map = |name: &str, value: &str, kind: u32| {
        format!("struct {name}_value {{ {value} }};\nstruct {{ __uint(type, {kind}); __uint(max_entries, 8); __uint(pinning, 1);
            __type(key, __u32); __type(value, struct {name}_value); }} {name} SEC(\".maps\");\n")
    };
    let release = |changed: &str| {
        // A hash, and one of which the kernel drops entries.
        let names = [("one", 1), ("two", 1), ("three", 9), ("four", 1)];
        let maps = names.map(|(name, kind)| {
            let value = match (name, changed.contains(name)) {
                (_, false) => "__u64 packets; __u32 drops;",
                ("two", true) => "__u64 packets;",
                (_, true) => "__u64 more; __u64 packets; __u32 drops;",
            };
            map(name, value, kind)
        });
        compile(&clang, &sandbox, &maps.concat());
    };
    let of = |changed: &str, accepts: &[&str]| {
        _ = fs::remove_file(sandbox.path("maps.lock"));
        release("");
        assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
        fs::copy(sandbox.path("maps.lock"), sandbox.path("old.lock")).expect("a lock");
        release(changed);
        for accept in accepts {
            let ran = sandbox.run(&format!("accept {accept} --reason why --object flows.o"));
            assert_eq!(ran.code, Some(0), "{accept}: {}{}", ran.stdout, ran.stderr);
        }
        let told = sandbox.run("diff old.lock maps.lock --message-format markdown").stdout;
        told.lines().next().expect("a line").to_owned()
    };
    let swap = "one --on-upgrade swap";
    assert_eq!(of("one", &[swap]), "### maplock: entries of `one` are given up; no pinned state is misread");
    let ways = [swap, "two --on-upgrade migrate", "three --on-upgrade migrate", "four --on-upgrade swap"];
    assert_eq!(
        of("one two three four", &ways),
        "### maplock: 2 maps are given up, as was accepted; 1 map may lose parts of its entries, 1 may lose entries to the kernel"
    );
}

#[test]
fn what_loses_nothing_and_asks_for_nothing_is_a_notice_unless_the_configuration_raises_it() {
    let Some(clang) = clang() else { return };
    let sandbox = Sandbox::new();
    sandbox.write("maplock.toml", "");
    let lock = |text: &str, name: &str| {
        _ = fs::remove_file(sandbox.path("maps.lock"));
        compile(&clang, &sandbox, text);
        assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
        fs::copy(sandbox.path("maps.lock"), sandbox.path(name)).expect("a lock");
    };
    let told = |old: &str, new: &str, levels: &str| {
        sandbox.write("maplock.toml", "");
        lock(old, "old.lock");
        lock(new, "new.lock");
        sandbox.write("maplock.toml", levels);
        let ran = sandbox.run("diff old.lock new.lock --config maplock.toml --message-format github");
        ran.stdout.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let spelling = [
        "struct key { __u32 a; }; struct flow { __u64 packets; };\nHASH",
        "struct key { __u32 a; }; struct stats { __u64 packets; };\nOTHER",
    ];
    assert_eq!(told(spelling[0], spelling[1], ""), ["::notice"]);
    assert_eq!(told(spelling[0], spelling[1], "type-spelling-changed = \"deny\"\n"), ["::error"]);
    assert_eq!(told("OUTER(50)", "OUTER(128)", ""), ["::notice"]);
    // Allowed, unless somebody wants to see it.
    let states = |names: &str| {
        format!("enum state {{ {names} }}; struct key {{ __u32 a; }}; struct flow {{ enum state state; }};\nHASH")
    };
    let (old, new) = (states("OPEN, CLOSED"), states("OPEN, CLOSED, GONE"));
    assert_eq!(told(&old, &new, ""), [""; 0]);
    assert_eq!(told(&old, &new, "enum-value-added = \"warn\"\n"), ["::warning"]);
    // The pinned map keeps its size: new programs have less room than they ask for.
    let bloom = |entries: u32| {
        format!(
            "struct {{ __uint(type, BPF_MAP_TYPE_BLOOM_FILTER); __uint(max_entries, {entries}); __uint(pinning, 1);
            __type(value, __u32); }} flows SEC(\".maps\");"
        )
    };
    assert_eq!(told(&bloom(1024), &bloom(4096), ""), ["::warning"]);
}
