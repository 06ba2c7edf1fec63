//! The verbs on objects and a lock, without Cargo.

mod support;

use std::fs;
use std::process::Command;

use maplock_layout::Lock;
use support::{Sandbox, compile, object};

const V1: &str = "bpf/minimesh/v1/minimesh.bpf.o";
const V2: &str = "bpf/minimesh/v2/minimesh.bpf.o";
const V3: &str = "bpf/minimesh/v3/minimesh.bpf.o";

/// With the lock of v1.
fn released() -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    assert_eq!(sandbox.run(&format!("init --object {V1}")).code, Some(0));
    sandbox
}

#[test]
fn init_writes_the_first_lock_and_never_a_second() {
    let sandbox = Sandbox::with_minimesh();
    let init = format!("init --object {V1}");
    insta::assert_snapshot!(sandbox.transcript(&[&init, &init, &format!("check --object {V1}")]));
    insta::assert_snapshot!("first_lock", sandbox.read("maps.lock"));
}

#[test]
fn update_enters_safe_changes() {
    let sandbox = released();
    let (check, update) = (format!("check --object {V2}"), format!("update --object {V2}"));
    insta::assert_snapshot!(sandbox.transcript(&[&check, &update, &update, &check]));
}

#[test]
fn a_break_is_refused_and_nothing_is_written() {
    let sandbox = released();
    let before = sandbox.read("maps.lock");
    insta::assert_snapshot!(sandbox.transcript(&[&format!("check --object {V3}")]));
    let update = sandbox.run(&format!("update --object {V3}"));
    assert_eq!(update.code, Some(100));
    assert_eq!(update.stdout, sandbox.run(&format!("check --object {V3}")).stdout);
    assert_eq!(sandbox.read("maps.lock"), before);
}

#[test]
fn a_break_is_accepted_amended_and_undone() {
    let sandbox = released();
    let before = sandbox.read("maps.lock");
    let of = |reason: &str, way: &str| format!("accept stats --on-upgrade {way} --reason \"{reason}\" --object {V3}");
    insta::assert_snapshot!(sandbox.transcript(&[
        &of("counters wrapped at 4 billion", "migrate"),
        &format!("update --object {V3}"),
        &of("counters may start anew", "swap"),
        &format!("check --object {V3}"),
        "diff bpf/minimesh/v1/minimesh.bpf.o maps.lock",
    ]));
    insta::assert_snapshot!("accepted_lock", sandbox.read("maps.lock"));
    insta::assert_snapshot!("undo", sandbox.transcript(&["accept stats --undo", "accept stats --undo"]));
    let undone = sandbox.run(&format!("check --object {V1}"));
    assert_ne!(undone.code, Some(0), "`update` entered what v2 brought as well");
    let stats = |lock: &str| Lock::parse(lock).expect("a lock").maps["stats"].clone();
    assert_eq!(stats(&sandbox.read("maps.lock")), stats(&before));
}

#[test]
fn members_that_both_releases_count_are_summed_for_the_life_of_the_map() {
    let sandbox = released();
    let of = |way: &str, more: &str| {
        format!("accept stats --on-upgrade {way} --reason \"wrapped at 4 billion\"{more} --object {V3}")
    };
    insta::assert_snapshot!(sandbox.transcript(&[
        "accept stats --merge connection=sum",
        "accept stats --merge connections=max",
        "accept stats --merge connections",
        "accept stat --merge connections=sum",
        "accept stats --merge connections=sum --merge-once passed_over=sum",
        "accept stats --merge connections=none",
        "accept stats --merge connections=sum --merge last_seen=sum",
        "accept stats --merge last_seen=none --reason \"a time\"",
        &of("swap", " --merge-once connections=sum"),
        &of("migrate", " --merge passed_over=sum"),
        &format!("update --object {V3}"),
        "diff bpf/minimesh/v1/minimesh.bpf.o maps.lock",
        &of("migrate", " --merge-once passed_over=none"),
        "diff bpf/minimesh/v1/minimesh.bpf.o maps.lock",
    ]));
    let lock = sandbox.read("maps.lock");
    let merge = "\nmerge = { connections = \"sum\", last_seen = \"none\", passed_over = \"sum\" }\n";
    assert!(lock.contains(merge), "{lock}");
    assert!(lock.contains(", merge = { passed_over = \"none\" }, from = "), "{lock}");
    let json = |line: &str| sandbox.run(&format!("{line} --message-format json")).json();
    let again = json(&of("migrate", ""));
    let change = &again["locks"][0]["changes"][0];
    let sums = serde_json::json!({ "connections": "sum", "last_seen": "none", "passed_over": "sum" });
    assert_eq!(change["merge"], sums);
    let once = serde_json::json!({ "passed_over": "none" });
    assert_eq!(change["epoch"]["merge"], once, "another reason takes nothing back");
    let diff = json("diff bpf/minimesh/v1/minimesh.bpf.o maps.lock");
    let maps = diff["maps"].as_array().expect("maps");
    let stats = maps.iter().find(|map| map["name"] == "stats").expect("stats");
    assert_eq!(stats["merge"], serde_json::json!({ "connections": "sum" }));
    let markdown = sandbox.run(&format!("{} --message-format markdown", of("migrate", " --merge last_seen=sum")));
    let told = "; sum of connections, last_seen, passed_over; no sum of passed_over, on this way";
    assert!(markdown.stdout.contains(told), "{}", markdown.stdout);
    assert!(markdown.stdout.contains("; connections: "), "{}", markdown.stdout);
    for line in
        ["accept stats --on-upgrade migrate --merge connections=sum", "accept stats --merge-once connections=sum"]
    {
        assert_eq!(sandbox.run(line).code, Some(2), "{line}");
    }
}

#[test]
fn mistakes_of_accept_say_what_to_do() {
    let sandbox = released();
    insta::assert_snapshot!(sandbox.transcript(&[
        &format!("accept stat --on-upgrade swap --reason x --object {V3}"),
        &format!("accept frontends --on-upgrade swap --reason x --object {V3}"),
        &format!("accept stats --on-upgrade reuse --reason \"same size\" --object {V3}"),
        &format!("accept stats --on-upgrade swap --reason \" \" --object {V3}"),
        "accept stats --on-upgrade swap --reason x",
        "accept frontends --undo",
    ]));
    for line in
        ["accept stats", "accept --undo", "accept stats --undo --reason x", "accept stats --on-upgrade keep --reason x"]
    {
        assert_eq!(sandbox.run(line).code, Some(2), "{line}");
    }
}

#[test]
fn what_is_left_to_decide_is_said() {
    let sandbox = released();
    let of = |maps: &str, release: &str| {
        format!("accept {maps} --on-upgrade swap --reason \"rebuilt at start\" --object {}", object(release))
    };
    insta::assert_snapshot!(sandbox.transcript(&[
        &of("stats", "v4"),
        &of("backends stats", "v4"),
        &format!("update --object {}", object("v4"))
    ]));
}

#[test]
fn diff_tells_what_an_upgrade_does() {
    let sandbox = Sandbox::with_minimesh();
    for (old, new) in [("v1", "v2"), ("v1", "v3"), ("v3", "v4"), ("v2", "v1"), ("v1", "v1")] {
        let name = format!("diff_{old}_{new}");
        insta::assert_snapshot!(name, sandbox.transcript(&[&format!("diff {} {}", object(old), object(new))]));
    }
}

#[test]
fn inspect_shows_maps_as_pahole_shows_structs() {
    let sandbox = Sandbox::with_minimesh();
    insta::assert_snapshot!(sandbox.transcript(&[&format!("inspect {V1}")]));
}

#[test]
fn every_lock_that_cannot_be_used_has_a_message_of_its_own() {
    let sandbox = released();
    let good = sandbox.read("maps.lock");
    let broken = [
        ("conflict", good.replacen("size = 4,", "<<<<<<< HEAD\nsize = 4,\n=======\nsize = 8,\n>>>>>>> topic\n", 1)),
        ("newer", good.replacen("version = 1", "version = 2", 1)),
        ("edited", good.replacen("name = \"ready\"", "name = \"alive\"", 1)),
        ("crlf", good.replace('\n', "\r\n")),
        ("unknown_key", good.replacen("max_entries", "maxentries", 1)),
        ("not_toml", good.replacen("[map.stats]", "[map.stats", 1)),
        ("no_lock_at_all", "hello\n".to_owned()),
        ("empty", String::new()),
    ];
    let mut said = String::new();
    for (name, text) in broken {
        sandbox.write("maps.lock", &text);
        said.push_str(&format!("# {name}\n{}", sandbox.transcript(&[&format!("check --object {V1}")])));
        assert_eq!(sandbox.read("maps.lock"), text, "{name}");
    }
    fs::remove_file(sandbox.path("maps.lock")).expect("it is there");
    said.push_str(&format!(
        "# missing\n{}",
        sandbox.transcript(&[&format!("check --object {V1}"), &format!("update --object {V1}")])
    ));
    insta::assert_snapshot!(said);
}

#[test]
fn update_mends_the_ends_of_lines() {
    let sandbox = released();
    let good = sandbox.read("maps.lock");
    sandbox.write("maps.lock", good.replace('\n', "\r\n"));
    insta::assert_snapshot!(sandbox.transcript(&[&format!("update --object {V1}")]));
    assert_eq!(sandbox.read("maps.lock"), good);
}

#[test]
fn a_lock_that_is_up_to_date_is_not_touched() {
    let sandbox = released();
    let modified = || fs::metadata(sandbox.path("maps.lock")).and_then(|metadata| metadata.modified()).expect("time");
    let before = modified();
    assert_eq!(sandbox.run(&format!("update --object {V1}")).code, Some(0));
    assert_eq!(modified(), before);
}

#[cfg(unix)]
#[test]
fn a_replaced_lock_keeps_its_permissions_and_its_link() {
    use std::os::unix::fs::PermissionsExt as _;

    let sandbox = released();
    fs::create_dir(sandbox.path("real")).expect("directory");
    fs::rename(sandbox.path("maps.lock"), sandbox.path("real/maps.lock")).expect("rename");
    std::os::unix::fs::symlink("real/maps.lock", sandbox.path("maps.lock")).expect("link");
    fs::set_permissions(sandbox.path("real/maps.lock"), fs::Permissions::from_mode(0o640)).expect("chmod");
    assert_eq!(sandbox.run(&format!("update --object {V2}")).code, Some(0));
    assert!(fs::symlink_metadata(sandbox.path("maps.lock")).expect("link").is_symlink());
    let metadata = fs::metadata(sandbox.path("real/maps.lock")).expect("file");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    assert!(sandbox.read("real/maps.lock").contains("[map.drops]"));
}

#[test]
fn a_name_that_a_terminal_would_obey_is_refused_with_its_file() {
    let sandbox = released();
    let mut object = fs::read(sandbox.path(V1)).expect("an object");
    let name = b"backends\0";
    for at in 0..object.len() - name.len() {
        if object[at..].starts_with(name) {
            object[at + 4] = 0x1b;
        }
    }
    fs::write(sandbox.path("odd.o"), object).expect("a file");
    let lock = sandbox.read("maps.lock").replace("[map.backends]", "[map.\"back\\u001Bnds\"]");
    sandbox.write("odd.lock", lock);
    for (line, file) in [("inspect odd.o", "odd.o"), ("diff odd.lock maps.lock", "odd.lock")] {
        let ran = sandbox.run(line);
        assert_eq!(ran.code, Some(101), "{line}: {}", ran.stdout);
        assert!(
            ran.stderr.contains(file) && ran.stderr.contains("the name `back\\u{1b}nds` has a control character"),
            "{}",
            ran.stderr
        );
        assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
    }
}

#[test]
fn objects_that_are_none_are_errors() {
    let sandbox = released();
    sandbox.write("notes.o", "hello");
    insta::assert_snapshot!(sandbox.transcript(&[
        "check --object gone.o",
        "check --object notes.o",
        "inspect notes.o",
        "diff notes.o maps.lock",
        "check"
    ]));
}

#[test]
fn an_object_without_dwarf_is_told_with_the_lines_of_its_source() {
    let sandbox = Sandbox::new();
    let names = (14..30).map(|version| format!("llvm-objcopy-{version}")).chain(["llvm-objcopy".to_owned()]);
    let is_there = |name: &String| Command::new(name).arg("--version").output().is_ok();
    let objcopy = names.into_iter().find(is_there).expect("an llvm-objcopy is installed");
    let build = |member: &str| {
        let source = format!(
            "struct flow {{\n\t__u64 bytes;\n{member}}};\nstruct {{\n\t__uint(type, BPF_MAP_TYPE_HASH);\n\t__uint(max_entries, 8);\n\
             \t__type(key, __u32);\n\t__type(value, struct flow);\n}} flows SEC(\".maps\");\n"
        );
        compile(&sandbox, "flow.bpf.o", &source);
        // Where libbpf-cargo has it.
        sandbox.write("src/bpf/flow.bpf.c", source);
        let mut command = Command::new(&objcopy);
        command.args(["--strip-debug", "--keep-section=.BTF"]).arg(sandbox.path("flow.bpf.o"));
        assert!(command.status().expect("it is there").success());
    };
    build("");
    assert_eq!(sandbox.run("init --object flow.bpf.o").code, Some(0));
    build("\t__u64 drops;\n");
    let check = sandbox.run("check --object flow.bpf.o");
    let said = check.stdout + &check.stderr;
    assert!(said.contains("src/bpf/flow.bpf.c:3:"), "{said}");
}

#[test]
fn two_objects_that_disagree_are_refused() {
    let sandbox = Sandbox::with_minimesh();
    insta::assert_snapshot!(sandbox.transcript(&[&format!("init --object {V1} {V3}")]));
    assert!(!sandbox.path("maps.lock").exists());
}

#[test]
fn rules_and_their_pages() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.transcript(&[
        "explain member-moved",
        "explain member-mved",
        "explain zzz",
        "rules"
    ]));
    let rules = sandbox.run("rules --message-format json").json();
    let rules = rules["rules"].as_array().expect("a list");
    assert_eq!(rules.len(), maplock_layout::rules::ALL.len());
    assert_eq!(rules[0]["tier"], "bytes");
}

#[test]
fn usage_is_exit_code_2_and_help_is_0() {
    let sandbox = Sandbox::new();
    for line in ["", "chek", "check --message-format xml", "rules --message-format xml", "check --object a -p b"] {
        assert_eq!(sandbox.run(line).code, Some(2), "{line}");
    }
    for line in ["--help", "maplock --help", "--version", "maplock check --help"] {
        assert_eq!(sandbox.run(line).code, Some(0), "{line}");
    }
    insta::assert_snapshot!(sandbox.run("--help").stdout);
}

#[test]
fn colours_are_as_asked_for() {
    let sandbox = released();
    let check = |color: &str| sandbox.run(&format!("check --object {V3} --color {color}")).stdout;
    assert!(check("always").contains("\x1b["));
    assert!(!check("never").contains('\x1b'));
    assert!(!check("auto").contains('\x1b'), "the tests' stdout is no terminal");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::Stdio;

    let sandbox = Sandbox::with_minimesh();
    for _ in 0..10 {
        let mut command = sandbox.command(&format!("inspect {V1} {V1} {V1} {V1}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tool runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    }
}

#[test]
fn a_manifest_that_is_named_sets_levels_for_files() {
    let sandbox = Sandbox::with_minimesh();
    sandbox.write(
        "Cargo.toml",
        "[package]\nname = \"meshd\"\n[package.metadata.maplock]\nmap-added = \"deny\"\nephemeral = [\"services\"]\n",
    );
    let diff = format!("diff {V1} {V2}");
    assert_eq!(sandbox.run(&diff).code, Some(0));
    let named = sandbox.run(&format!("{diff} --manifest-path Cargo.toml"));
    assert_eq!(named.code, Some(100), "{}", named.stderr);
    assert!(!named.stdout.contains("services"), "{}", named.stdout);
}

#[test]
fn a_map_that_keeps_its_size_is_never_told_as_one_that_grows() {
    use maplock_layout::Lock;
    use maplock_layout::lock::LockedMap;
    use maplock_layout::map::{MapDef, MapType};
    let sandbox = Sandbox::with_minimesh();
    for (name, max_entries) in [("old.lock", 16), ("new.lock", 64)] {
        let def = MapDef { key_size: 4, value_size: 8, max_entries, ..MapDef::new("stacks", MapType::STACK_TRACE) };
        let lock = Lock { maps: [(def.name.clone(), LockedMap::new(def))].into(), ..Lock::default() };
        sandbox.write(name, lock.to_string());
    }
    for format in ["human", "markdown"] {
        let ran = sandbox.run(&format!("diff old.lock new.lock --message-format {format}"));
        let line = ran.stdout.lines().find(|line| line.contains("16 -> 64")).unwrap_or_default();
        assert!(line.contains("max_entries 16 -> 64, but the map keeps its size"), "{format}: {}", ran.stdout);
    }
}

/// The commands of a note that tells of counters: what `update` or `accept` offers is done as it is typed.
#[test]
fn the_merge_that_is_offered_for_counters_is_accepted() {
    let sandbox = Sandbox::with_minimesh();
    let said = |line: &str| {
        let ran = sandbox.run(line);
        assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.stdout, ran.stderr);
        ran.stdout + &ran.stderr
    };
    let init = said(&format!("init --object {V1}"));
    let offered = init.lines().find(|line| line.contains("map `stats`: programs only add to")).expect("an offer");
    let command = offered.rsplit('`').nth(1).expect("a command").trim_start_matches("cargo maplock ");
    assert!(command.starts_with("accept stats --merge connections=sum --merge passed_over=sum"), "{command}");
    said(command);
    let lock = sandbox.read("maps.lock");
    assert!(lock.contains("merge = { connections = \"sum\", passed_over = \"sum\" }"), "{lock}");
    // Said once, it is not offered again.
    assert!(!said(&format!("update --object {V2}")).contains("map `stats`: programs only add to"));
}

/// The line of a command that is offered, without what it is for.
fn offered<'a>(said: &'a str, map: &str, how: &str) -> &'a str {
    let is_it = |line: &&str| line.contains(&format!(" accept {map} --merge")) && line.contains(&format!("={how}"));
    let line = said.split(['\n', '`']).flat_map(|line| line.split("%0A")).find(is_it);
    let line = line.unwrap_or_else(|| panic!("nothing is offered for {map}: {said}"));
    let at = line.find("accept ").expect("a command");
    &line[at..]
}

/// Whatever form `check` tells it in, the commands that it offers for counters settle it.
#[test]
fn check_offers_to_merge_counters_and_what_it_offers_settles_it() {
    let of = |sandbox: &Sandbox, more: &str| sandbox.run(&format!("check --object {V2}{more}"));
    let sandbox = Sandbox::with_minimesh();
    sandbox.run(&format!("init --object {V2}"));
    for format in ["human", "github", "markdown"] {
        for how in ["sum", "none"] {
            sandbox.run(&format!("init --object {V2}"));
            let said = of(&sandbox, &format!(" --message-format {format}"));
            assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
            assert!(said.stdout.contains("unmerged-counter"), "{format}: {}", said.stdout);
            for map in ["drops", "stats"] {
                let ran = sandbox.run(offered(&said.stdout, map, how));
                assert_eq!(ran.code, Some(0), "{format}: {}{}", ran.stdout, ran.stderr);
            }
            let settled = of(&sandbox, "");
            assert!(!settled.stdout.contains("unmerged-counter"), "{format}: {}", settled.stdout);
            fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
        }
    }
    sandbox.run(&format!("init --object {V2}"));
    let source = "bpf/minimesh/minimesh.bpf.c";
    sandbox.write(source, fs::read(support::repository().join(source)).expect("the source"));
    insta::assert_snapshot!(sandbox.transcript(&[
        &format!("check --object {V2}"),
        "accept stats --merge connections=sum --merge passed_over=none",
        "accept drops --merge value=sum",
        &format!("check --object {V2}"),
        "accept stats --merge connections=none",
    ]));
    assert!(sandbox.read("maps.lock").contains("merge = { connections = \"none\", passed_over = \"none\" }"));
}

/// Where counters without a merge are denied, the lock follows the objects all the same, and the check fails until it is said.
#[test]
fn counters_without_a_merge_can_be_denied() {
    let sandbox = Sandbox::with_minimesh();
    sandbox.write("maplock.toml", "objects = [\"bpf/minimesh/v1/minimesh.bpf.o\"]\nunmerged-counter = \"deny\"\n");
    assert_eq!(sandbox.run("init").code, Some(0));
    sandbox.write("maplock.toml", "objects = [\"bpf/minimesh/v2/minimesh.bpf.o\"]\nunmerged-counter = \"deny\"\n");
    insta::assert_snapshot!(sandbox.transcript(&["update", "check", "check --message-format github"]));
    let said = sandbox.run("check").stdout;
    for map in ["stats", "drops"] {
        assert_eq!(sandbox.run(offered(&said, map, "sum")).code, Some(0));
    }
    assert_eq!(sandbox.run("check").code, Some(0));
    // Where another thing has to be decided too, both are told with what to do.
    fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
    assert_eq!(sandbox.run("init").code, Some(0));
    sandbox.write("maplock.toml", "objects = [\"bpf/minimesh/v3/minimesh.bpf.o\"]\nunmerged-counter = \"deny\"\n");
    let both = sandbox.run("check").stdout;
    assert!(both.contains(" accept stats --on-upgrade migrate --reason"), "{both}");
    assert_eq!(sandbox.run(offered(&both, "stats", "sum")).code, Some(0), "{both}");
}
